"""One site of control over a real Unix socket: its bounds, its errors, and whom it takes for whom."""

import asyncio
import contextlib
import os
import socket
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest

from clocks import ManualClock
from control.request import BODY_BYTES, Request, answer
from control.site import Place, Site


class Echo:
    """Tells what it was asked, and keeps it."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.hold: asyncio.Event | None = None

    async def __call__(self, request: Request):
        self.seen.append(request)
        if self.hold is not None:
            await self.hold.wait()
        if request.path.endswith("/crash"):
            raise RuntimeError("secret-in-a-message")
        kept = [("cache-control", "public, max-age=300")] if request.path.endswith("/public") else []
        return answer({"path": request.path, "body": request.body.decode()}, 200, ("x-own", "1"), *kept)


@asynccontextmanager
async def site(tmp_path, echo, *, local=True, **options):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen(8)
    made = Site((Place("/a/", echo), Place("/exact", echo)), ManualClock(), local=local, **options)
    await made.start(listening)
    connector = aiohttp.UnixConnector(str(tmp_path / "s"))
    try:
        async with aiohttp.ClientSession(connector=connector, base_url="http://control") as session:
            yield session, made
    finally:
        await made.close(1)


async def told(response):
    return response.status, orjson.loads(await response.read())


async def test_a_request_arrives_whole_and_its_answer_is_not_to_be_kept(tmp_path):
    echo = Echo()
    async with site(tmp_path, echo) as (session, _), session.post("/a/b?c=%20d", data=b"{}") as response:
        assert await told(response) == (200, {"path": "/a/b", "body": "{}"})
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-own"] == "1"
        assert response.headers["server"] == "ostiary"
    assert echo.seen[0].query == "c=%20d"


async def test_what_may_be_kept_says_so_itself(tmp_path):
    async with site(tmp_path, Echo()) as (session, _), session.get("/a/public") as response:
        assert response.headers["cache-control"] == "public, max-age=300"
        assert "pragma" not in response.headers


async def test_a_local_operator_is_known_by_the_kernel_and_not_by_headers(tmp_path):
    echo = Echo()
    forged = {"x-ostiary-client-certificate": "c", "x-ostiary-client-address": "192.0.2.1", "x-request-id": "mine"}
    async with site(tmp_path, echo) as (session, _), session.get("/a/", headers=forged) as response:
        assert response.headers["x-request-id"] != "mine"
    (request,) = echo.seen
    assert (request.peer_uid, request.certificate, request.address) == (os.getuid(), "", "")


async def test_behind_envoy_nobody_is_local_and_envoy_is_believed(tmp_path):
    echo = Echo()
    told_by_envoy = {"x-ostiary-client-certificate": "c", "x-ostiary-client-address": "192.0.2.1", "x-request-id": "r1"}
    async with site(tmp_path, echo, local=False) as (session, _), session.get("/a/", headers=told_by_envoy) as response:
        assert response.headers["x-request-id"] == "r1"
    (request,) = echo.seen
    assert (request.peer_uid, request.certificate, request.address) == (None, "c", "192.0.2.1")
    assert request.request_id == "r1"


@pytest.mark.parametrize("path", ["/", "/b", "/exact/", "/exact2", "/A/b", "/a"])
async def test_elsewhere_is_nothing(tmp_path, path):
    async with site(tmp_path, Echo()) as (session, _), session.get(path) as response:
        assert (await told(response))[1]["error"]["code"] == "not_found"
        assert response.status == 404


async def test_a_crash_is_told_without_its_text(tmp_path):
    async with site(tmp_path, Echo()) as (session, _), session.get("/a/crash") as response:
        status, body = await told(response)
        assert (status, body["error"]["code"]) == (500, "internal_error")
        assert "secret" not in repr(body)


async def test_a_handler_that_does_not_end_is_ended(tmp_path):
    echo = Echo()
    echo.hold = asyncio.Event()
    async with site(tmp_path, echo, deadline_s=0.01) as (session, _), session.get("/a/") as response:
        assert (await told(response))[1]["error"]["code"] == "unavailable"
        assert response.status == 503


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_bound_reaches_no_handler(tmp_path, chunked):
    echo = Echo()

    async def pieces():
        for _ in range(BODY_BYTES // 1024 + 1):
            yield b"x" * 1024

    data = pieces() if chunked else b"x" * (BODY_BYTES + 1)
    async with site(tmp_path, echo) as (session, _), session.post("/a/", data=data) as response:
        assert (await told(response))[1]["error"]["code"] == "body_too_large"
        assert response.status == 413
    assert not echo.seen


async def test_a_body_at_the_bound_arrives(tmp_path):
    echo = Echo()
    async with site(tmp_path, echo) as (session, _), session.post("/a/", data=b"x" * BODY_BYTES) as response:
        assert response.status == 200
    assert len(echo.seen[0].body) == BODY_BYTES


async def test_a_compressed_body_is_refused(tmp_path):
    zipped = {"content-encoding": "gzip"}
    async with site(tmp_path, Echo()) as (session, _), session.post("/a/", data=b"x", headers=zipped) as response:
        assert response.status == 415


async def raw(tmp_path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def closed_at_once(tmp_path) -> bool:
    try:
        return await raw(tmp_path, b"GET /a/ HTTP/1.1\r\nhost: c\r\n\r\n") == b""
    except ConnectionError:  # what was sent lies unread in a socket that was closed
        return True


async def test_two_credentials_are_none(tmp_path):
    echo = Echo()
    ask = b"GET /a/ HTTP/1.1\r\nhost: c\r\nauthorization: a\r\nauthorization: b\r\nconnection: close\r\n\r\n"
    async with site(tmp_path, echo):
        assert b"header_invalid" in await raw(tmp_path, ask)
    assert not echo.seen


async def test_endless_headers_are_refused(tmp_path):
    echo = Echo()
    ask = b"GET /a/ HTTP/1.1\r\nhost: c\r\nx: " + b"y" * 100_000 + b"\r\nconnection: close\r\n\r\n"
    async with site(tmp_path, echo):
        assert (await raw(tmp_path, ask)).startswith(b"HTTP/1.0 400")
    assert not echo.seen


async def test_connections_beyond_the_bound_are_closed_at_once(tmp_path):
    echo = Echo()
    echo.hold = asyncio.Event()
    async with site(tmp_path, echo, connections=1) as (session, _):
        first = asyncio.ensure_future(session.get("/a/"))
        while not echo.seen:
            await asyncio.sleep(0)
        assert await closed_at_once(tmp_path)
        echo.hold.set()
        async with await first as response:
            assert response.status == 200


async def test_closing_lets_an_open_request_finish(tmp_path):
    echo = Echo()
    echo.hold = asyncio.Event()
    async with site(tmp_path, echo) as (session, made):
        asked = asyncio.ensure_future(session.get("/a/"))
        while not echo.seen:
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(made.close(5))
        await asyncio.sleep(0)
        echo.hold.set()
        async with await asked as response:
            assert response.status == 200
        await closing


async def test_every_answer_is_counted(tmp_path):
    counted: list[int] = []
    async with site(tmp_path, Echo(), counted=counted.append) as (session, _):
        for path in ("/a/", "/b"):
            async with session.get(path):
                pass
    assert counted == [200, 404]
