"""Responses streams through the exchange: every text guarded, every repetition in agreement, for any cut."""

import json

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Action
from playbook import MAIL, Play, answer_head, head
from responding import (
    PATH,
    Script,
    assembled,
    body,
    call,
    custom,
    events,
    message,
    part,
    reasoning,
    response,
    streamed,
    streaming,
)
from worlds import policy, settings

TYPED = TypeAdapter(ResponseStreamEvent)
DIRTY = ("Dear bob", "@example.com, pay ", "DE89 3704 0044 0532", " 0130 00 from 10.0.0.1")
CLEAN = "Dear [EMAIL], pay [IBAN] from [IP]"
SOURCE = ('{"to":"bob\\u00', "40exam", 'ple.com","n":1}')
BLOCKING = policy(response=settings(pii_email=Action.BLOCK))


def whole():
    """A stream with each kind of item and text."""
    script = Script().begin()
    thought = reasoning(["".join(DIRTY)], ["".join(DIRTY)], encrypted_content="gAAA" * 200)
    script.item(thought, ("summary_text", 0, DIRTY), ("reasoning_text", 0, DIRTY))
    said = message(part("".join(DIRTY)), part("".join(DIRTY), "refusal"))
    script.item(said, ("output_text", 0, DIRTY), ("refusal", 1, DIRTY))
    script.item(call("".join(SOURCE)), ("arguments", 0, SOURCE))
    script.item(custom("".join(DIRTY)), ("input", 0, DIRTY))
    return script.end()


WHOLE = whole().raw
TOLD = streamed(WHOLE).sent()  # also builds the scanner, which is no example's time
BEGUN = (len(Script().begin().raw),)  # behind the events that release the answer's headers
EXPECTED = {
    (0, "reasoning_summary_text", 0): CLEAN,
    (0, "reasoning_text", 0): CLEAN,
    (1, "output_text", 0): CLEAN,
    (1, "refusal", 1): CLEAN,
    (2, "function_call_arguments", 0): '{"to":"[EMAIL]","n":1}',
    (3, "custom_tool_call_input", 0): CLEAN,
}


def wholes(told):
    """Every repetition of a text behind its deltas, by place."""
    found = []
    kinds = {"output_text", "refusal", "reasoning_text", "reasoning_summary_text"}

    def of_item(index, item):
        for holder, names in (("content", kinds), ("summary", {"summary_text"})):
            for at, each in enumerate(item.get(holder) or ()):
                name = {"summary_text": "reasoning_summary_text"}.get(each["type"], each["type"])
                assert each["type"] in names
                found.append(((index, name, at), each.get("text", each.get("refusal"))))
        for field, name in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
            if field in item:
                found.append(((index, name, 0), item[field]))

    for event in told:
        kind = event["type"].removeprefix("response.")
        if kind.endswith("part.done"):
            at = event.get("content_index", event.get("summary_index"))
            name = {"summary_text": "reasoning_summary_text"}.get(event["part"]["type"], event["part"]["type"])
            found.append(((event["output_index"], name, at), event["part"].get("text", event["part"].get("refusal"))))
        elif kind == "output_item.done":
            of_item(event["output_index"], event["item"])
        elif kind.endswith(".done"):
            at = event.get("content_index", event.get("summary_index", 0))
            value = next(event[name] for name in ("text", "refusal", "arguments", "input") if name in event)
            found.append(((event["output_index"], kind.removesuffix(".done"), at), value))
        elif kind == "completed":
            for index, item in enumerate(event["response"]["output"]):
                of_item(index, item)
    return found


def test_every_text_is_guarded_and_every_repetition_agrees_with_the_deltas():
    play = streamed(WHOLE)
    told = events(play.sent())
    assert assembled(told) == EXPECTED
    repeated = wholes(told)
    assert len(repeated) == 4 * 4 + 2 * 3
    for place, text in repeated:
        assert text == EXPECTED[place], place
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert b"example" not in play.sent()
    assert play.record.outcome == "completed"
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (9, 4)
    assert {found.rule: found.count for found in play.record.found} == {"pii.email": 6, "pii.iban": 5, "pii.ipv4": 5}


def test_the_last_event_is_what_the_same_answer_says_that_is_not_streamed():
    script = whole()
    play = Play()
    play.give(head(PATH), RequestBody(body(), end_of_stream=True))
    play.give(answer_head(), ResponseChunk(json.dumps(response(*script.items)).encode(), end_of_stream=True))
    assert events(TOLD)[-1]["response"] == json.loads(play.sent())
    assert play.record.found == streamed(WHOLE).record.found


def test_the_sdks_types_take_every_event_and_find_nothing_that_they_do_not_know():
    for event in events(streamed(WHOLE).sent()):
        typed = TYPED.validate_python(event)
        assert typed.type == event["type"]
        assert not typed.model_extra
    final = Response.model_validate(event["response"])
    assert final.output_text == CLEAN


