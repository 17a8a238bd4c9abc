"""A reply behind a translation: what is translated reaches the guards, whole or as it comes, within its bounds."""

import json

import pytest

from extproc.core import translated
from extproc.providers.door import Seen
from extproc.translate.anthropic import ANTHROPIC
from extproc.translate.attempt import Attempt
from extproc.translate.dialect import Origin, Target
from extproc.translate.openai import OPENAI
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Limits
from messaging import block, end, event, start, stop, text

ORIGIN = Origin(model="m", request_id="r", now_s=1)
ATTEMPT = Attempt(OPENAI, ANTHROPIC, Target(model="theirs"))
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "theirs", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "hello"}],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


class Reply:
    """Takes down what it is fed."""

    blocked, ended = "a.rule", True

    def __init__(self):
        self.fed = []

    def feed(self, data, *, last):
        self.fed.append((data, last))
        return data

    def cut(self, error):
        return error.kind.value.encode()

    def instead(self, text):
        return text.encode()


def answer(status=200, **limits):
    return translated.Answer(ATTEMPT, ORIGIN, status, Limits(**limits), Seen())


def test_a_whole_answer_is_told_once_it_is_whole():
    inner = Reply()
    reply = answer().whole(inner)
    raw = json.dumps(MESSAGE).encode()
    assert reply.feed(raw[:20], last=False) == b""
    assert inner.fed == []
    assert json.loads(reply.feed(raw[20:], last=True))["choices"][0]["message"]["content"] == "hello"
    assert [last for _, last in inner.fed] == [True]


def test_an_answer_beyond_the_bound_is_refused_while_it_comes():
    reply = answer(answer_bytes=1024, event_bytes=1024).whole(Reply())
    reply.feed(b" " * 1024, last=False)
    with pytest.raises(GatewayError) as caught:
        reply.feed(b" ", last=False)
    assert caught.value.kind is Kind.BACKEND_ANSWER_TOO_LARGE


def test_a_stream_is_told_event_by_event_and_silence_is_not_passed_on():
    inner = Reply()
    reply = answer().stream(inner)
    assert reply.feed(start()[:10], last=False) == b""
    assert inner.fed == []
    reply.feed(start()[10:] + block() + text("hello"), last=False)
    assert b"hello" in b"".join(data for data, _ in inner.fed)
    reply.feed(stop() + end(), last=True)
    assert inner.fed[-1][1] is True
    assert inner.fed[-1][0].endswith(b"data: [DONE]\n\n")


OVERLOADED = event(type="error", error={"type": "overloaded_error", "message": "Overloaded"})


@pytest.mark.parametrize(
    ("tail", "failed"), [(stop() + end(), False), (b"", True), (OVERLOADED, True)], ids=["whole", "broke off", "error"]
)
def test_a_stream_that_ends_in_an_error_is_known_to_have_failed(tail, failed):
    told = answer()
    told.stream(Reply()).feed(start() + block() + text("hello") + tail, last=True)
    assert bool(told.seen.failed) is failed


def test_all_else_is_the_replys_own():
    reply = answer().whole(Reply())
    assert (reply.blocked, reply.ended, reply.instead("x")) == ("a.rule", True, b"x")
    assert reply.cut(GatewayError(Kind.INTERNAL, "x")) == b"internal_error"
