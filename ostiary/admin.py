"""Health and metrics over plain HTTP/1.1 on loopback, for probes and scrapers. No secrets, no controls."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

_HEAD_LIMIT_BYTES: Final = 8192  # probes send a few hundred bytes
_PATIENCE_S: Final = 10.0  # whole life of a connection: Prometheus gives up after 10 s as well (scrape_timeout)
_CONNECTIONS: Final = 32  # more probes and scrapers than that are a mistake or an attack


@dataclass(frozen=True, slots=True)
class Page:
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


_Serve = Callable[[], Awaitable[Page]]


@dataclass(slots=True)
class Admin:
    """A listening admin port. `start`, then `port`; `close` when done."""

    pages: Mapping[str, _Serve]
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self, host: str, port: int) -> None:
        """Listen; with port 0 the system chooses one."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_HEAD_LIMIT_BYTES)

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def close(self) -> None:
        """Stop listening and drop what is open."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if len(self._writers) > _CONNECTIONS:
                    page, method = Page(503, b"too many connections\n"), "GET"
                else:
                    head = await reader.readuntil(b"\r\n\r\n")
                    method, target, *_ = head.decode("latin-1").split(" ", 2)
                    page = await self._page(method, target.partition("?")[0])
                writer.write(_encode(page, with_body=method != "HEAD"))
                await writer.drain()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a probe that does not speak HTTP learns nothing by an answer
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _page(self, method: str, path: str) -> Page:
        serve = self.pages.get(path)
        if serve is None:
            return Page(404, f"known paths: {', '.join(self.pages)}\n".encode())
        if method not in {"GET", "HEAD"}:
            return Page(405, b"GET or HEAD\n")
        return await serve()


def _encode(page: Page, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\ncontent-type: {page.content_type}\r\n"
        f"content-length: {len(page.body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (page.body if with_body else b"")
