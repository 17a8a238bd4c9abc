"""The admin port on a real socket."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from ostiary.admin import Admin, Page


@asynccontextmanager
async def listening():
    async def fine():
        return Page(200, b"ok\n")

    async def ill():
        return Page(503, b"worker-1.sock: UNAVAILABLE\n")

    admin = Admin({"/healthz": fine, "/readyz": ill})
    await admin.start("127.0.0.1", 0)
    try:
        yield admin
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/healthz", 200, "ok\n"),
        ("GET", "/healthz?verbose=1", 200, "ok\n"),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/readyz", 503, "worker-1.sock: UNAVAILABLE\n"),
        ("GET", "/", 404, "known paths: /healthz, /readyz\n"),
        ("POST", "/healthz", 405, "GET or HEAD\n"),
    ],
)
async def test_pages(method, path, status, body):
    async with listening() as admin, httpx.AsyncClient() as client:
        answer = await client.request(method, f"http://127.0.0.1:{admin.port}{path}")
    assert (answer.status_code, answer.text) == (status, body)


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 9000, b""])
async def test_what_is_not_http_is_dropped(raw):
    async with listening() as admin:
        reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
        writer.write(raw)
        writer.write_eof()
        try:
            assert await asyncio.wait_for(reader.read(), 10) == b""
        except ConnectionResetError:
            pass  # closing with unread bytes is a reset
        finally:
            writer.close()
