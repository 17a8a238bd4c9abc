"""The way out through a Unix socket: an answer piece by piece, hung up on early, and every failure the same error."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from extproc.mirror import UNDER_WAY
from gateway.aio import cancel_and_wait
from gateway.egress import Egress, EgressError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def serving(tmp_path, script):
    """A server whose `script(reader, writer, head)` answers each connection's only request."""
    path = tmp_path / "s"

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        try:
            await script(reader, writer, head.decode())
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    egress = Egress(str(path))
    try:
        yield egress
    finally:
        await egress.close()
        server.close()


async def test_what_is_sent_is_what_was_written_and_the_answer_comes_in_pieces(tmp_path):
    asked = []

    async def answers(reader, writer, head):
        asked.append((head, await reader.readexactly(5)))
        writer.write(HEAD + b"3\r\none\r\n")
        await writer.drain()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    sent = {"user-agent": "us", "x-key": "k"}
    async with serving(tmp_path, answers) as egress, egress.post("/base/v1/a%3Ab?y=%2F", sent, b"hello") as answer:
        body = b"".join([piece async for piece in answer.pieces])
    assert (answer.status, answer.content_type, body) == (200, "text/event-stream", b"onetwo")
    ((head, got),) = asked
    assert (head.splitlines()[0], got) == ("POST /base/v1/a%3Ab?y=%2F HTTP/1.1", b"hello")
    assert {"user-agent: us", "x-key: k"} <= {line.lower() for line in head.splitlines()}


async def test_leaving_early_hangs_up(tmp_path):
    gone = asyncio.Event()

    async def endless(reader, writer, head):
        writer.write(HEAD)
        try:
            while True:
                writer.write(b"5\r\nwords\r\n")
                await writer.drain()
        finally:
            gone.set()

    async with serving(tmp_path, endless) as egress:
        async with egress.post("/x", {}, b"{}") as answer:
            assert await anext(answer.pieces)
        async with asyncio.timeout(20):
            await gone.wait()


async def test_requests_that_hang_hold_no_other_up(tmp_path):
    """Two mirrors that answer nothing have all their copies under way; a third one's go out all the same."""
    hanging = 2 * UNDER_WAY

    async def answers_the_last(reader, writer, head):
        if "/hangs" in head:
            await reader.read()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with serving(tmp_path, answers_the_last) as egress:

        async def hang():
            async with egress.post("/hangs", {}, b""):
                pass

        tasks = [asyncio.create_task(hang()) for _ in range(hanging)]
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert await _whole(egress) == []
        await cancel_and_wait(*tasks)


async def test_nobody_there_and_a_broken_answer_are_the_same_error(tmp_path):
    async def breaks(reader, writer, head):
        writer.write(HEAD + b"5\r\nwo")
        await writer.drain()

    async def says_nothing(reader, writer, head):
        del reader, writer, head

    for script in (breaks, says_nothing):
        async with serving(tmp_path, script) as egress:
            with pytest.raises(EgressError):
                await _whole(egress)
    with pytest.raises(EgressError, match="ConnectError"):
        await _whole(Egress(str(tmp_path / "nowhere"), connections=1))


async def _whole(egress):
    async with egress.post("/x", {}, b"{}") as answer:
        return [piece async for piece in answer.pieces]
