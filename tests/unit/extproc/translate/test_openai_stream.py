"""Streams of OpenAI and its likes, as servers really send them."""

import orjson
import pytest

from extproc.translate.canon import Delta, Ended, Failure, Finish, Finished, Kind, PartBegan, PartEnded
from extproc.translate.openai_stream import MAX_PARTS, ChunkReader
from gateway.errors import GatewayError
from gateway.errors import Kind as ErrorKind


def chunk(delta=None, finish=None, **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + orjson.dumps({"id": "c", "model": "m", "choices": choices, **more}) + b"\n\n"


def call(number, arguments=None, *, call_id=None, name=None):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return chunk({"tool_calls": [{"index": number, "id": call_id, "function": function}]})


def events(*chunks):
    reader = ChunkReader(1 << 20)
    return reader.feed(b"".join(chunks)) + reader.close()


def refused(*chunks):
    with pytest.raises(GatewayError) as raised:
        events(*chunks)
    assert raised.value.kind is ErrorKind.BACKEND_ANSWER_INVALID
    return raised.value.cause


def test_a_call_ends_where_its_arguments_end():
    told = events(call(0, '{"a":"}', call_id="x", name="f"), call(0, '"}'), chunk({"content": "So."}))
    assert [type(event) for event in told[2:6]] == [Delta, Delta, PartEnded, PartBegan]


def test_ids_of_calls_are_bounded_together():
    long = "i" * 300_000
    assert "ids" in refused(*(call(number, "{}", call_id=f"{long}{number}", name="f") for number in range(4)))


def test_a_call_without_arguments_has_the_empty_object():
    told = events(call(0, "", call_id="x", name="f"), chunk({}, "tool_calls"))
    assert told[-4:] == [Delta(0, "{}"), PartEnded(0), Finished(Finish.CALLS), Ended()]


def test_repeated_ids_and_names_do_not_begin_another_call():
    first = call(0, '{"a"', call_id="x", name="f")
    told = events(first, call(0, ":1}", call_id="x", name="f"))
    assert sum(type(event) is PartBegan for event in told) == 1


def test_calls_that_are_all_numbered_0_are_told_apart_by_their_ids():
    told = events(call(0, "{}", call_id="x", name="f"), call(0, "{}", call_id="y", name="g"))
    assert [event.id for event in told if type(event) is PartBegan] == ["x", "y"]


def test_a_call_that_stops_says_why():
    told = events(call(0, "{}", call_id="x", name="f"), chunk({}, "stop"))
    assert Finished(Finish.CALLS) in told


def test_both_names_for_reasoning_are_one():
    told = events(chunk({"reasoning": "a", "reasoning_content": "a"}), chunk({"content": "b"}), chunk({}, "stop"))
    assert [event.text for event in told if type(event) is Delta] == ["a", "b"]
    assert [event.kind for event in told if type(event) is PartBegan] == [Kind.THINKING, Kind.TEXT]


@pytest.mark.parametrize("beside", [b"", b',"choices":[{"index":0,"delta":{},"finish_reason":"error"}]'])
def test_a_failure_ends_the_stream(beside):
    error = b'data: {"error":{"message":"died"}' + beside + b"}\n\n"
    told = events(chunk({"content": "a"}), error, chunk({"content": "b"}))
    assert type(told[-1]) is Failure
    assert told[-1].message == "died"


@pytest.mark.parametrize(
    ("chunks", "cause"),
    [
        ([call(0, "{}", call_id="x", name="f"), call(0, "{}")], "arguments behind their end"),
        ([call(0, "{}{}", call_id="x", name="f")], "arguments behind their end"),
        ([call(0, "{}", call_id="x")], "a call without a name"),
        ([chunk({}, "stop"), chunk({"content": "more"})], "text behind a finish reason"),
        ([b"data: nul\n\n"], "event is not JSON"),
        ([b"data: []\n\n"], "event is not an object"),
        ([chunk(choices=[{"index": 1, "delta": {}}])], "more answers than were asked for"),
        ([call(at, "{}", call_id=f"x{at}", name="f") for at in range(MAX_PARTS + 1)], "too many parts"),
    ],
)
def test_what_cannot_be_understood_is_withheld(chunks, cause):
    assert refused(*chunks) == cause
