"""A raw HTTP/1.1-over-TLS client: sends exactly the bytes it is told, keeps every byte it gets with its time.

Deliberately naive and strict: libraries would repair, reorder or hide what the conformance suite looks for.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

Headers = Sequence[tuple[str, str]]

#: Long enough for a loaded two-core machine, short enough that a hang fails a test instead of a CI job.
TIMEOUT_S = 20.0


@dataclass(slots=True)
class Response:
    """One answer. `ended` says how: complete | eof | reset | timeout."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    raw: bytes = b""
    pieces: list[tuple[float, bytes]] = field(default_factory=list)  # decoded body in order of arrival
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)  # 1xx statuses seen before
    ended: str = ""

    def header(self, name: str) -> str | None:
        found = [v for k, v in self.headers if k == name]
        if len(found) > 1:
            raise AssertionError(f"{name} appeared {len(found)} times")
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        return {k for k, _ in self.headers}

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def broken(self) -> bool:
        """Whether the peer ended the answer before its framing did (TLS shows RST and FIN alike)."""
        return self.ended in ("eof", "reset")

    @property
    def code(self) -> str:
        """The stable error code of an OpenAI-style body."""
        return str(self.json["error"]["code"])


def request_bytes(
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes | None = None,
    *,
    host: str = "localhost",
    chunk_bytes: int = 0,
    trailers: Headers = (),
) -> bytes:
    """A request on the wire. `chunk_bytes` > 0: chunked body. Nothing is added that was not asked for."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in headers)]
    if chunk_bytes:
        lines.append("transfer-encoding: chunked")
        if trailers:
            lines.append("trailer: " + ", ".join(k for k, _ in trailers))
    elif body is not None:
        lines.append(f"content-length: {len(body)}")
    out = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if not chunk_bytes:
        return out + (body or b"")
    whole = body or b""
    parts = [whole[i : i + chunk_bytes] for i in range(0, len(whole), chunk_bytes)]
    out += b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    tail = "".join(f"{k}: {v}\r\n" for k, v in trailers).encode("latin-1")
    return out + b"0\r\n" + tail + b"\r\n"


class Conn:
    """One TLS connection."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self._buffer = bytearray()
        self._eof = ""
        self._started = time.monotonic()
        self.received = bytearray()  # every byte of the connection, decrypted

    def send(self, data: bytes) -> bool:
        """Write; False when the peer has already closed (its answer may still be readable)."""
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError):
            return False
        return True

    def send_slowly(self, parts: Iterable[bytes], pause_s: float) -> bool:
        for part in parts:
            if not self.send(part):
                return False
            time.sleep(pause_s)
        return True

    # --- reading -----------------------------------------------------------------------------------------
    def _more(self, deadline: float) -> bool:
        """One read into the buffer; False on the end, with `_eof` saying which."""
        left = deadline - time.monotonic()
        if left <= 0:
            self._eof = "timeout"
            return False
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            self._eof = "timeout"
            return False
        except (ConnectionError, ssl.SSLError, OSError):
            self._eof = "reset"
            return False
        if not data:
            self._eof = "eof"
            return False
        self._buffer += data
        self.received += data
        return True

    def wait_for(self, text: bytes, timeout_s: float = TIMEOUT_S) -> bytes:
        """Everything received so far, once it holds `text`; nothing is consumed."""
        deadline = time.monotonic() + timeout_s
        while text not in self.received and self._more(deadline):
            pass
        return bytes(self.received)

    def _line(self, deadline: float) -> bytes | None:
        while (at := self._buffer.find(b"\r\n")) < 0:
            if not self._more(deadline):
                return None
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 2]
        return line

    def head(self, timeout_s: float = TIMEOUT_S) -> Response:
        """Status and headers; 1xx answers are noted and skipped."""
        deadline = time.monotonic() + timeout_s
        answer = Response()
        self._eof = ""
        while True:
            first = self._line(deadline)
            if first is None:
                answer.ended = self._eof
                return answer
            status = int(first.split(b" ")[1])
            headers = self._fields(deadline)
            if headers is None:
                answer.ended = self._eof
                return answer
            if 100 <= status < 200 and status != 101:
                answer.interim.append(status)
                continue
            answer.status, answer.headers = status, headers
            return answer

    def _fields(self, deadline: float) -> list[tuple[str, str]] | None:
        fields: list[tuple[str, str]] = []
        while True:
            line = self._line(deadline)
            if line is None:
                return None
            if not line:
                return fields
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name.lower(), value.strip()))

    def rest(
        self,
        answer: Response,
        *,
        method: str = "POST",
        until: bytes | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Response:
        """Read the body to its end, or until the decoded body holds `until` (then `ended` stays empty)."""
        deadline = time.monotonic() + timeout_s
        if answer.ended:
            return answer
        if method == "HEAD" or answer.status in (204, 304):
            answer.ended = "complete"
        elif "chunked" in (answer.header("transfer-encoding") or ""):
            self._chunked(answer, until, deadline)
        elif (length := answer.header("content-length")) is not None:
            self._counted(answer, int(length), until, deadline)
        else:
            self._until_close(answer, until, deadline)
        answer.raw = bytes(self.received)
        return answer

    def _take(self, answer: Response, count: int) -> None:
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        answer.body += piece
        answer.pieces.append((time.monotonic() - self._started, piece))

    def _chunked(self, answer: Response, until: bytes | None, deadline: float) -> None:
        while until is None or until not in answer.body:
            line = self._line(deadline)
            if line is None:
                answer.ended = self._eof
                return
            size = int(line.split(b";")[0], 16)
            if size == 0:
                fields = self._fields(deadline)
                answer.trailers = fields or []
                answer.ended = "complete" if fields is not None else self._eof
                return
            while len(self._buffer) < size + 2:
                if not self._more(deadline):
                    self._take(answer, min(size, len(self._buffer)))
                    answer.ended = self._eof
                    return
            self._take(answer, size)
            del self._buffer[:2]

    def _counted(self, answer: Response, length: int, until: bytes | None, deadline: float) -> None:
        while len(answer.body) < length and (until is None or until not in answer.body):
            if not self._buffer and not self._more(deadline):
                answer.ended = self._eof
                return
            self._take(answer, min(length - len(answer.body), len(self._buffer)))
        if len(answer.body) == length:
            answer.ended = "complete"

    def _until_close(self, answer: Response, until: bytes | None, deadline: float) -> None:
        while until is None or until not in answer.body:
            if not self._buffer and not self._more(deadline):
                answer.ended = "complete" if self._eof == "eof" else self._eof
                return
            self._take(answer, len(self._buffer))

    def answer(self, *, method: str = "POST", timeout_s: float = TIMEOUT_S) -> Response:
        """A whole answer."""
        return self.rest(self.head(timeout_s), method=method, timeout_s=timeout_s)

    # --- leaving -----------------------------------------------------------------------------------------
    def abort(self) -> None:
        """Vanish with RST, as a killed client does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RawClient:
    """Opens connections to one TLS port; `headers` go with every `ask`."""

    def __init__(
        self,
        port: int,
        ca: Path,
        headers: Headers = (),
        *,
        cert: tuple[Path, Path] | None = None,
        receive_buffer_bytes: int = 0,
        source: str = "",
    ) -> None:
        """`source` is the loopback address to come from; all of 127.0.0.0/8 is one host's own (RFC 1122)."""
        self.port = port
        self.headers = list(headers)
        self._context = ssl.create_default_context(cafile=str(ca))
        self._buffer_bytes = receive_buffer_bytes
        self._source = source
        if cert is not None:
            self._context.load_cert_chain(*map(str, cert))

    def open(self, alpn: Sequence[str] = ("http/1.1",)) -> Conn:
        context = self._context
        context.set_alpn_protocols(list(alpn))
        with contextlib.ExitStack() as failing:
            raw = failing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            if self._buffer_bytes:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer_bytes)
            raw.settimeout(TIMEOUT_S)
            if self._source:
                raw.bind((self._source, 0))
            raw.connect(("127.0.0.1", self.port))
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = context.wrap_socket(raw, server_hostname="localhost")
            failing.pop_all()
        return Conn(wrapped)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Headers = (),
        *,
        own_headers: bool = True,
        chunk_bytes: int = 0,
        trailers: Headers = (),
        timeout_s: float = TIMEOUT_S,
        once: tuple[bytes, Callable[[], None]] | None = None,
    ) -> Response:
        """One request on a connection of its own. `once` the body holds that text, or has ended, it calls."""
        sent = [*(self.headers if own_headers else ()), *headers]
        wire = request_bytes(method, target, sent, body, chunk_bytes=chunk_bytes, trailers=trailers)
        with self.open() as conn:
            conn.send(wire)
            if once is None:
                return conn.answer(method=method, timeout_s=timeout_s)
            text, call = once
            answer = conn.rest(conn.head(timeout_s), method=method, until=text, timeout_s=timeout_s)
            call()
            return conn.rest(answer, method=method, timeout_s=timeout_s)

    def post(self, target: str, value: Any, headers: Headers = (), **options: Any) -> Response:
        """POST JSON."""
        body = value if isinstance(value, bytes) else orjson.dumps(value)
        return self.ask("POST", target, body, [("content-type", "application/json"), *headers], **options)
