"""Event streams through the exchange: guarded in every choice and channel, for any cut of the bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.commands import PassResponseTrailers
from extproc.core.events import Expired, ResponseChunk, ResponseTrailers
from gateway.policy.model import Action
from playbook import DONE, MAIL, Play, answer_head, chat, delta, texts
from worlds import policy, settings


def streaming(held=None, **kw):
    play = Play(held)
    play.asked(stream=True, **kw)
    play.give(answer_head(kind="text/event-stream; charset=utf-8"))
    return play


def test_usage_is_asked_for_by_a_splice_that_leaves_every_other_byte_alone():
    play = Play()
    body = chat(stream=True)
    _, sent = play.asked(body)
    assert sent.body == b'{"stream_options":{"include_usage":true},' + body[1:]
    assert json.loads(sent.body)["stream_options"] == {"include_usage": True}


def test_a_client_that_asked_for_usage_sees_it_and_its_body_stays_untouched():
    play = Play()
    _, sent = play.asked(chat(stream=True, stream_options={"include_usage": True}))
    assert sent.body is None
    usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'
    play.give(answer_head(kind="text/event-stream"), ResponseChunk(delta("hi ") + usage + DONE, end_of_stream=True))
    assert b'"prompt_tokens":9' in play.sent()
    assert play.record.usage.output_tokens == 4


def test_the_usage_event_is_hidden_from_a_client_that_did_not_ask():
    play = streaming()
    usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'
    play.give(ResponseChunk(delta("hi there. ") + usage + DONE, end_of_stream=True))
    assert b"usage" not in play.sent()
    assert play.record.usage.input_tokens == 9
    assert play.sent().endswith(DONE)


def test_missing_usage_is_estimated_and_says_so():
    play = streaming()
    play.give(ResponseChunk(delta("four") * 10 + DONE, end_of_stream=True))
    assert play.record.usage.source == "estimate"
    assert play.record.usage.output_tokens == 10


def test_an_address_split_over_events_never_leaves():
    play = streaming()
    for piece in ("write to bo", "b@exam", "ple.c", "om today. "):
        play.give(ResponseChunk(delta(piece), end_of_stream=False))
    play.give(ResponseChunk(DONE, end_of_stream=True))
    assert texts(play.sent()) == "write to [EMAIL] today. "
    assert b"bo" not in play.sent().replace(b"[EMAIL]", b"")


def test_choices_are_guarded_apart():
    play = streaming()
    play.give(
        ResponseChunk(
            delta("a@b", 0) + delta("c@d", 1) + delta(".com ", 0) + delta(".org ", 1) + DONE,
            end_of_stream=True,
        )
    )
    assert texts(play.sent(), 0) == "[EMAIL] "
    assert texts(play.sent(), 1) == "[EMAIL] "


def test_held_words_come_out_with_the_finish_reason():
    play = streaming()
    last = {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    play.give(
        ResponseChunk(delta("the end") + b"data: " + json.dumps(last).encode() + b"\n\n" + DONE, end_of_stream=True)
    )
    assert texts(play.sent()) == "the end"
    assert play.sent().index(b"end") < play.sent().index(b"[DONE]")


def test_a_stream_without_terminator_still_releases_its_last_words():
    play = streaming()
    play.give(ResponseChunk(delta("the end"), end_of_stream=True))
    assert texts(play.sent()) == "the end"


def test_streamed_tool_arguments_are_guarded_through_their_escapes_and_stay_json():
    play = streaming()
    pieces = ['{"to":"bob\\u00', "40exam", 'ple.com","n":1}']
    for number, piece in enumerate(pieces):
        call = {"index": 0, "function": {"arguments": piece}} | ({"id": "t", "type": "function"} if number == 0 else {})
        event = {
            "id": "c1",
            "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}],
        }
        play.give(ResponseChunk(b"data: " + json.dumps(event).encode() + b"\n\n", end_of_stream=False))
    last = {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    play.give(ResponseChunk(b"data: " + json.dumps(last).encode() + b"\n\n" + DONE, end_of_stream=True))
    arguments = ""
    for block in play.sent().split(b"\n\n"):
        if block.startswith(b"data: {"):
            for call in json.loads(block[6:])["choices"][0]["delta"].get("tool_calls", []):
                arguments += call.get("function", {}).get("arguments", "")
    assert json.loads(arguments) == {"to": "[EMAIL]", "n": 1}


def test_a_block_before_the_first_byte_is_a_clean_json_403():
    play = streaming(policy(response=settings(pii_email=Action.BLOCK)))
    play.give(ResponseChunk(delta(f"{MAIL} "), end_of_stream=False))
    assert play.refused() == (403, "answer_blocked")
    assert play.sent() == b""


def test_a_block_in_mid_stream_ends_it_with_the_dialects_error_and_terminator():
    play = streaming(policy(response=settings(pii_email=Action.BLOCK)))
    play.give(ResponseChunk(delta("so far so good. "), end_of_stream=False))
    play.give(ResponseChunk(delta(f"mail {MAIL} and more"), end_of_stream=False))
    assert play.exchange.finished
    assert play.commands[-1].end_of_stream
    out = play.sent()
    assert b"example.com" not in out
    assert b'"code":"answer_blocked"' in out
    assert out.endswith(DONE)
    assert play.record.outcome == "cut"
    assert play.give(ResponseChunk(delta("late"), end_of_stream=True)) == []


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {broken\n\n",
        b"data: []\n\n",
        b'data: {"choices":{}}\n\n',
        b'data: {"choices":[1]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":{}}}]}\n\n',
        b'data: {"choices":[{"index":"x"}]}\n\n',
    ],
)
def test_an_event_that_cannot_be_understood_cuts_the_stream(bad):
    play = streaming()
    play.give(ResponseChunk(delta("fine. "), end_of_stream=False))
    play.give(ResponseChunk(bad, end_of_stream=False))
    assert b"backend_answer_invalid" in play.sent()
    assert play.record.outcome == "cut"


def test_fields_nobody_knows_do_not_carry_text_past_the_guard():
    play = streaming()
    event = {
        "id": "c1",
        "choices": [{"index": 0, "delta": {"content": "hi. ", "annotations": MAIL}, "extra": MAIL}],
        "note": MAIL,
    }
    play.give(
        ResponseChunk(
            b": comment " + MAIL.encode() + b"\n\ndata: " + json.dumps(event).encode() + b"\n\n" + DONE,
            end_of_stream=True,
        )
    )
    assert b"example.com" not in play.sent()
    assert texts(play.sent()) == "hi. "


def test_trailers_end_an_answer_and_none_passes():
    play = streaming()
    play.give(ResponseChunk(delta("bye"), end_of_stream=False), ResponseTrailers(("grpc-status", "x-secret")))
    assert texts(play.sent()) == "bye"
    assert play.commands[-1] == PassResponseTrailers(("grpc-status", "x-secret"))
    assert play.exchange.finished


def test_deadlines_cut_a_stream_and_refuse_a_held_answer():
    play = streaming()
    play.give(ResponseChunk(delta("so far. "), end_of_stream=False), Expired("idle"))
    assert b"backend_timeout" in play.sent()
    play = Play()
    play.asked()
    play.give(answer_head(), Expired("exchange"))
    assert play.refused() == (504, "deadline_exceeded")
    play = Play()
    play.asked()
    assert play.give(Expired("idle")) == []  # Envoy's own timers rule before the answer's head


@given(st.data())
def test_the_streaming_invariant_any_cut_of_the_bytes_gives_the_same_text(data):
    whole = b"".join(
        [
            delta("Dear bob"),
            delta("@example.com, pay "),
            delta("DE89 3704 0044 0532"),
            delta(" 0130 00 and 4111-1111-"),
            delta("1111-1111 é "),
            delta("from 10.0.0.1"),
            delta("", finish_reason="stop"),
            DONE,
        ]
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=40)))
    play = streaming()
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        play.give(ResponseChunk(whole[begin:end], end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert texts(play.sent()) == "Dear [EMAIL], pay [IBAN] and [CARD] é from [IP]"
