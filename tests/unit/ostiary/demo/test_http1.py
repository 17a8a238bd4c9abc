"""Reading requests from bytes, however they are cut; test_upstream.py does it over sockets."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.demo import http1


class Writer:
    def __init__(self):
        self.sent = b""

    def write(self, data):
        self.sent += data


async def read(raw, cut=1 << 20):
    reader = asyncio.StreamReader(limit=http1.HEAD_LIMIT_BYTES)
    for start in range(0, len(raw), cut):
        reader.feed_data(raw[start : start + cut])
    reader.feed_eof()
    return await http1.read_request(reader, Writer())


@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 50), max_size=20), cut=st.integers(1, 100))
def test_chunked_bodies_are_joined_however_they_are_cut(body, sizes, cut):
    chunks, rest = b"", body
    for size in [*sizes, len(body)]:
        if rest:
            chunks += http1.chunk(rest[:size])
            rest = rest[size:]
    raw = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + http1.LAST_CHUNK
    assert asyncio.run(read(raw, cut)).body == body


async def test_the_end_between_requests_is_no_error():
    assert await read(b"") is None


async def test_the_end_inside_a_request_is_one():
    for raw in (b"GET / HT", b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nabc"):
        with pytest.raises(http1.MalformedError):
            await read(raw)


async def test_repeated_headers_are_kept_in_order():
    request = await read(b"GET /a?b=c HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
    assert request.headers == (("x-a", "1"), ("x-a", "2"))
    assert (request.path, request.target, request.header("x-a"), request.header("none")) == ("/a", "/a?b=c", "1", "")


@pytest.mark.parametrize(("line", "kept"), [("HTTP/1.1", True), ("HTTP/1.0", False)])
async def test_connections_are_kept_by_version(line, kept):
    assert (await read(f"GET / {line}\r\n\r\n".encode())).keep_alive is kept


def test_heads_end_with_an_empty_line_and_know_odd_statuses():
    assert http1.head(599, (("a", "b"),)) == b"HTTP/1.1 599 Unknown\r\na: b\r\n\r\n"
