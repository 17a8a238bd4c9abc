"""The longest answer that a tenant lets through (`answers.max_chars`), in every dialect, streamed or not."""

import json
from dataclasses import replace

import pytest

import messaging
import responding
from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Action, Mode, RuleSetting
from playbook import DONE, Play, answer_head, completion, delta, head, texts
from worlds import policy, settings

TEXT = "one two three four"


def held(action=Action.REDACT, base=policy, most=7, mode=Mode.ENFORCE, **rules):
    made = {
        **settings(Action.FLAG, **rules),
        "output.length": RuleSetting(rule="output.length", action=action, mode=mode),
    }
    built = base(response=made)
    return replace(built, tenants={"acme": replace(built.tenants["acme"], max_answer_chars=most)})


def found(play):
    return [(each.rule, each.count, each.action) for each in play.record.found]


def stream(play, *pieces):
    play.give(answer_head(kind="text/event-stream"))
    for at, piece in enumerate(pieces):
        if not play.records:
            play.give(ResponseChunk(piece, end_of_stream=at == len(pieces) - 1))


def events(sent):
    return [json.loads(block.split(b"data: ")[1]) for block in sent.split(b"\n\n") if b"data: {" in block]


def test_a_json_answer_is_cut():
    play = Play(held())
    play.asked()
    play.give(answer_head(), ResponseChunk(completion(TEXT), end_of_stream=True))
    (choice,) = json.loads(play.sent())["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")
    assert found(play) == [("output.length", 1, "redact")]


@pytest.mark.parametrize("step", [1, 4, 18])
def test_a_stream_is_cut_where_the_json_answer_is(step):
    play = Play(held())
    play.asked(stream=True)
    pieces = [delta(TEXT[at : at + step]) for at in range(0, len(TEXT), step)]
    stream(play, *pieces, delta("", finish_reason="stop"), DONE)
    sent = play.sent()
    assert texts(sent) == "one two"
    assert [choice["finish_reason"] for event in events(sent) for choice in event["choices"]][-1] == "length"
    assert sent.endswith(DONE)
    assert sent.count(DONE) == 1
    assert found(play) == [("output.length", 1, "redact")]
    assert (play.record.outcome, play.record.reason) == ("cut", "output.length")
    assert play.commands[-1].end_of_stream


def test_what_a_rule_would_end_behind_the_cut_was_never_told():
    play = Play(held(pii_email=Action.BLOCK))
    play.asked(stream=True)
    stream(play, delta(TEXT) + delta(" bob@example.com ") + delta("", finish_reason="stop"), DONE)
    assert texts(play.sent()) == "one two"
    assert play.sent().endswith(DONE)
    assert (play.record.outcome, play.record.reason) == ("cut", "output.length")


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_just_fits_is_let_be(streamed):
    play = Play(held(most=len(TEXT)))
    play.asked(stream=streamed)
    if streamed:
        stream(play, delta(TEXT), delta("", finish_reason="stop"), DONE)
        assert texts(play.sent()) == TEXT
    else:
        play.give(answer_head(), ResponseChunk(completion(TEXT), end_of_stream=True))
        assert play.sent() == completion(TEXT)
    assert (found(play), play.record.outcome) == ([], "completed")


def test_each_choice_has_a_bound_of_its_own_and_the_last_ends_the_stream():
    play = Play(held())
    play.asked(stream=True, n=2)
    stream(play, delta(TEXT, 0), delta("more", 0), delta("one ", 1), delta(" two three", 1), delta("never", 1))
    sent = play.sent()
    assert [texts(sent, index) for index in (0, 1)] == ["one two", "one  tw"]
    assert sent.endswith(DONE)
    assert play.record.outcome == "cut"


def test_a_message_of_anthropic_ends_by_max_tokens():
    play, _ = messaging.asked(messaging.messages(stream=True), held(base=messaging.held))
    opening = [messaging.start(), messaging.block(), messaging.text("one "), messaging.text("two three four")]
    stream(play, *opening, messaging.text("never"), messaging.stop())
    told = events(play.sent())
    assert "".join(each["delta"]["text"] for each in told if each["type"] == "content_block_delta") == "one two"
    assert [each["type"] for each in told[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert told[-2]["delta"]["stop_reason"] == "max_tokens"


def test_a_message_that_is_no_stream_ends_by_max_tokens():
    play, _ = messaging.asked(messaging.messages(), held(base=messaging.held))
    blocks = [{"type": "text", "text": "one "}, {"type": "text", "text": "two three"}, {"type": "text", "text": "four"}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
               "stop_sequence": None, "content": blocks, "usage": {"input_tokens": 9, "output_tokens": 4}}  # fmt: skip
    play.give(answer_head(), ResponseChunk(json.dumps(message).encode(), end_of_stream=True))
    seen = json.loads(play.sent())
    assert "".join(block["text"] for block in seen["content"]).replace("\n", "") == "one two"
    assert seen["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_response_is_refused_by_block(streamed):
    play = Play(held(Action.BLOCK))
    play.give(head(responding.PATH), RequestBody(responding.body(stream=streamed), end_of_stream=True))
    if streamed:
        script = responding.Script().begin()
        at = script.open(responding.message(responding.part(TEXT)))
        script.text(at, *TEXT)
        stream(play, *script.close(at).end().events)
        assert b'"type":"error"' in play.sent()
    else:
        answer = responding.response(responding.message(responding.part(TEXT)))
        play.give(answer_head(), ResponseChunk(json.dumps(answer).encode(), end_of_stream=True))
    assert (play.record.code, play.record.reason) == ("answer_blocked", "output.length")
    assert b"three" not in play.sent()


@pytest.mark.parametrize("streamed", [False, True])
def test_block_is_an_error(streamed):
    play = Play(held(Action.BLOCK))
    play.asked(stream=streamed)
    if streamed:
        stream(play, *(delta(char) for char in TEXT), DONE)
        assert texts(play.sent()).startswith("one")
        assert b"longer than policy lets through (rule output.length)" in play.sent()
    else:
        play.give(answer_head(), ResponseChunk(completion(TEXT), end_of_stream=True))
    assert b"three" not in play.sent()
    assert play.record.code == "answer_blocked"


@pytest.mark.parametrize("streamed", [False, True])
def test_shadow_only_counts(streamed):
    play = Play(held(mode=Mode.SHADOW))
    play.asked(stream=streamed)
    if streamed:
        stream(play, *(delta(char) for char in TEXT), delta("", finish_reason="stop"), DONE)
        assert texts(play.sent()) == TEXT
    else:
        play.give(answer_head(), ResponseChunk(completion(TEXT), end_of_stream=True))
    assert found(play) == [("output.length", 1, "allow")]
    assert play.record.outcome == "completed"
