"""Carries questions to advisers over HTTP and brings back what they say, or why they said nothing. Decides nothing.

Every adviser has a circuit breaker and a bound on questions under way: a service that is slow for all must not make
every request wait for its deadline.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import structlog

from extproc.core.questions import Advice, Advise, Advised, Failed, Told
from gateway import advice
from gateway.aio import spawn
from gateway.breaker import Breaker
from gateway.clock import Clock
from gateway.fetch import FetchError, StatusError
from gateway.policy.model import Adviser
from gateway.secrets import reference
from gateway.secrets.reference import Secret, SecretError

_log = structlog.get_logger("extproc.advisers")

_MS: Final = 1000.0
_UNDER_WAY: Final = 64  # questions of one worker to one adviser; each holds a request
_OPENS_AFTER: Final = 5  # failures in a row: fewer are a hiccup
_OPEN_S: Final = (1.0, 30.0)  # at first, at the longest
_SECRET_S: Final = 60.0  # a rotated secret file counts after this, or at once when the service says 401


class Line(Protocol):
    """A kept connection: `gateway.fetch.Line`, `gateway.fetch.Pipe`, or a test's own."""

    async def post(self, headers: Mapping[str, str], content: bytes, max_bytes: int, deadline_s: float) -> bytes:
        """The body of a 200 answer. Raises FetchError."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


#: Makes the line to an adviser; relative files start at the directory.
Dial: TypeAlias = Callable[[Adviser, str], Line]


@dataclass(slots=True)
class _Desk:
    """One adviser, and how it fares."""

    line: Line
    breaker: Breaker
    directory: str
    under_way: int = 0
    secret: Secret | None = None
    secret_read_s: float = 0.0


class Advisers:
    """All advisers of the current policy. For one event loop."""

    def __init__(self, dial: Dial, clock: Clock) -> None:
        self._dial = dial
        self._clock = clock
        self._desks: dict[Adviser, _Desk] = {}

    def follow(self, advisers: Mapping[str, Adviser], directory: str) -> None:
        """Ask these and no others. `directory` is the base of relative files."""
        wanted = {each: self._desks.get(each) or self._desk(each, directory) for each in advisers.values()}
        gone = [desk for each, desk in self._desks.items() if each not in wanted]
        self._desks = wanted
        for desk in gone:
            spawn(desk.line.close(), "adviser-gone")

    async def close(self) -> None:
        """Hang up on all."""
        desks, self._desks = self._desks, {}
        for desk in desks.values():
            await desk.line.close()

    async def ask(self, question: Advise) -> Told:
        """What the adviser says, within its deadline. Never raises, but for cancellation."""
        desk = self._desks.get(question.adviser)
        if desk is None:  # an exchange of a policy that was replaced meanwhile
            return Failed("no longer in the policy")
        if desk.under_way >= _UNDER_WAY:
            return Failed("too many questions at a time")
        if len(question.texts) > advice.TEXTS_MAX:
            return Failed("more texts than an adviser takes")
        if not desk.breaker.start(self._clock.monotonic()):
            return Failed("circuit open")
        desk.under_way += 1
        try:
            return await self._ask(desk, question)
        finally:
            desk.under_way -= 1

    def _desk(self, adviser: Adviser, directory: str) -> _Desk:
        breaker = Breaker(failures_to_open=_OPENS_AFTER, first_open_s=_OPEN_S[0], longest_open_s=_OPEN_S[1])
        return _Desk(self._dial(adviser, directory), breaker, directory)

    async def _ask(self, desk: _Desk, question: Advise) -> Told:
        adviser = question.adviser
        asked = advice.Question(
            schema=advice.SCHEMA,
            request_id=question.request_id,
            tenant=question.tenant,
            direction="request",
            texts=tuple([advice.Text(provenance=said_by, text=text) for said_by, text in question.texts]),
            deadline_ms=adviser.deadline_ms,
        )
        raw = advice.write_question(asked)
        if len(raw) > advice.QUESTION_MAX_BYTES:
            desk.breaker.abandoned()
            return Failed("larger than an adviser takes")
        try:
            headers = {"content-type": "application/json", **await self._credential(desk, adviser)}
            answer = await desk.line.post(headers, raw, advice.ANSWER_MAX_BYTES, adviser.deadline_ms / _MS)
            told = advice.read_advice(answer, asked)
        except (FetchError, SecretError, advice.AdviceError) as failure:
            return self._failed(desk, adviser, failure)
        except asyncio.CancelledError:
            desk.breaker.abandoned()
            raise
        except Exception as bug:  # noqa: BLE001 - the circuit must hear of it, and its text may hold a prompt
            return self._failed(desk, adviser, bug)
        desk.breaker.succeeded()
        found = tuple([Advice(each.rule, each.text, each.score, each.start, each.end) for each in told.findings])
        return Advised(found, bool(told.partial))

    async def _credential(self, desk: _Desk, adviser: Adviser) -> dict[str, str]:
        described = adviser.credential
        if described is None:
            return {}
        now_s = self._clock.monotonic()
        if desk.secret is None or now_s - desk.secret_read_s >= _SECRET_S:
            desk.secret = await asyncio.to_thread(reference.read_secret, described.file, Path(desk.directory))
            desk.secret_read_s = now_s
        return {described.header: described.prefix + desk.secret.reveal()}

    def _failed(self, desk: _Desk, adviser: Adviser, failure: Exception) -> Failed:
        if isinstance(failure, FetchError):
            reason = str(failure)
        elif isinstance(failure, SecretError):
            reason = "secret unreadable"
        else:
            reason = "not the contract" if isinstance(failure, advice.AdviceError) else type(failure).__name__
        if isinstance(failure, StatusError) and failure.status == 401:
            desk.secret = None
        if isinstance(failure, StatusError) and failure.status in {400, 413}:
            desk.breaker.succeeded()  # it is there, and would not take this question
        else:
            desk.breaker.failed(self._clock.monotonic())
        detail = str(failure) if isinstance(failure, SecretError | advice.AdviceError) else reason
        _log.warning("advice_failed", adviser=adviser.name, reason=detail)  # no text: places and kinds alone
        return Failed(reason)
