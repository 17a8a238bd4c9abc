"""The server that `control` and `ostiary analyse` share: answers, bounds, an end that waits for what is under way."""

import asyncio
import socket

import pytest
from aiohttp import web

from gateway.unix_http import UnixHttp


@pytest.fixture
async def site(tmp_path):
    made = []

    async def start(handler, connections=4, **options):
        path = str(tmp_path / "s")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        http = UnixHttp(handler, connections, **options)
        await http.start(listening)
        made.append(http)
        return path, http

    yield start
    for http in made:
        await http.close(1)


async def hello(_request):
    return web.Response(text="hello")


async def asked(path, head=b""):
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + head + b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_answers(site):
    path, _ = await site(hello)
    answer = await asked(path)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"hello")


async def test_a_head_beyond_its_bound_is_refused(site):
    path, _ = await site(hello)
    assert (await asked(path, b"x-long: " + b"a" * 8192 + b"\r\n")).split()[1] == b"400"


async def test_a_connection_too_many_is_closed_unheard(site):
    path, _ = await site(hello, connections=1)
    held, holding = await asyncio.open_unix_connection(path)
    await asyncio.sleep(0)
    reader, writer = await asyncio.open_unix_connection(path)
    assert await reader.read() == b""
    for one in (writer, holding):
        one.close()
        await one.wait_closed()
    assert await held.read() == b""


async def test_the_end_waits_for_an_answer_that_is_under_way(site):
    let, began = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        began.set()
        await let.wait()
        return web.Response(text="late")

    path, http = await site(slow)
    asking = asyncio.create_task(asked(path))
    await began.wait()
    ending = asyncio.create_task(http.close(5))
    await asyncio.sleep(0)
    let.set()
    assert (await asking).endswith(b"late")
    await ending
    with pytest.raises(OSError):
        await asked(path)
