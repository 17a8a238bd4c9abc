"""Personal data and secrets inside encodings of a request."""

import base64
import codecs
import hashlib
import html
import json
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import worlds
from clocks import ManualClock
from extproc.core import encoded
from extproc.core.commands import PassRequestBody
from extproc.core.events import Gone, RequestBody
from extproc.explain import explain
from extproc.guardrails.guard import Tally
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action, Mode
from playbook import CHAT, Play, chat, head
from worlds import CALLER, policy

MAIL = "joe.bloggs@example.com"
CARD = "4111 1111 1111 1111"
KEY = "AKIA" + "Z7Q2M4N8P1R5T9V3"


def guard(action=Action.REDACT, **special):
    held = policy(request=worlds.settings(action, **special))
    return worlds.FakeWorld(held).guard(held, held.tenants["acme"], "request")


def b64(text):
    return base64.b64encode(text.encode()).decode()


def percent(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


def entities(text):
    return "".join(f"&#{ord(char)};" for char in text)


WAYS = {
    "base64": b64,
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "spaced hex": lambda text: text.encode().hex(" "),
    "percent": percent,
    "percent of the sign": lambda text: urllib.parse.quote(text, safe=""),
    "entities": entities,
    "escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "base64 twice": lambda text: b64(b64(text)),
    "base64 in percent": lambda text: percent(b64(text)),
    "hex of entities": lambda text: entities(text).encode().hex(),
    "base64 of JSON": lambda text: b64(json.dumps({"who": text, "n": 1})),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("value", "placeholder"), [(MAIL, "[EMAIL]"), (CARD, "[CARD]")])
def test_the_whole_encoded_span_is_replaced_and_nothing_around_it(way, value, placeholder):
    hiding = WAYS[way](value)
    tally = Tally()
    said, blocked = encoded.applied(f"before {hiding} behind", guard(), tally)
    assert (said, blocked) == (f"before {placeholder} behind", None)
    assert list(tally.counts.values()) == [1]


def test_a_key_in_rot13_is_replaced_where_it_stands():
    said, _ = encoded.applied(f"use {codecs.encode(KEY, 'rot13')} now", guard(), Tally())
    assert said == "use [SECRET] now"


def test_a_value_of_a_query_is_replaced_and_the_url_stays():
    said, _ = encoded.applied("see https://shop.example/?a=1&mail=joe%40example.com&b=2", guard(), Tally())
    assert said == "see https://shop.example/?a=1&mail=[EMAIL]&b=2"


@pytest.mark.parametrize(
    "text",
    [
        "plain words only", "what is 4/5 of 100%25?", "a fish &amp; chips shop", "sha256 e3b0c44298fc1c149afbf4c8996fb924",
        "id 3fa85f64-5717-4562-b3fc-2c963f66afa6", b64("nothing of interest here at all"), "", "tom&jerry@example.com.",
        "commit 0123456789abcdef0123456789abcdef01234567",
    ],
)  # fmt: skip
def test_honest_texts_stay_as_they_are(text):
    tally = Tally()
    assert encoded.applied(text, guard(), tally) == (text, None)
    assert not tally.counts


def test_what_stands_there_openly_is_not_counted_again():
    tally = Tally()
    assert encoded.applied(f"{MAIL}%20and", guard(Action.FLAG), tally) == (f"{MAIL}%20and", None)
    assert not tally.counts


def test_several_findings_of_one_span_are_all_named():
    said, _ = encoded.applied(b64(f"{MAIL} pays by {CARD}"), guard(), Tally())
    assert said == "[EMAIL] [CARD]"


@pytest.mark.parametrize(
    ("action", "said", "blocked"),
    [
        (Action.FLAG, None, None),
        (Action.MASK, "[CARD_1111]", None),
        (Action.BLOCK, None, "pii.card"),
    ],
)
def test_actions_do_what_they_do_in_the_open(action, said, blocked):
    tally = Tally()
    text = b64(CARD)
    assert encoded.applied(text, guard(action), tally) == (said or text, blocked)
    assert tally.counts == {"pii.card": 1}


def asked(body, request=None, path=CHAT):
    play = Play(policy(request=request or worlds.settings()))
    play.give(head(path), RequestBody(json.dumps(body).encode(), end_of_stream=True))
    return play


def sent(play):
    (passed,) = [each for each in play.commands if isinstance(each, PassRequestBody)]
    return None if passed.body is None else json.loads(passed.body)


def test_every_position_of_a_request_is_opened_arguments_too():
    call = {"name": "send", "arguments": json.dumps({"to": b64(MAIL), "n": 1})}
    turn = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": call}]}
    result = {"role": "tool", "tool_call_id": "c", "content": f"log: {b64(CARD)}"}
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": percent(MAIL)}, turn, result]}
    play = asked(body)
    first, second, third = sent(play)["messages"]
    assert first["content"] == "[EMAIL]"
    assert json.loads(second["tool_calls"][0]["function"]["arguments"]) == {"to": "[EMAIL]", "n": 1}
    assert third["content"] == "log: [CARD]"
    play.give(Gone())
    assert {each.rule: (each.count, each.action) for each in play.record.found} == {
        "pii.card": (1, "redact"), "pii.email": (2, "redact"),
    }  # fmt: skip


def test_a_request_is_refused_for_what_it_hides():
    play = Play(policy(request=worlds.settings(pii_card=Action.BLOCK)))
    play.asked(chat(f"my card is {b64(CARD)}"))
    assert play.refused() == (403, "request_blocked")
    assert play.record.reason == "pii.card"


def test_a_rule_in_shadow_changes_nothing_and_is_on_record():
    play = Play(policy(request=worlds.settings(mode=Mode.SHADOW)))
    _, passed = play.asked(chat(b64(MAIL)))
    assert passed.body is None
    play.give(Gone())
    assert [(each.rule, each.action) for each in play.record.found] == [("pii.email", "allow")]


@pytest.mark.parametrize("key", ["embedding", "b64_json", "data"])
def test_a_text_that_a_tool_takes_is_opened_also_where_it_is_as_long_as_a_picture_and_called_like_one(key):
    taken = {key: b64(f"{MAIL} " * 60), "type": "base64", "mimeType": "image/png"}
    call = {"name": "send", "arguments": json.dumps({"deep": [taken]})}
    turn = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": call}]}
    play = asked({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}, turn]})
    arguments = json.loads(sent(play)["messages"][1]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"deep": [{**taken, key: "[EMAIL]"}]}


