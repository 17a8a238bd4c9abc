"""Messages of an event stream: as botocore reads and writes them, however they are cut, and nothing that is broken."""

import struct
import zlib
from itertools import pairwise

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.translate import eventstream
from extproc.translate.eventstream import Framer, encode
from gateway.errors import GatewayError, Kind

MOST = 1 << 20
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
headers = st.dictionaries(names, st.text(st.characters(codec="utf-8"), max_size=20), max_size=4)
messages = st.lists(st.tuples(headers, st.binary(max_size=60)), min_size=1, max_size=3)


def read(raw, cuts=(), most=MOST):
    framer = Framer(most)
    edges = [0, *sorted(cuts), len(raw)]
    found = [each for a, b in pairwise(edges) for each in framer.feed(raw[a:b])]
    return [(dict(each.headers), each.payload) for each in found], framer.waiting


def refused(raw, most=MOST):
    with pytest.raises(GatewayError) as error:
        read(raw, most=most)
    assert error.value.kind is Kind.BACKEND_ANSWER_INVALID
    return error.value.cause


@settings(max_examples=40, deadline=None)
@given(told=messages, data=st.data())
def test_what_is_written_is_read_however_it_is_cut(told, data):
    raw = b"".join(encode(*each) for each in told)
    cuts = data.draw(st.sets(st.integers(0, len(raw)), max_size=20))
    assert read(raw, cuts) == (told, False)


@settings(max_examples=40, deadline=None)
@given(told=messages)
def test_botocore_reads_the_same(told):
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(encode(*each) for each in told))
    assert [(each.headers, each.payload) for each in buffer] == told


@settings(max_examples=60, deadline=None)
@given(told=messages, data=st.data())
def test_one_bit_that_is_wrong_is_found(told, data):
    raw = bytearray(b"".join(encode(*each) for each in told))
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    try:
        found, waiting = read(bytes(raw))
    except GatewayError:
        return
    assert waiting  # only a length that grew, with a checksum of its own that cannot match
    assert found == told[: len(found)]


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_waited_for_or_refused(raw):
    """That a checksum fits by chance is not to be expected: nothing is read out of noise."""
    try:
        found, _ = read(raw)
    except GatewayError:
        return
    assert found == []


def message(head, payload=b"", length=None, headers_length=None):
    """With headers as bytes, and lengths that lie where they are given; both checksums are right."""
    lengths = struct.pack(
        ">II",
        16 + len(head) + len(payload) if length is None else length,
        len(head) if headers_length is None else headers_length,
    )
    raw = lengths + struct.pack(">I", zlib.crc32(lengths)) + head + payload
    return raw + struct.pack(">I", zlib.crc32(raw))


VALUES = [
    (0, b""), (1, b""), (2, b"\x01"), (3, b"\x00\x01"), (4, b"\x00" * 4), (5, b"\x00" * 8), (6, b"\x00\x03abc"),
    (8, b"\x00" * 8), (9, b"\x00" * 16),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_headers_of_other_types_are_passed_over(kind, value):
    head = b"\x01a" + bytes([kind]) + value + b"\x01b\x07\x00\x02it"
    raw = message(head, b"said")
    assert read(raw) == ([({"b": "it"}, b"said")], False)
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    (theirs,) = buffer
    assert theirs.headers["b"] == "it"


@pytest.mark.parametrize(
    "head",
    [
        b"\x01a\x0a",  # a type that there is not
        b"\x05a\x07",  # a name that is longer than the headers
        b"\x01a",  # no type
        b"\x00\x00",  # no name
        b"\x01a\x07\x00\x09it",  # a value that is longer than the headers
        b"\x01a\x07\x00",  # half a length
        b"\x01a\x05\x00\x00",
        b"\x01a\x07\x00\x01\xff",  # no UTF-8
        b"\x01\xff\x07\x00\x01a",
        b"\x01a\x00\x01a\x00",  # twice
        b"".join(b"\x02" + bytes([97 + at // 26, 97 + at % 26]) + b"\x00" for at in range(33)),
        b"\x01a\x06\x20\x00" + b"x" * 8192,
    ],
)
def test_headers_that_are_not_well_formed_are_refused(head):
    assert "headers" in refused(message(head)) or "header" in refused(message(head))


@pytest.mark.parametrize(("length", "headers_length"), [(0, 0), (15, 0), (17, 2), (1 << 31, 0), (64, 1 << 31)])
def test_lengths_that_cannot_be_are_refused_before_anything_is_held(length, headers_length):
    refused(message(b"", length=length, headers_length=headers_length)[:12])


def test_a_message_longer_than_an_event_may_be_is_refused_by_its_first_bytes():
    raw = encode({}, b"x" * 985)
    assert "longer" in refused(raw[:12], most=1000)
    assert read(raw, most=1001)[0] == [({}, b"x" * 985)]


def test_messages_before_a_broken_one_are_read():
    framer = Framer(MOST)
    found = framer.feed(encode({"a": "b"}, b"one") + b"\x00" * 20)
    assert next(found).payload == b"one"
    with pytest.raises(GatewayError):
        next(found)


def test_bytes_that_come_one_by_one_cost_no_more_than_they_are():
    raw = encode({}, b"x" * 100_000) + encode({}, b"y")
    assert [len(payload) for _, payload in read(raw, range(1, len(raw)))[0]] == [100_000, 1]


def test_an_event_is_named_as_the_services_name_it():
    (found,), _ = read(eventstream.event("messageStart", b"{}"))
    assert found == (
        {":event-type": "messageStart", ":content-type": "application/json", ":message-type": "event"},
        b"{}",
    )
