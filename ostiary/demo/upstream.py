"""The demo upstream: raw asyncio streams, deterministic, fast enough never to be what a bench measures.

It stands for a provider in `ostiary up`, in the tests and in the benches. It keeps nothing and calls nobody.
"""

import asyncio
import hashlib
import hmac
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

import orjson

from ostiary.demo import answer, converse, fault, generate, http1, messages, responses
from ostiary.demo.answer import RefusedError, Reply
from ostiary.demo.fault import Delivery, Ending
from ostiary.demo.http1 import MalformedError, Request

_CREDENTIALS: Final = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token", "cookie"}
)
_POSTS: Final = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses"}
)
SLOW_PACE_S: Final = 0.05  # demo-slow: twenty deltas a second is how fast a person reads
_CONTROL_LIMIT: Final = 100_000.0  # deltas, bytes or milliseconds: bounds what one header can cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the upstream behaves when a request does not say otherwise."""

    host: str = "127.0.0.1"
    port: int = 0
    pace_s: float = 0.0  # between two events of a stream
    deltas: int = 8  # parts of a streamed text; enough to split every sample inside a finding
    key: str | None = None  # demanded as bearer token, x-api-key or x-goog-api-key
    record: Path | None = None
    record_bodies: bool = False
    reuse_port: bool = False


@dataclass(slots=True)
class _Seen:
    """What one exchange looked like from here; becomes one line of the record."""

    request: Request
    status: int = 0
    pieces: int = 0
    closed_early: bool = False
    credential: str = "unchecked"

    def line(self, *, bodies: bool) -> bytes:
        headers = [
            (
                name,
                "sha256:" + hashlib.sha256(value.encode()).hexdigest()[:16] if name in _CREDENTIALS else value,
            )
            for name, value in self.request.headers
        ]
        body = self.request.body
        told: dict[str, object] = {
            "method": self.request.method,
            "path": self.request.target,
            "headers": headers,
            "body_bytes": len(body),
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "credential": self.credential,
            "status": self.status,
            "pieces_sent": self.pieces,
            "closed_early": self.closed_early,
        }
        if bodies:
            told["body"] = body.decode("utf-8", "replace")
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


class _LeftError(Exception):
    """The peer closed before the answer was complete."""


