"""Streams for clients of Anthropic: blocks never overlap, whatever the provider mixes."""

import orjson
import pytest

from extproc.translate.anthropic_stream import MessageReader, MessageWriter
from extproc.translate.canon import Began, Counted, Delta, Ended, Finish, Finished, Kind, PartBegan, PartEnded
from extproc.translate.dialect import Origin
from gateway.errors import GatewayError

ORIGIN = Origin(model="m", request_id="r", now_s=1)


def written(*events):
    raw = MessageWriter(ORIGIN).write([Began("id", "m"), *events])
    return [orjson.loads(event.split(b"data: ")[1]) for event in raw.split(b"\n\n") if event]


def call(index):
    return PartBegan(index, Kind.CALL, f"call_{index}", "f")


def test_a_call_that_began_later_waits_for_the_one_before():
    trees = written(call(0), call(1), Delta(1, "{}"), PartEnded(1), Delta(0, "{}"), PartEnded(0), Ended())
    told = [(tree["type"], tree.get("index")) for tree in trees]
    one = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert told[1:7] == [(kind, 0) for kind in one] + [(kind, 1) for kind in one]
    assert [tree["content_block"]["id"] for tree in trees if "content_block" in tree] == ["call_0", "call_1"]


def test_a_call_that_has_not_ended_is_ended_with_the_message():
    trees = written(call(0), Delta(0, "{"), call(1), Finished(Finish.LENGTH), Ended())
    assert [tree["type"] for tree in trees[-6:]] == [
        "content_block_delta", "content_block_stop", "content_block_start", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert trees[-2]["delta"]["stop_reason"] == "max_tokens"


def test_what_waits_is_bounded():
    writer = MessageWriter(ORIGIN)
    writer.write([Began("id", "m"), call(0), call(1)])
    writer.write([Delta(1, "x" * 1024)] * 1024)
    with pytest.raises(GatewayError):
        writer.write([Delta(1, "x")])


def test_names_of_what_waits_are_bounded_too():
    long = "n" * (1 << 19)
    waiting = [PartBegan(index, Kind.CALL, f"call_{index}", long) for index in range(1, 4)]
    with pytest.raises(GatewayError):
        written(call(0), *waiting)
    ended = [each for part in waiting for each in (PartBegan(part.index, Kind.CALL, "x", long), PartEnded(part.index))]
    assert len(written(*ended, Ended())) == 1 + 3 * 2 + 2


def test_usage_is_read_among_other_counts():
    reader = MessageReader(1 << 20)
    reader.feed(b'data: {"type":"message_start","message":{"usage":{"input_tokens":3,"a":"x"}}}\n\n')
    reader.feed(b'data: {"type":"message_delta","delta":{},"usage":{"output_tokens":5,"b":"y"}}\n\n')
    (counted,) = [each for each in reader.feed(b'data: {"type":"message_stop"}\n\n') if isinstance(each, Counted)]
    assert (counted.usage.input_tokens, counted.usage.output_tokens) == (3, 5)


def test_words_of_no_part_are_withheld():
    with pytest.raises(GatewayError):
        written(Delta(3, "x"))


def test_a_call_without_an_id_gets_one():
    assert written(PartBegan(0, Kind.CALL, "", "f"))[1]["content_block"]["id"] == "toolu_r_0"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "mcp_tool_use"}},
        {"type": "content_block_start", "index": True, "content_block": {"type": "text", "text": ""}},
    ],
)
def test_what_cannot_be_understood_is_withheld(event):
    reader = MessageReader(1 << 20)
    reader.feed(b'data: {"type":"message_start","message":{"id":"m"}}\n\n')
    with pytest.raises(GatewayError):
        reader.feed(b"data: " + orjson.dumps(event) + b"\n\n")
