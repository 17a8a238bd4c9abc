"""Streams of AWS Bedrock: as its own package reads them; what is out of order, broken or cut ends them with an error."""

import orjson
import pytest

import aws
from extproc.translate import eventstream
from extproc.translate.attempt import Attempt
from extproc.translate.bedrock import BEDROCK
from extproc.translate.canon import Began, Ended, Fault, Finish, Finished, Kind, PartBegan, PartEnded, Signed
from extproc.translate.dialect import Target
from extproc.translate.dialects import FRONTS
from gateway.errors import GatewayError
from gateway.errors import Kind as ErrorKind
from tools.golden_translate import MAX_EVENT_BYTES, ORIGIN, cases, wire

TARGET = Target(model="m")


def read(name):
    case = cases("streams")[f"bedrock/{name}"]
    return case, wire(case)


@pytest.mark.parametrize("name", [each for each in cases("streams") if each.startswith("bedrock/")])
def test_botocore_reads_the_cases(name):
    """They are streams as Amazon sends them, and not only as we do."""
    case = cases("streams")[name]
    found = aws.read_events(wire(case))
    for event, told in zip(case["stream"], found, strict=True):
        kind = event.get(":event-type")
        if kind is None:
            assert told["Error"]["Message"]
        elif kind != "newEvent":
            assert told.keys() == {kind}


def events(raw, size=1 << 20):
    reader = BEDROCK.reader(MAX_EVENT_BYTES)
    return [each for at in range(0, len(raw), size) for each in reader.feed(raw[at : at + size])] + reader.close()


def test_an_answer_is_whole_without_its_usage():
    assert events(read("no_metadata")[1])[-2:] == [Finished(Finish.STOP), Ended()]


def test_an_answer_whose_last_message_is_cut_is_not():
    raw = read("text")[1]
    assert type(events(raw[:-1])[-1]) is Finished


def test_nothing_is_read_behind_the_end():
    raw = read("text")[1]
    assert events(raw + b"garbage") == events(raw)
    reader = BEDROCK.reader(MAX_EVENT_BYTES)
    reader.feed(raw)
    assert reader.feed(b"garbage") + reader.close() == []


@pytest.mark.parametrize(
    ("kind", "fault", "status"),
    [
        ("throttlingException", Fault.LIMITED, 429),
        ("validationException", Fault.INVALID, 400),
        ("serviceUnavailableException", Fault.OVERLOADED, 503),
        ("modelStreamErrorException", Fault.BROKEN, 424),
        ("internalServerException", Fault.BROKEN, 500),
        ("accessDeniedException", Fault.FORBIDDEN, 403),
        ("exceptionOfTomorrow", Fault.BROKEN, 500),
    ],
)
def test_an_exception_ends_a_stream(kind, fault, status):
    raw = eventstream.event("messageStart", b'{"role":"assistant"}')
    raw += eventstream.encode({":message-type": "exception", ":exception-type": kind}, b'{"message":"Because."}')
    began, failure = events(raw + b"more")
    assert type(began) is Began
    assert (failure.fault, failure.status, failure.code) == (fault, status, kind)
    assert ("Because" in failure.message) is (fault is not Fault.FORBIDDEN)


def start(index=0, **block):
    return "contentBlockStart", {"contentBlockIndex": index, "start": block}


def delta(index=0, **said):
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": said}


BEGAN = ("messageStart", {"role": "assistant"})
STOP = ("contentBlockStop", {"contentBlockIndex": 0})
END = ("messageStop", {"stopReason": "end_turn"})
CALLED = start(toolUse={"toolUseId": "a", "name": "b"})


@pytest.mark.parametrize(
    "told",
    [
        [delta(text="a")],
        [BEGAN, BEGAN],
        [BEGAN, delta(text="a"), END],
        [BEGAN, END, delta(text="a")],
        [BEGAN, ("metadata", {})],
        [BEGAN, STOP],
        [BEGAN, ("contentBlockDelta", {"delta": {"text": "a"}})],
        [BEGAN, delta(index=-1, text="a")],
        [BEGAN, delta(toolUse={"input": "a"})],
        [BEGAN, delta(toolResult=[{"text": "a"}])],
        [BEGAN, delta(image={"source": {"bytes": "AAAA"}})],
        [BEGAN, start(image={"format": "png"})],
        [BEGAN, start(toolResult={"toolUseId": "a"})],
        [BEGAN, CALLED, CALLED],
        [BEGAN, CALLED, delta(text="a")],
        [BEGAN, CALLED, delta(reasoningContent={"text": "a"})],
        [BEGAN, start(toolUse={"toolUseId": "a"})],
        [BEGAN, ("messageStop", {"stopReason": "tomorrow"})],
        [BEGAN, *[delta(index=at, text="a") for at in range(1025)]],
        [BEGAN, *[delta(reasoningContent={"redactedContent": "AAAA"})] * 1025],
        [BEGAN, ("contentBlockDelta", [])],
    ],
)
def test_what_is_out_of_order_is_withheld(told):
    raw = b"".join(eventstream.event(kind, orjson.dumps(tree)) for kind, tree in told)
    with pytest.raises(GatewayError) as error:
        events(raw)
    assert error.value.kind is ErrorKind.BACKEND_ANSWER_INVALID


def test_a_message_of_a_kind_that_there_is_not_is_withheld():
    for headers in ({}, {":message-type": "request"}):
        with pytest.raises(GatewayError):
            events(eventstream.encode(headers, b"{}"))
    with pytest.raises(GatewayError):
        events(eventstream.event("messageStart", b"{"))


def test_a_block_may_start_without_words_and_thoughts_may_be_hidden():
    raw = [
        BEGAN,
        start(),
        delta(reasoningContent={"signature": "a"}),
        delta(reasoningContent={"redactedContent": "b"}),
        delta(text="c"),
        STOP,
        END,
    ]
    told = events(b"".join(eventstream.event(kind, orjson.dumps(tree)) for kind, tree in raw))
    assert [each.kind for each in told if type(each) is PartBegan] == [Kind.THINKING, Kind.REDACTED, Kind.TEXT]
    assert [each.index for each in told if type(each) is PartEnded] == [0, 1, 2]
    assert Signed(0, "a") in told


def test_citations_prove_what_was_said():
    raw = [BEGAN, delta(text="a"), delta(citation={"title": "b"}), STOP, END]
    told = events(b"".join(eventstream.event(kind, orjson.dumps(tree)) for kind, tree in raw))
    assert type(told[-1]) is Ended


@pytest.mark.parametrize("front", FRONTS)
def test_a_broken_message_ends_a_stream_whatever_came_before(front):
    raw = bytearray(read("text")[1])
    raw[-1] ^= 1
    stream = Attempt(FRONTS[front], BEDROCK, TARGET).stream(ORIGIN, MAX_EVENT_BYTES)
    said = stream.feed(bytes(raw[:500]))
    assert said
    with pytest.raises(GatewayError):
        stream.feed(bytes(raw[500:]))
