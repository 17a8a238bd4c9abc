"""A scripted provider on loopback: each request is answered by the script that its body names. Not the demo.

A test registers `async def script(call)` and gets a marker to put into its prompt. The server runs in a
thread with a loop of its own, so that sync and async tests, and SDKs, use it alike. It records what it saw
and how the call ended.
"""

import asyncio
import contextlib
import re
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

Headers = Sequence[tuple[str, str]]
Script = Callable[["Call"], Awaitable[None]]

MARKER = re.compile(rb"marker-([a-z]{12})")
#: Where markers are looked for: scanning 10 MiB bodies for them would dominate the suite.
EDGE_BYTES = 8192


class Gate:
    """A latch that a test opens while a script waits for it, or the other way round."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    @property
    def is_open(self) -> bool:
        return self._event.is_set()

    async def passed(self, timeout_s: float = 20) -> None:
        """For scripts, which must not block their loop."""
        if not await asyncio.to_thread(self._event.wait, timeout_s):
            raise TimeoutError("the test never opened the gate")

    def wait(self, timeout_s: float = 20) -> None:
        """For tests."""
        if not self._event.wait(timeout_s):
            raise TimeoutError("the script never opened the gate")


@dataclass(slots=True)
class Seen:
    """One request as the provider saw it, and how its answer ended."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    port: int
    at: float
    trailers: list[tuple[str, str]] = field(default_factory=list)
    chunks_sent: int = 0
    sent: bytearray = field(default_factory=bytearray)
    finished: Gate = field(default_factory=Gate)  # the script ended, whatever the way
    gone: Gate = field(default_factory=Gate)  # the peer closed the connection
    problem: str = ""

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def header(self, name: str) -> str | None:
        """The value of a header that appears once at most."""
        found = [v for k, v in self.headers if k == name]
        if len(found) > 1:
            raise AssertionError(f"{name} appeared {len(found)} times")
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        return {k for k, _ in self.headers}


