"""Answers of AWS Bedrock: what is none is withheld, and nothing in an error tells of the gateway's account."""

import orjson
import pytest

from extproc.translate.bedrock_answer import read_answer, read_error, read_exception, usage_of
from extproc.translate.canon import Call, Fault, Finish, Redacted, Text, Thinking, Usage
from gateway.errors import GatewayError, Kind


def told(*content, stop="end_turn", **more):
    return {"output": {"message": {"role": "assistant", "content": [*content]}}, "stopReason": stop, **more}


def test_every_part_is_read():
    answer = read_answer(
        told(
            {"reasoningContent": {"reasoningText": {"text": "a", "signature": "b"}}},
            {"reasoningContent": {"redactedContent": "YQ=="}},
            {"text": "c"},
            {"citationsContent": {"content": [{"text": "d"}, {"text": "e"}], "citations": []}},
            {"toolUse": {"toolUseId": "f", "name": "g", "input": {"h": 1}}},
        )
    )
    words = (Text("c"), Text("d"), Text("e"))
    assert answer.parts == (Thinking("a", "b"), Redacted("YQ=="), *words, Call("f", "g", '{"h":1}'))
    assert answer.finish is Finish.CALLS
    assert answer.usage is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        told(stop="tomorrow"),
        told(stop=None),
        told({"image": {"format": "png", "source": {"bytes": "AAAA"}}}),
        told({"toolResult": {"toolUseId": "a", "content": []}}),
        told({"toolUse": {"name": "a"}}),
        told({"toolUse": {"toolUseId": "a", "name": "b", "type": "server_tool_use"}}),
        told({"text": 5}),
        told({}),
        {"output": {"message": {"content": "a"}}, "stopReason": "end_turn"},
        told({"text": "a"}, usage={"inputTokens": -1}),
    ],
)
def test_what_is_no_answer_is_withheld(body):
    with pytest.raises(GatewayError) as error:
        read_answer(body)
    assert error.value.kind is Kind.BACKEND_ANSWER_INVALID


def test_what_a_cache_read_or_wrote_is_part_of_the_input():
    counts = {"inputTokens": 5, "outputTokens": 3, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 11}
    assert usage_of(counts) == Usage(23, 3, 7, 11)
    assert usage_of(None) is None


@pytest.mark.parametrize(
    ("status", "body", "fault", "code"),
    [
        (429, {"message": "Slow."}, Fault.LIMITED, ""),
        (
            400,
            {"__type": "com.amazon.coral.service#ValidationException", "Message": "Slow."},
            Fault.INVALID,
            "ValidationException",
        ),
        (424, {"message": "Slow."}, Fault.BROKEN, ""),
        (503, [], Fault.OVERLOADED, ""),
        (500, None, Fault.BROKEN, ""),
        (408, {"message": ["Slow."]}, Fault.TIMEOUT, ""),
    ],
)
def test_an_error_is_read_as_far_as_it_can_be(status, body, fault, code):
    failure = read_error(status, b"<html>" if body is None else orjson.dumps(body))
    assert (failure.fault, failure.status, failure.code) == (fault, status, code)
    assert failure.message in ("Slow.", f"The model's provider answered {status}.")


def test_nobody_learns_whose_account_it_is():
    words = "User: arn:aws:iam::123456789012:user/gateway may not call arn:aws:bedrock:eu-west-1:123456789012:model/a."
    for status in (400, 401, 403, 404):
        told = read_error(status, orjson.dumps({"message": words}))
        assert "123456789012" not in told.message
        assert told.message
    assert "123456789012" not in read_exception("validationException", orjson.dumps({"message": words})).message
