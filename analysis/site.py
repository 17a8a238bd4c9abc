"""The contract of advisers over HTTP on a Unix socket: bounds, questions, answers. Judges nothing."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Final

import orjson
import structlog
from aiohttp import web

from analysis.desk import BrokenError, Desk, FullError, LateError
from analysis.engine import Asked, Told
from gateway import similar
from gateway.advice import (
    FINDINGS_MAX,
    PATH,
    QUESTION_MAX_BYTES,
    SCHEMA,
    Advice,
    AdviceError,
    read_question,
    write_advice,
)
from gateway.unix_http import UnixHttp

_log: Final = structlog.get_logger(__name__)

HEALTH_PATH: Final = "/healthz"
#: Connections: each worker keeps a few open, and 256 workers is the most that settings allow.
CONNECTIONS: Final = 1024
#: What a body may take to arrive. The asker is a process of this host and has it at hand.
_BODY_S: Final = 5.0
#: The index is told of an answer for longer than anybody waits for one.
_TOLD_S: Final = 2.0
_RETRY_AFTER_S: Final = 1  # the least that the header can say; a full queue is empty after that


@dataclass(slots=True)
class Site:
    """One listening socket before some desks, found by their engine's name."""

    desks: Mapping[str, Desk]
    connections: int = CONNECTIONS
    body_s: float = _BODY_S
    _http: UnixHttp | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve on a socket that is bound already."""
        self._http = UnixHttp(
            self._serve, self.connections, handler_cancellation=True
        )  # whoever hangs up wants no verdict
        await self._http.start(listening)

    async def close(self, within_s: float) -> None:
        """Take no new connection, let open requests finish, end."""
        if self._http is not None:
            await self._http.close(within_s)

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._answer(raw)
        except Exception as bug:  # noqa: BLE001 -- an answer without a reason is one; the message may quote a text
            _log.error("analysis_failed", cause=type(bug).__name__)
            response = _refusal(500, "internal error")
        if raw.content.at_eof() is False:
            response.force_close()  # a body that was not read would be taken for the next request
        return response

    async def _answer(self, raw: web.BaseRequest) -> web.Response:
        path = raw.raw_path.partition("?")[0]
        if path == HEALTH_PATH:
            return self._health() if raw.method == "GET" else _refusal(405, "GET")
        known = {
            similar.PATH if name == similar.ENGINE else f"{PATH}/{name}": desk for name, desk in self.desks.items()
        }
        desk = known.get(path)
        if desk is None:
            return _refusal(404, f"known: {', '.join(known)}")
        if raw.method != "POST":
            return _refusal(405, "POST")
        try:
            body = await self._body(raw)
        except TimeoutError:
            return _refusal(408, "the body did not arrive in time")
        if body is None:
            return _refusal(413, f"at most {QUESTION_MAX_BYTES} bytes")
        try:
            return await (_similar(desk, body) if path == similar.PATH else _advised(desk, body))
        except (AdviceError, similar.SimilarError) as refused:
            return _refusal(400, str(refused))
        except FullError:
            response = _refusal(503, "the queue is full")
            response.headers["retry-after"] = str(_RETRY_AFTER_S)
            return response
        except LateError:
            return _refusal(504, "not begun before the deadline")
        except BrokenError:
            return _refusal(500, "the engine failed")

    async def _body(self, raw: web.BaseRequest) -> bytes | None:
        """The whole body, or None when it is longer than a question may be."""
        if (raw.content_length or 0) > QUESTION_MAX_BYTES:
            return None
        found = bytearray()
        async with asyncio.timeout(self.body_s):
            async for chunk in raw.content.iter_any():
                found += chunk
                if len(found) > QUESTION_MAX_BYTES:
                    return None
        return bytes(found)

    def _health(self) -> web.Response:
        """Whether every engine is at work, and how its queue fares."""
        told = {name: {"waiting": desk.waiting, **asdict(desk.tally)} for name, desk in self.desks.items()}
        dead = [name for name, desk in self.desks.items() if not desk.alive]
        body = orjson.dumps({"status": f"dead: {', '.join(dead)}" if dead else "ok", "engines": told})
        return web.Response(status=503 if dead else 200, body=body, content_type="application/json")


def _refusal(status: int, why: str) -> web.Response:
    return web.Response(status=status, text=f"{HTTPStatus(status).phrase}: {why}\n")


async def _advised(desk: Desk, body: bytes) -> web.Response:
    question = read_question(body)
    verdict = await desk.ask(question.texts, question.deadline_ms / 1000)
    findings, partial = verdict.findings, set(verdict.partial)
    if len(findings) > FINDINGS_MAX:
        partial |= {finding.text for finding in findings[FINDINGS_MAX:]}
        findings = findings[:FINDINGS_MAX]
    advice = Advice(schema=SCHEMA, findings=findings, partial=tuple(sorted(partial)))
    return web.Response(body=write_advice(advice), content_type="application/json")


async def _similar(desk: Desk, body: bytes) -> web.Response:
    question = similar.read_question(body)
    within_s = question.deadline_ms / 1000 if isinstance(question, similar.Find) else _TOLD_S
    chars = 0 if isinstance(question, similar.Drop) else len(question.text)
    verdict = await desk.take(Asked((), desk.clock.monotonic() + within_s, question=question), chars)
    if not isinstance(verdict, Told):
        raise BrokenError
    return web.Response(body=similar.write(verdict.near), content_type="application/json")