@given(st.data())
def test_the_streaming_invariant_any_cut_of_the_bytes_tells_the_same(data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(WHOLE)), max_size=40)))
    assert streamed(WHOLE, cuts=cuts).sent() == TOLD


def test_one_byte_at_a_time_tells_the_same():
    assert streamed(WHOLE, cuts=range(1, len(WHOLE))).sent() == TOLD


PIECES = st.lists(
    st.sampled_from(
        ["a", " ", "bob", "@", "ex", "ample", ".", "com", "4111", "-1111", "\\u0040", '"', "DE89 3704 0044"]
    ),
    max_size=30,
)
KINDS = st.sampled_from(["output_text", "refusal", "reasoning_text", "summary_text", "arguments", "input"])
ACTIONS = st.sampled_from([Action.REDACT, Action.MASK, Action.HASH, Action.FLAG, Action.BLOCK])


def of_kind(kind, text):
    if kind in {"arguments", "input"}:
        return call(text) if kind == "arguments" else custom(text)
    if kind == "summary_text":
        return reasoning([text])
    return reasoning([], [text]) if kind == "reasoning_text" else message(part(text, kind))


@given(PIECES, KINDS, ACTIONS)
def test_any_deltas_of_the_same_text_release_the_same_text_with_the_same_verdict(pieces, kind, action):
    text = "".join(pieces)
    held = policy(response=settings(action))
    plays = []
    for cut in (pieces, list(text), [text]):
        raw = Script().begin().item(of_kind(kind, text), (kind, 0, cut)).end().raw
        plays.append(streamed(raw, held, cuts=BEGUN))
    texts = [assembled(events(play.sent())) for play in plays]
    assert texts[0] == texts[1] == texts[2]
    assert len({(play.record.outcome, play.record.code, play.record.found) for play in plays}) == 1
    for play in plays:
        told = events(play.sent())
        assert [event["sequence_number"] for event in told] == list(range(len(told)))
        for place, repeated in wholes(told):
            assert repeated == texts[0].get(place, "")


def test_held_words_leave_as_a_delta_before_their_end_is_told():
    script = Script().begin().item(message(part("the end")), ("output_text", 0, ["the", " end"])).end()
    kinds = [event["type"] for event in events(streamed(script.raw).sent())]
    assert kinds.index("response.output_text.done") > max(
        at for at, kind in enumerate(kinds) if kind == "response.output_text.delta"
    )


@pytest.mark.parametrize("ends", [True, False])
def test_a_stream_that_breaks_off_releases_its_last_words(ends):
    script = Script().begin()
    index = script.open(message())
    script.text(index, "the end") if ends else script.say(
        "response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta="the end"
    )
    assert assembled(events(streamed(script.raw).sent())) == {(0, "output_text", 0): "the end"}


def test_texts_without_deltas_are_judged_where_they_are_told():
    text = f"mail {MAIL} now"
    script = Script().begin()
    for item in (message(part(text)), call(json.dumps({"to": MAIL})), reasoning([text])):
        script.close(script.open(item))
    script.items.append(message(part(text), id_="msg_2"))
    out = streamed(script.end().raw).sent()
    assert b"example" not in out
    output = events(out)[-1]["response"]["output"]
    assert [output[0]["content"][0]["text"], output[3]["content"][0]["text"]] == [
        "mail [EMAIL] now",
        "\nmail [EMAIL] now",
    ]
    assert json.loads(output[1]["arguments"]) == {"to": "[EMAIL]"}


def test_interleaved_items_are_guarded_apart_under_one_id_each():
    script = Script().begin()
    script.open(message(part("a@b.com "), id_="one"))
    script.open(message(part("c@d.org "), id_="two"))
    for index, delta in ((0, "a@b"), (1, "c@d"), (0, ".com "), (1, ".org ")):
        where = {"item_id": "swapped", "output_index": index, "content_index": 0}
        script.say("response.output_text.delta", **where, delta=delta)
    out = streamed(script.close(0).close(1).end().raw).sent()
    told = events(out)
    assert assembled(told) == {(0, "output_text", 0): "[EMAIL] ", (1, "output_text", 0): "\n[EMAIL] "}
    assert {event["item_id"] for event in told if "item_id" in event} == {"one", "two"}


