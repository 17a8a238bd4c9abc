"""Responses whose backend speaks another dialect: what leaves, what the guards see, what the client reads."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import messaging
from extproc.core.commands import PassRequestBody, PassResponseHead
from extproc.core.events import RequestBody, ResponseChunk
from gateway import contract
from gateway.policy.model import Action, Model, RuleSetting
from messaging import CLAUDE
from playbook import MAIL, Play, answer_head, head
from responding import PATH, events, response, sequence
from worlds import settings

EVENTS = (
    messaging.start(), messaging.block(), messaging.text(f"to {MAIL[:7]}"), messaging.text(f"{MAIL[7:]} and on"),
    messaging.stop(), messaging.end(),
)  # fmt: skip


def held(**options):
    base = messaging.held(**options)
    model = Model(name=CLAUDE, backend="anthropic", upstream={"anthropic": "theirs"})
    return replace(base, models={**base.models, CLAUDE: model})


def asked(policy=None, **fields):
    play = Play(policy or held())
    body = json.dumps({"model": CLAUDE, "input": "hello", **fields}).encode()
    told = play.give(head(PATH), RequestBody(body, end_of_stream=True))
    return play, told


def streamed(raw, policy=None, size=0):
    play, _ = asked(policy, stream=True)
    play.give(answer_head(kind="text/event-stream"))
    size = size or len(raw)
    for at in range(0, len(raw), size):
        play.give(ResponseChunk(raw[at : at + size], end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    return play


def test_the_backend_gets_its_own_words_and_no_field_of_the_gateways():
    _, told = asked(input=f"mail {MAIL}", instructions="Be brief.")
    (command,) = [each for each in told if isinstance(each, PassRequestBody)]
    assert dict(command.change.put)[":path"].endswith("/v1/messages")
    tree = json.loads(command.body)
    assert (tree["model"], tree["system"]) == ("theirs", "Be brief.")
    assert tree["messages"] == [{"role": "user", "content": "mail [EMAIL]"}]
    assert "store" not in tree


def test_a_whole_answer_is_guarded_as_the_client_reads_it():
    play, _ = asked()
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "theirs", "stop_reason": "end_turn",
               "stop_sequence": None, "content": [{"type": "text", "text": f"to {MAIL}"}],
               "usage": {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 3}}  # fmt: skip
    play.give(answer_head(), ResponseChunk(json.dumps(message).encode(), end_of_stream=True))
    tree = json.loads(play.sent())
    assert (tree["object"], tree["status"]) == ("response", "completed")
    assert tree["output"][0]["content"][0]["text"] == "to [EMAIL]"
    usage = play.record.usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (12, 3, 4)


@given(st.integers(1, 400))
def test_a_stream_ends_at_the_tenants_length_however_it_is_cut(size):
    rules = {**settings(), "output.length": RuleSetting(rule="output.length", action=Action.REDACT)}
    base = held(response=rules)
    bounded = replace(base, tenants={"acme": replace(base.tenants["acme"], max_answer_chars=12)})
    play = streamed(b"".join(EVENTS), bounded, size)
    told = events(play.sent())
    sequence(told)
    assert (told[-1]["type"], play.record.outcome) == ("response.incomplete", "cut")
    assert told[-1]["response"]["output"][-1]["content"][0]["text"] == "to [EMAIL] a"
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@given(st.integers(1, 400))
def test_a_stream_is_guarded_however_it_is_cut(size):
    play = streamed(b"".join(EVENTS), size=size)
    told = events(play.sent())
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    said = "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta")
    last = told[-1]["response"]
    assert told[-1]["type"] == "response.completed"
    assert said == last["output"][0]["content"][0]["text"] == "to [EMAIL] and on"
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (9, 4)
    assert play.record.outcome == "completed"


def test_a_stream_is_ended_by_what_policy_blocks():
    policy = held()
    tenant = replace(policy.tenants["acme"], response=settings(Action.BLOCK))
    play = streamed(b"".join(EVENTS), replace(policy, tenants={"acme": tenant}), size=300)
    told = events(play.sent())
    assert (told[-1]["type"], told[-1]["code"]) == ("error", "answer_blocked")
    assert MAIL not in play.sent().decode()
    assert play.record.outcome == "cut"


def test_a_stream_that_breaks_off_ends_in_the_error_event():
    play = streamed(b"".join(EVENTS[:3]))
    told = events(play.sent())
    assert (told[-1]["type"], told[-1]["error"]["code"]) == ("error", "stream_broken")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"type": "message", "content": 7}'])
def test_an_answer_that_cannot_be_read_is_withheld(body):
    play, _ = asked()
    play.give(answer_head(kind="application/json"), ResponseChunk(body, end_of_stream=True))
    assert play.refused() == (502, "backend_answer_invalid")


def test_reasoning_that_a_translation_told_is_left_out_when_it_comes_back_and_that_is_told():
    play, _ = asked(stream=True)
    play.give(answer_head(kind="text/event-stream"))
    thought = messaging.block(0, type="thinking", thinking="", signature="") + messaging.thinking("I look.")
    play.give(ResponseChunk(messaging.start() + thought + messaging.stop() + messaging.end(), end_of_stream=True))
    (made,) = events(play.sent())[-1]["response"]["output"]
    assert made["type"] == "reasoning"

    play = Play(held())
    other = {"type": "reasoning", "id": "rs_1", "summary": []}
    items = [{"role": "user", "content": "Hi"}, made, other, {"role": "user", "content": "And?"}]
    body = json.dumps({"model": "gpt-4o-mini", "input": items}).encode()
    told = play.give(head(PATH), RequestBody(body, end_of_stream=True))
    (command,) = [each for each in told if isinstance(each, PassRequestBody)]
    assert json.loads(command.body)["input"] == [items[0], other, items[3]]
    play.give(answer_head(), ResponseChunk(json.dumps(response()).encode(), end_of_stream=True))
    (passed,) = [each for each in play.commands if isinstance(each, PassResponseHead)]
    assert dict(passed.change.put)[contract.DROPPED_HEADER] == "input[].reasoning"


def test_an_input_of_nothing_else_is_refused():
    play, _ = asked(input=[{"type": "reasoning", "id": "rs_gw_0af7_0", "summary": []}])
    assert play.refused() == (400, "request_invalid")