class Call:
    """One request in flight, handed to its script."""

    def __init__(self, seen: Seen, writer: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        self.seen = seen
        self._writer = writer
        self._lost = lost
        self._chunked = False
        self.reusable = True

    async def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        if self._lost.is_set():
            raise ConnectionResetError("peer closed")
        self._writer.write(data)
        self.seen.sent += data
        await self._writer.drain()

    async def head(self, status: int = 200, headers: Headers = (), *, length: int | None = None) -> None:
        """Status line and headers; chunked unless a length is given."""
        self._chunked = length is None and status not in (204, 304)
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{k}: {v}" for k, v in headers)]
        if self._chunked:
            lines.append("transfer-encoding: chunked")
        elif length is not None:
            lines.append(f"content-length: {length}")
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def chunk(self, data: bytes) -> None:
        """One chunk of the body, written at once."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)
        self.seen.chunks_sent += 1

    async def end(self, trailers: Headers = ()) -> None:
        """The end of a chunked body."""
        if self._chunked:
            tail = "".join(f"{k}: {v}\r\n" for k, v in trailers)
            await self.raw(f"0\r\n{tail}\r\n".encode("latin-1"))

    async def answer(
        self, status: int, body: bytes, headers: Headers = (("content-type", "application/json"),)
    ) -> None:
        """A whole answer with content-length."""
        await self.head(status, headers, length=len(body))
        await self.chunk(body)

    async def json(self, value: Any, status: int = 200, headers: Headers = ()) -> None:
        await self.answer(status, orjson.dumps(value), [("content-type", "application/json"), *headers])

    async def sse(self, data: bytes, *, size: int = 0, headers: Headers = (), pause_s: float = 0) -> None:
        """A whole event stream, cut into chunks of `size` bytes (0: one chunk)."""
        await self.head(200, [("content-type", "text/event-stream"), *headers])
        step = size or max(1, len(data))
        for start in range(0, len(data), step):
            await self.chunk(data[start : start + step])
            await asyncio.sleep(pause_s)  # gives Envoy the chance to read this piece alone
        await self.end()

    def hold_little(self, size_bytes: int) -> None:
        """Bound what the kernel takes from us ahead of the peer: loopback's own megabytes hide what the peer reads."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)

    def reset(self) -> None:
        """Abort with RST, as a crashed provider does."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        self.reusable = False

    def hang_up(self) -> None:
        """Close with FIN, possibly in the middle of a body."""
        self.reusable = False

    async def until_gone(self, timeout_s: float = 20) -> None:
        """Return when the peer has closed the connection."""
        async with asyncio.timeout(timeout_s):
            await self._lost.wait()


class _Protocol(asyncio.StreamReaderProtocol):
    """StreamReaderProtocol that tells at once when the peer closes, also while a script is writing."""

    def __init__(self, reader: asyncio.StreamReader, serve: Callable[..., Awaitable[None]]) -> None:
        self.lost = asyncio.Event()
        super().__init__(reader, lambda r, w: serve(r, w, self.lost))

    def eof_received(self) -> bool:
        super().eof_received()
        self.lost.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        super().connection_lost(exc)


class Upstream:
    """The server. `default` answers requests that carry no marker."""

    def __init__(self, default: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._default = default
        self._tls = tls
        self._scripts: dict[str, Script] = {}
        self._seen: dict[str, list[Seen]] = {}
        self.unmarked: list[Seen] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = Gate()
        self._thread = threading.Thread(target=self._run, name="scripted-upstream", daemon=True)
        self._stop: asyncio.Event | None = None
        self._changed = threading.Condition()
        self.problems: list[str] = []

    # --- for tests ---------------------------------------------------------------------------------------
    def start(self) -> "Upstream":
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        stop = self._stop
        if stop is not None:
            self._loop.call_soon_threadsafe(stop.set)
        self._thread.join(20)
        if self._thread.is_alive():
            raise AssertionError("the scripted upstream did not stop")

    def script(self, script: Script | None = None, marker: str = "") -> str:
        """Register a script; returns the marker to write into the prompt. `marker`: the one of another upstream."""
        name = marker.removeprefix("marker-")
        name = name or "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(12))
        self._scripts[name] = script or self._default
        self._seen[name] = []
        return f"marker-{name}"

    def seen(self, marker: str) -> list[Seen]:
        """The requests that carried the marker so far."""
        return list(self._seen[marker.removeprefix("marker-")])

    def wait_seen(self, marker: str, count: int = 1, timeout_s: float = 20) -> list[Seen]:
        """Block until `count` requests with the marker arrived."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.seen(marker)) >= count, timeout_s):
                raise TimeoutError(f"upstream saw {len(self.seen(marker))} of {count} requests")
        return self.seen(marker)

    def one(self, marker: str) -> Seen:
        """The only request with the marker."""
        seen = self.seen(marker)
        if len(seen) != 1:
            raise AssertionError(f"expected one upstream request, saw {len(seen)}")
        return seen[0]

    # --- the server --------------------------------------------------------------------------------------
    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connection(reader, writer, lost)
            except asyncio.CancelledError:
                pass  # only `stop` cancels; the stream protocol would log it otherwise
            finally:
                tasks.discard(task)
                writer.transport.abort() if lost.is_set() else writer.close()

        def factory() -> _Protocol:
            return _Protocol(asyncio.StreamReader(limit=1 << 20), serve)

        server = await self._loop.create_server(factory, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.open()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                seen = await _read_request(reader, writer.get_extra_info("peername")[1])
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            script = self._note(seen)
            call = Call(seen, writer, lost)
            watcher = self._loop.create_task(_tell_when_gone(lost, seen))
            try:
                await script(call)
            except (ConnectionError, TimeoutError) as error:
                seen.problem = f"{type(error).__name__}: {error}"
                call.reusable = False
            except Exception as error:
                # A bug of the test's script: shown by the suite's teardown, never swallowed.
                self.problems.append(f"{type(error).__name__}: {error}")
                call.reusable = False
            seen.finished.open()
            if not call.reusable or lost.is_set():
                if not writer.transport.is_closing():
                    writer.close()
                async with asyncio.timeout(20):
                    await lost.wait()
                await watcher
                return
            watcher.cancel()

    def _note(self, seen: Seen) -> Script:
        found = MARKER.search(seen.body[:EDGE_BYTES]) or MARKER.search(seen.body[-EDGE_BYTES:])
        name = found.group(1).decode() if found else ""
        with self._changed:
            self._seen.get(name, self.unmarked).append(seen)
            self._changed.notify_all()
        return self._scripts.get(name, self._default)


async def _tell_when_gone(lost: asyncio.Event, seen: Seen) -> None:
    await lost.wait()
    seen.gone.open()


async def _read_request(reader: asyncio.StreamReader, port: int) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in head[1:] if line)]
    named = dict(headers)
    body, trailers = b"", []
    if "chunked" in named.get("transfer-encoding", ""):
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        while line := (await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            trailers.append((name.lower(), value.strip()))
    elif "content-length" in named:
        body = await reader.readexactly(int(named["content-length"]))
    return Seen(method, target, headers, body, port, time.monotonic(), trailers)


class Doorman:
    """A TCP relay before an upstream, which slams the door on the next `refuse` connections (a failed handshake)."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.refuse = 0
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="doorman", daemon=True)

    def start(self) -> "Doorman":
        self._thread.start()
        return self

    def hang_up(self) -> None:
        """End every connection, so that the next request needs a new one."""
        for conn in self._open:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        self._thread.join(20)

    def _serve(self) -> None:
        relays: list[threading.Thread] = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            if self.refuse > 0:
                self.refuse -= 1
                self.refused += 1
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._upstream.port))
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                relays.append(threading.Thread(target=_relay, args=(source, sink), daemon=True))
                relays[-1].start()
        for relay in relays:
            relay.join(20)
        for conn in self._open:
            conn.close()


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