def test_a_picture_stays_as_it_is():
    url = "data:image/png;base64," + b64(f"{MAIL} " * 100)
    part = {"type": "image_url", "image_url": {"url": url}}
    play = asked({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": [part]}]})
    assert sent(play) is None


def test_files_that_travel_as_text_cost_no_budget_and_too_much_of_anything_else_is_refused():
    noise = base64.b64encode(hashlib.shake_256(b"a file").digest(3 * 1024 * 1024)).decode()
    assert encoded.applied(noise, guard(), Tally()) == (noise, None)
    words = b64("all work and no play. ") + " "
    with pytest.raises(GatewayError) as caught:
        encoded.applied(words * (encoded.OPENED_MAX // 32 + 1), guard(), Tally())
    assert caught.value.kind is Kind.JSON_TOO_COMPLEX


@pytest.mark.parametrize(
    "written", [r"joe.bloggs\u0040example.com", r"joe.bloggs\u{0040}example.com", r"joe.bloggs\x40example.com"]
)
def test_one_escape_ends_where_its_digits_do(written):
    """The e of the next word is a hex digit too."""
    guard = worlds.FakeWorld().guard(policy(), policy().tenants["acme"], "request")
    assert encoded.applied(written, guard, Tally())[0] == "[EMAIL]"


def test_many_short_words_cost_what_they_take():
    text = "%41 " * 250_000
    assert len(text) < encoded.OPENED_MAX
    with pytest.raises(GatewayError) as refused:
        encoded.hidden(text, worlds.FakeWorld().guard(policy(), policy().tenants["acme"], "request"))
    assert refused.value.kind is Kind.JSON_TOO_COMPLEX


def test_a_long_encoded_text_is_opened_although_it_is_as_long_as_a_file():
    text = b64("all work and no play makes a dull boy. " * 4000 + MAIL + " is the one. " * 4000)
    assert encoded.applied(text, guard(), Tally()) == ("[EMAIL]", None)


def test_signed_thinking_that_hides_data_passes_whole_or_not_at_all():
    thought = {"type": "thinking", "thinking": f"so it is {b64(MAIL)}", "signature": "c2ln"}
    for action, refused in ((Action.REDACT, True), (Action.FLAG, False)):
        tally = Tally()
        assert (encoded.broken([thought], guard(action), tally) == "pii.email") is refused
        assert tally.counts == ({"pii.email": 1} if refused else {})


def test_inspect_shows_the_span():
    found = explain(chat(f"see {b64(MAIL)}"), CHAT, policy(), CALLER, ManualClock())
    (spot,) = [spot for spot in found.spots if spot.hits]
    assert [(hit.rule, hit.start, hit.end) for hit in spot.hits] == [("pii.email", 4, 4 + len(b64(MAIL)))]
    assert spot.text == "see [EMAIL]"


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("aA0+/=%&#;x\\u4 @.\n\x1f") | st.characters(), max_size=200))
def test_no_text_stops_it_and_what_it_leaves_hides_nothing_of_a_rule_that_it_replaced(text):
    hiding = f"{text} {b64(MAIL)} {text}"
    said, _ = encoded.applied(hiding, guard(), Tally())
    assert b64(MAIL) not in said
    encoded.applied(html.unescape(text), guard(), Tally())
