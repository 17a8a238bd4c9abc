"""Readiness questions against tiny servers on real sockets."""

import asyncio

import pytest

from ostiary import probe


async def test_valkeys_version_is_its_own_word(tmp_path):
    info = b"# Server\r\nredis_version:7.2.4\r\nvalkey_version:9.1.2\r\n"

    async def answer(reader, writer):
        assert await reader.readline() == b"INFO server\r\n"
        writer.write(b"$%d\r\n%b\r\n" % (len(info), info))
        writer.close()

    path = tmp_path / "v.sock"
    async with await asyncio.start_unix_server(answer, str(path)):
        assert await probe.valkey_version(path) == "9.1.2"


async def test_a_valkey_that_still_loads_is_not_ready(tmp_path):
    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"-LOADING\r\n")
        writer.close()

    path = tmp_path / "v.sock"
    async with await asyncio.start_unix_server(answer, str(path)):
        with pytest.raises(ConnectionError):
            await probe.valkey_version(path)


@pytest.mark.parametrize(
    ("raw", "told"),
    [(b"HTTP/1.1 503 Service Unavailable\r\n\r\nworker-0: down\n", (503, "worker-0: down\n")), (b"", (0, ""))],
)
async def test_pages_of_the_admin_port(raw, told):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await probe.http_status("127.0.0.1", port, "/readyz") == told