@dataclass(slots=True)
class Upstream:
    """One listening demo upstream. `start`, then `port`; `close` when done."""

    options: Options = field(default_factory=Options)
    _server: asyncio.Server | None = None
    _record: int | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        """Listen; with port 0 the system chooses one."""
        if self.options.record is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._record = os.open(self.options.record, flags, 0o600)
        self._server = await asyncio.start_server(
            self._serve,
            self.options.host,
            self.options.port,
            limit=http1.HEAD_LIMIT_BYTES,
            backlog=1024,  # a bench opens its connections at once
            reuse_port=self.options.reuse_port or None,
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            msg = "the upstream is not started"
            raise RuntimeError(msg)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and drop what is still open."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._open):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None
        if self._record is not None:
            os.close(self._record)
            self._record = None

    # --- one connection ---------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (request := await http1.read_request(reader, writer)) is not None:
                if not await self._exchange(request, reader, writer) or not request.keep_alive:
                    break
        except MalformedError as problem:
            refusal = answer.error(problem.status, str(problem))
            writer.write(_head(refusal, length=len(refusal.pieces[0]), keep_alive=False) + refusal.pieces[0])
        except (ConnectionError, TimeoutError):
            pass  # the peer is gone; there is nobody to tell
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Returns whether the connection may carry another one."""
        seen = _Seen(request)
        try:
            seen.credential = self._credential(request)
            reply, delivery = self._reply(request, seen.credential)
            seen.status = reply.status
            return await _deliver(reply, delivery, reader, writer, seen)
        except (_LeftError, ConnectionError):
            seen.closed_early = True
            return False
        finally:
            if self._record is not None:
                os.write(self._record, seen.line(bodies=self.options.record_bodies))

    def _credential(self, request: Request) -> str:
        if self.options.key is None:
            return "unchecked"
        if converse.model_of(request.path) and request.header("authorization").startswith("AWS4-"):
            return "right" if converse.signed_with(request, self.options.key) else "wrong"
        given = request.header("authorization").removeprefix("Bearer ")
        given = given or request.header("x-goog-api-key" if generate.model_of(request.path) else "x-api-key")
        if not given:
            return "missing"
        return "right" if hmac.compare_digest(given.encode(), self.options.key.encode()) else "wrong"

    def _reply(self, request: Request, credential: str) -> tuple[Reply, Delivery]:
        controls = {name: value for name, value in request.headers if name.startswith("x-demo-")}
        delivery = Delivery(
            pause_s=_number(controls, "x-demo-pace-ms", self.options.pace_s * 1000) / 1000,
            slice_bytes=int(_number(controls, "x-demo-slice", 0)),
        )
        if request.path in {"/healthz", "/health"}:
            return Reply(200, (b'{"status":"ok"}',)), delivery
        if credential in {"missing", "wrong"}:
            text = "You didn't provide an API key." if credential == "missing" else "Incorrect API key provided."
            if converse.model_of(request.path):
                return converse.error(403, text), delivery
            if generate.model_of(request.path):
                return generate.error(401, text), delivery
            return answer.error(401, text, code="invalid_api_key"), delivery
        try:
            deltas = int(_number(controls, "x-demo-deltas", self.options.deltas))
            reply = _route(request, max(1, deltas))
        except RefusedError as refused:
            if converse.model_of(request.path):
                return converse.error(refused.status, str(refused)), delivery
            if generate.model_of(request.path):
                return generate.error(refused.status, str(refused)), delivery
            return answer.error(refused.status, str(refused), code=refused.code, param=refused.param), delivery
        model = _model(request) if request.path in _POSTS else _named(request.path)
        if model == "demo-slow" and not delivery.pause_s:
            delivery = replace(delivery, pause_s=SLOW_PACE_S)
        wanted = controls.get(fault.HEADER, "")
        if not wanted and model.startswith(fault.MODEL_PREFIX):
            wanted = model.removeprefix(fault.MODEL_PREFIX)
        if not wanted:
            return reply, delivery
        try:
            return fault.apply(wanted, reply, delivery)
        except fault.UnknownFaultError:
            known = ", ".join(sorted(fault.TABLE))
            return answer.error(400, f"No such fault. Known: a status from 400 to 599, {known}."), delivery


def _number(controls: Mapping[str, str], name: str, default: float) -> float:
    try:
        return max(0.0, min(float(controls.get(name, default)), _CONTROL_LIMIT))
    except ValueError:
        return default


def _model(request: Request) -> str:
    # Only called once the body has parsed; the marker spares a second parse of ordinary requests.
    if b"fault-" not in request.body and b"demo-slow" not in request.body:
        return ""
    return str(answer.parse(request.body).get("model", ""))


def _named(path: str) -> str:
    """The model that a path names."""
    return converse.model_of(path) or generate.model_of(path)


def _route(request: Request, deltas: int) -> Reply:
    if request.path in _POSTS or _named(request.path):
        if request.method != "POST":
            raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
        if request.path == "/v1/embeddings":
            return answer.embedding(request.body)
        if request.path == "/v1/messages":
            return messages.message(request.body, deltas)
        if converse.model_of(request.path):
            return converse.converse(request.path, request.body, deltas)
        if generate.model_of(request.path):
            return generate.generate(request.path, request.body, deltas)
        if request.path == "/v1/responses":
            return responses.respond(request.body, deltas)
        return (answer.chat if request.path == "/v1/chat/completions" else answer.completion)(request.body, deltas)
    if request.path == "/v1/models":
        if request.method not in {"GET", "HEAD"}:
            raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
        return answer.models()
    raise RefusedError(404, f"Invalid URL ({request.method} {request.path}).", code="unknown_url")


# --- delivery -------------------------------------------------------------------------------------


def _head(reply: Reply, *, length: int | None, keep_alive: bool, trailers: bool = False) -> bytes:
    fields = [("content-type", reply.content_type), *reply.headers, ("openai-processing-ms", "1")]
    if reply.status != HTTPStatus.NO_CONTENT:
        fields.append(("transfer-encoding", "chunked") if length is None else ("content-length", str(length)))
    if trailers:
        fields.append(("trailer", "x-demo-trailer"))
    if not keep_alive:
        fields.append(("connection", "close"))
    return http1.head(reply.status, tuple(fields))


async def _deliver(
    reply: Reply,
    delivery: Delivery,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    seen: _Seen,
) -> bool:
    """Write the reply as the delivery says. Returns whether the connection may go on."""
    request = seen.request
    if delivery.pieces == -1:
        return await _finish(delivery, reader, writer)
    chunked = reply.streamed or bool(delivery.trailers)
    total = sum(map(len, reply.pieces))
    head = _head(
        reply,
        length=None if chunked else total,
        keep_alive=request.keep_alive,
        trailers=bool(delivery.trailers),
    )
    if request.method == "HEAD":
        writer.write(head)
        return request.keep_alive
    if not chunked and delivery == _PLAIN and len(reply.pieces) == 1:
        writer.write(b"".join((head, *reply.pieces)))
        await writer.drain()
        seen.pieces = len(reply.pieces)
        return request.keep_alive
    writer.write(head)
    for index, piece in enumerate(_sliced(reply, delivery)):
        if index == delivery.pieces:
            break
        if index:
            await asyncio.sleep(delivery.pause_s)  # 0 gives the loop a turn: each event is a write of its own
        if reader.at_eof() or writer.is_closing():
            raise _LeftError
        writer.write(http1.chunk(piece) if chunked else piece)
        await writer.drain()
        seen.pieces += 1
    if delivery.ending is not Ending.END:
        return await _finish(delivery, reader, writer)
    if chunked:
        trailers = "".join(f"{name}: {value}\r\n" for name, value in delivery.trailers)
        writer.write(http1.LAST_CHUNK[:-2] + trailers.encode("latin-1") + b"\r\n")
    await writer.drain()
    return request.keep_alive


_PLAIN: Final = Delivery()
_PART_BYTES: Final = 16  # faults count pieces: a JSON answer has one, so it is cut into these first


def _sliced(reply: Reply, delivery: Delivery) -> tuple[bytes, ...]:
    size = delivery.slice_bytes
    if not size and not reply.streamed and delivery.pieces is not None:
        size = _PART_BYTES
    if not size:
        return reply.pieces
    body = b"".join(reply.pieces)
    return tuple(body[start : start + size] for start in range(0, len(body), size))


async def _finish(delivery: Delivery, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """End the connection in the way that the fault wants."""
    if delivery.ending is Ending.STALL:
        await reader.read(1)  # returns when the peer closes: a stalled upstream never speaks first
        raise _LeftError
    await writer.drain()
    if delivery.ending is Ending.RESET:
        await asyncio.sleep(0.01)  # the peer must have read what was sent: RST discards what still waits there
        connection: socket.socket | None = writer.get_extra_info("socket")
        if connection is not None:
            # SO_LINGER with zero seconds makes close() send RST instead of FIN (socket(7)).
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    return False


# --- command --------------------------------------------------------------------------------------


async def run(options: Options, *, quiet: bool = False, port_file: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT. `port_file` appears, whole, once the port is open."""
    upstream = Upstream(options)
    try:
        await upstream.start()
    except OSError as problem:
        print(
            f"demo upstream: cannot listen on {options.host}:{options.port}: {problem.strerror}",
            file=sys.stderr,
        )
        return 1
    if port_file is not None:
        fresh = port_file.with_suffix(".new")
        fresh.write_text(f"{upstream.port}\n")
        fresh.replace(port_file)
    if not quiet:
        print(f"demo upstream: http://{options.host}:{upstream.port}/v1 (Ctrl-C stops it)", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await upstream.close()
    return 0