@pytest.mark.parametrize(("first", "second"), [("bob@exam", "ple.com"), ("4111 1111", "1111 1111"), ("end. ", "Next")])
def test_no_value_is_completed_over_the_seam_of_two_texts(first, second):
    script = Script().begin()
    script.item(message(part(first), part(second)), ("output_text", 0, [first]), ("output_text", 1, [second]))
    script.item(message(part(second), id_="msg_2"), ("output_text", 0, list(second)))
    told = events(streamed(script.end().raw).sent())
    joined = Response.model_validate(told[-1]["response"]).output_text
    play = Play()
    play.give(head(PATH), RequestBody(body(), end_of_stream=True))
    play.give(answer_head(), ResponseChunk(json.dumps(response(*script.items)).encode(), end_of_stream=True))
    assert joined == Response.model_validate_json(play.sent()).output_text == "".join(assembled(told).values())
    assert joined == (f"{first}{second}\n{second}" if first.endswith(" ") else f"{first}\n{second}\n{second}")


def test_texts_out_of_order_cut_the_stream():
    script = Script().begin()
    for name in ("one", "two"):
        script.open(message(id_=name))
    for index in (1, 0):
        where = {"item_id": "x", "output_index": index, "content_index": 0}
        script.say("response.output_text.delta", **where, delta="ple.com " if index else "bob@exam")
    assert events(streamed(script.raw, cuts=BEGUN).sent())[-1]["code"] == "backend_answer_invalid"


def test_a_provider_that_repeats_another_text_does_not_get_it_through():
    script = Script().begin()
    index = script.open(message(part(f"other words {MAIL}")))
    script.text(index, "said")
    script.close(index)
    told = events(streamed(script.end().raw).sent())
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "said"
    assert all(text == "said" for _, text in wholes(told))


def test_a_block_before_anything_left_is_a_json_403():
    play = streaming(BLOCKING)
    play.give(ResponseChunk(Script().say("response.created", response=response(model=MAIL)).raw, end_of_stream=False))
    assert play.refused() == (403, "answer_blocked")


def test_a_block_ends_the_stream_with_an_error_event_that_sdks_raise():
    script = Script().begin().item(message(part("x")), ("output_text", 0, ["fine so far. ", f"mail {MAIL} and more"]))
    play = streamed(script.end().raw, BLOCKING, cuts=BEGUN)
    told = events(play.sent())
    assert assembled(told) == {(0, "output_text", 0): "fine so far. mail "}
    last = told[-1]
    assert last["type"] == "error"
    assert (last["code"], last["error"]["code"]) == ("answer_blocked", "answer_blocked")
    assert last["sequence_number"] == len(told) - 1
    assert play.commands[-1].end_of_stream
    assert play.record.outcome == "cut"
    assert TYPED.validate_python(last).message == last["message"]


def test_the_providers_own_error_passes_guarded_and_ends_the_stream():
    script = Script().begin().say("error", code="server_error", message=f"no {MAIL}", param=None, note=MAIL)
    out = streamed(script.say("response.created", response=response(model="late")).raw).sent()
    told = events(out)
    assert {k: told[-1][k] for k in ("type", "code", "message")} == {
        "type": "error", "code": "server_error", "message": "no [EMAIL]",
    }  # fmt: skip
    assert b"example" not in out
    assert b"late" not in out


@pytest.mark.parametrize("kind", ["incomplete", "failed"])
def test_other_endings_agree_with_the_deltas_too(kind):
    script = Script().begin()
    index = script.open(message(part("half of bob@example.com"), status="incomplete"))
    script.say("response.output_text.delta", item_id="msg_1", output_index=index, content_index=0, delta="half of bob@")
    script.say("response.output_text.delta", item_id="msg_1", output_index=index, content_index=0, delta="example.com")
    told = events(streamed(script.end(kind).raw).sent())
    assert told[-1]["type"] == f"response.{kind}"
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "half of [EMAIL]"
    assert assembled(told) == {(0, "output_text", 0): "half of [EMAIL]"}


def test_encrypted_reasoning_passes_whole_and_short_text_in_its_place_does_not():
    opaque = "gAAAAAB" + "x4111111111111111_" * 60
    for content, passes in ((opaque, True), (f"{MAIL} ", False), (opaque + " " + MAIL, False)):
        out = streamed(Script().begin().item(reasoning(encrypted_content=content)).end().raw).sent()
        assert (content.encode() in out) is passes
        assert b"example" not in out


def test_signs_of_life_stay_and_a_terminator_of_compatible_servers_adds_nothing():
    script = Script().begin().say("keepalive")
    out = streamed(script.raw + b": words\n\n" + script.end().events[-1] + b"data: [DONE]\n\n").sent()
    assert out.count(b": keep-alive\n\n") == 2
    assert b"words" not in out
    assert out.rstrip().endswith(b"}")  # the API ends with its last event; nothing behind it leaves
    alone = streamed(Script().begin().raw + b"data: [DONE]\n\n")
    assert alone.sent().count(b"broke off") == 2  # in the API's form and in the SDK's
    assert alone.record.outcome == "failed"


def test_the_openai_version_knows_the_shapes_that_this_file_was_written_for():
    assert int(openai.__version__.split(".")[0]) >= 2
