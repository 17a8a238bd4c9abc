"""HTTP on one Unix socket of `control`: bounds, deadlines and errors of every request. Knows no handler's business."""

import asyncio
import secrets
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import web

from control.request import BODY_BYTES, Answer, Handler, Request, error
from gateway.clock import Clock
from gateway.contract import CLIENT_ADDRESS_HEADER, CLIENT_CERTIFICATE_HEADER, REQUEST_ID_HEADER
from gateway.unix_http import UnixHttp

_log: Final = structlog.get_logger(__name__)

#: A header line: a certificate of 5 KiB, URL-encoded as Envoy does it, is the longest; Envoy lets in 32 KiB in all.
_FIELD_BYTES: Final = 16 * 1024
_HEADERS: Final = 100  # as Envoy bounds them
#: Less than the route's timeout in Envoy (10 s), so that our answer wins; the registry has a shorter one of its own.
DEADLINE_S: Final = 8.0
#: Envoy keeps at most half of these open; the operator's commands open one each.
CONNECTIONS: Final = 64
_ENDS: Final = ("authorization", "content-type", "content-length", "content-encoding", "host", REQUEST_ID_HEADER)
_UCRED: Final = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


@dataclass(frozen=True, slots=True)
class Place:
    """What is served below a path. A prefix ends with a slash; anything else is one exact path."""

    path: str
    handler: Handler

    def holds(self, path: str) -> bool:
        """Whether the path lies here."""
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path


@dataclass(slots=True)
class Site:
    """One listening socket. `local`: everybody behind it is an operator of this machine, known by user id."""

    places: Sequence[Place]
    clock: Clock
    local: bool
    deadline_s: float = DEADLINE_S
    connections: int = CONNECTIONS
    counted: Callable[[int], None] = field(default=lambda _: None)  # told the status of every answer
    _http: UnixHttp | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve on a socket that is bound already."""
        self._http = UnixHttp(self._serve, self.connections, max_field_size=_FIELD_BYTES, max_headers=_HEADERS)
        await self._http.start(listening)

    async def close(self, within_s: float) -> None:
        """Take no new connection, let open requests finish, end."""
        if self._http is not None:
            await self._http.close(within_s)

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        request_id = raw.headers.get(REQUEST_ID_HEADER, "")[:64] if not self.local else ""
        request_id = request_id or secrets.token_hex(16)
        try:
            async with asyncio.timeout(self.deadline_s):
                answered = await self._answer(raw, request_id)
        except TimeoutError:
            _log.error("control_deadline", request_id=request_id, method=raw.method)
            answered = error(503, "unavailable", "Control did not finish in time. The change may have been made.")
        except Exception:  # noqa: BLE001 -- whatever it is, the caller gets a code and the log the place
            _log.error("control_failed", request_id=request_id, method=raw.method, exc_info=True)
            answered = error(500, "internal_error", "Control met an internal error. Quote the request id.")
        self.counted(answered.status)
        response = web.Response(status=answered.status, body=answered.body)
        cached = any(name == "cache-control" for name, _ in answered.headers)
        for name, value in (*_ALWAYS, *(() if cached else _NO_STORE), *answered.headers):
            response.headers[name] = value
        response.headers[REQUEST_ID_HEADER] = request_id
        if raw.content.at_eof() is False:
            response.force_close()  # a body that was not read would be taken for the next request
        return response

    async def _answer(self, raw: web.BaseRequest, request_id: str) -> Answer:
        path, _, query = raw.raw_path.partition("?")  # as it arrived: a parser that repairs it could be fooled
        place = next((each for each in self.places if each.holds(path)), None)
        if place is None:
            return error(404, "not_found", "Control serves nothing here.")
        headers: dict[str, str] = {}
        for name, value in raw.headers.items():
            lower = name.lower()
            # Of two credentials, two readers might believe different ones; other repeated headers mean nothing to us.
            if lower in headers and lower in _ENDS:
                return error(400, "header_invalid", f"The header {lower} stands twice.")
            headers.setdefault(lower, value)
        if headers.get("content-encoding", "identity").lower() != "identity":
            return error(415, "content_encoding_unsupported", "Send the body as it is, without compression.")
        body = await _body(raw)
        if body is None:
            return error(413, "body_too_large", f"A body has at most {BODY_BYTES} bytes here.")
        return await place.handler(
            Request(
                method=raw.method,
                path=path,
                query=query,
                headers=headers,
                body=body,
                request_id=request_id,
                certificate="" if self.local else headers.get(CLIENT_CERTIFICATE_HEADER, ""),
                address="" if self.local else headers.get(CLIENT_ADDRESS_HEADER, ""),
                peer_uid=_peer_uid(raw) if self.local else None,
                now=self.clock.now(),
            )
        )


#: The library would tell its version and Python's.
_ALWAYS: Final = (("server", "ostiary"),)
#: Keys, secrets and tokens are among the answers (RFC 6749 section 5.1): what may be kept has to say so itself.
_NO_STORE: Final = (("cache-control", "no-store"), ("pragma", "no-cache"))


async def _body(raw: web.BaseRequest) -> bytes | None:
    """The whole body, or None when it is longer than any of ours."""
    if (raw.content_length or 0) > BODY_BYTES:
        return None
    found = bytearray()
    async for chunk in raw.content.iter_any():
        found += chunk
        if len(found) > BODY_BYTES:
            return None
    return bytes(found)


def _peer_uid(raw: web.BaseRequest) -> int:
    """The user on the other end, by the kernel's word.

    Raises:
        RuntimeError: no Unix socket; nobody may then count as an operator.
    """
    peer = raw.transport.get_extra_info("socket") if raw.transport is not None else None
    if peer is None or peer.family != socket.AF_UNIX:
        raise RuntimeError("the operator's socket is no Unix socket")
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)
