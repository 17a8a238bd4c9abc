"""HTTP/1.1 as the demo upstream needs it: read one request, write one head. Not a general server."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

HEAD_LIMIT_BYTES: Final = 64 * 1024  # Envoy's own default for all request headers is 60 KiB
BODY_LIMIT_BYTES: Final = 64 * 1024 * 1024  # above every limit of the gateway, so that a leak shows as a request
_CRLF: Final = b"\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class MalformedError(Exception):
    """The peer did not speak HTTP/1.1 as RFC 9112 writes it; `status` is what it is told."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request. Header names are lower case, in wire order, repeated ones kept."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    keep_alive: bool

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name), "")


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request of a connection; None when the peer closed between two requests."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial.strip():
            raise MalformedError(400, "the connection ended inside the request head") from end
        return None
    except asyncio.LimitOverrunError as over:
        raise MalformedError(431, "the request head is too long") from over
    line, *fields = head[:-4].decode("latin-1").split("\r\n")
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not method or not target or version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise MalformedError(400, "the request line is not HTTP/1.1")
    headers = tuple(_field(field) for field in fields)
    named = dict(headers)
    if named.get("expect", "").lower() == "100-continue":
        writer.write(_CONTINUE)
    body = await _read_body(reader, named)
    close = "close" in named.get("connection", "").lower() or version == "HTTP/1.0"
    return Request(method, target, headers, body, keep_alive=not close)


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise MalformedError(400, "a header line has no name")
    return name.lower(), value.strip()


async def _read_body(reader: asyncio.StreamReader, named: dict[str, str]) -> bytes:
    coding, length = named.get("transfer-encoding"), named.get("content-length")
    if coding is not None:
        if length is not None or coding.lower() != "chunked":
            raise MalformedError(400, "only one framing of the body, and only chunked, is understood")
        return await _read_chunks(reader)
    if length is None:
        return b""
    if not (length.isascii() and length.isdigit()):
        raise MalformedError(400, "content-length is not a number")
    if int(length) > BODY_LIMIT_BYTES:
        raise MalformedError(413, "the body is too large")
    return await _exactly(reader, int(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        size_text = (await _line(reader)).partition(b";")[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError as error:
            raise MalformedError(400, "a chunk size is not hexadecimal") from error
        if size == 0:
            break
        total += size
        if size < 0 or total > BODY_LIMIT_BYTES:
            raise MalformedError(413, "the body is too large")
        parts.append(await _exactly(reader, size))
        if await _line(reader):
            raise MalformedError(400, "a chunk does not end where its size says")
    while await _line(reader):
        pass  # trailers are read and forgotten
    return b"".join(parts)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(_CRLF))[:-2]
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise MalformedError(400, "the connection ended inside the body") from error


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise MalformedError(400, "the connection ended inside the body") from error


def head(status: int, fields: tuple[tuple[str, str], ...]) -> bytes:
    """Status line and headers, with the empty line behind them."""
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"
