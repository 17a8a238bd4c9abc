"""Sends copies of requests to mirrors, and forgets what they answer. Chooses no request; charges no tenant.

No exchange waits for anything in here, and nothing is raised to one. Everything is bounded: copies under way, their
rate, the tokens of a day, the size and the time of an answer. What is beyond a bound is not sent, and counted.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import structlog

from extproc.adapt import Keys, prepare
from extproc.core import admission, crossing
from extproc.core.commands import Copy
from extproc.overheard import Overheard
from extproc.purse import Purse
from gateway import contract
from gateway.aio import cancel_and_wait, spawn
from gateway.audit.record import MIRROR, Record
from gateway.budgets.model import (
    PER_DAY,
    Amounts,
    Ask,
    Budgets,
    Dimension,
    Limit,
    Outage,
    Reserved,
    Resource,
    Subject,
)
from gateway.clock import Clock
from gateway.egress import EgressError
from gateway.errors import GatewayError, Kind
from gateway.limits.bucket import Bucket
from gateway.limits.local import LocalLimiter
from gateway.policy.model import Policy

_log = structlog.get_logger("extproc.mirror")

#: Of one worker, to one backend. Each holds a prompt (core/mirroring.py bounds it) and at most 1 MiB of an answer.
UNDER_WAY: Final = 16
#: Of an answer. The longest that models give have about 200 bytes for each of 32,000 tokens; then we hang up.
ANSWER_BYTES: Final = 8 * 1024 * 1024
_MINUTE_S: Final = 60
_CHARS: Final = 4  # of a token, roughly: where a mirror does not tell what it used
_REASON_CHARS: Final = 160


class Answer(Protocol):
    """An answer whose head has come: `gateway.egress.Answer`."""

    @property
    def status(self) -> int: ...  # noqa: D102

    @property
    def content_type(self) -> str: ...  # noqa: D102

    @property
    def pieces(self) -> AsyncIterator[bytes]: ...  # noqa: D102


class Wire(Protocol):
    """The way to mirrors: `gateway.egress.Egress`, or a test's own."""

    def post(self, path: str, headers: Mapping[str, str], content: bytes) -> AbstractAsyncContextManager[Answer]:
        """Send. Raises EgressError, also while the answer is read."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Held(Keys, Protocol):
    """Policies and credentials: `extproc.world.Book`."""

    def policy(self, version: str) -> Policy | None:
        """The policy of that version, if it is held."""
        ...

    def refused(self, policy: Policy, backend: str) -> None:
        """The provider did not take the backend's credential."""
        ...


class Meters(Protocol):
    """The metrics that mirrors move."""

    def copy(self, record: Record, tokens: tuple[int, int] | None) -> None:
        """Count a copy that was sent."""
        ...

    def not_copied(self, backend: str, model: str, reason: str) -> None:
        """Count one that was not."""
        ...


class Mirrors:
    """All mirrors of one worker. For one event loop."""

    def __init__(
        self,
        wire: Wire,
        held: Held,
        budgets: Budgets,
        offer: Callable[[Record], bool],
        recording: Callable[[], bool],
        meters: Meters,
        clock: Clock,
        *,
        workers: int,
    ) -> None:
        """`recording`: whether records are taken. Without them no prompt goes anywhere. `workers`: of this gateway."""
        self._wire = wire
        self._held = held
        self._budgets = budgets
        self._offer = offer
        self._recording = recording
        self._meters = meters
        self._clock = clock
        self._rates = LocalLimiter(clock, workers=workers)
        self._under_way: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, copy: Copy) -> None:
        """Send the copy behind the caller's back, or do not. Never waits, never raises."""
        backend = copy.mirror.backend
        if not self._recording():
            return self._meters.not_copied(backend, copy.model, "unrecorded")
        if self._under_way[backend] >= UNDER_WAY:
            return self._meters.not_copied(backend, copy.model, "busy")
        bucket = Bucket("", f"mirror:{copy.model}", copy.mirror.per_minute, _MINUTE_S)
        if not self._rates.draw((bucket,)).allowed:
            return self._meters.not_copied(backend, copy.model, "rate")
        self._under_way[backend] += 1
        task = spawn(self._run(copy), name="mirror")
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._landed(task, backend))
        return None

    async def close(self) -> None:
        """Hang up on all."""
        await cancel_and_wait(*self._tasks)
        await self._wire.close()

    def _landed(self, task: "asyncio.Task[None]", backend: str) -> None:
        self._tasks.discard(task)
        self._under_way[backend] -= 1

    async def _run(self, copy: Copy) -> None:
        try:
            sending = _Sending(copy, self._held, self._clock)
        except GatewayError as refusal:
            reason = "credential" if refusal.kind is Kind.BACKEND_UNAVAILABLE else "untranslatable"
            return self._meters.not_copied(copy.mirror.backend, copy.model, reason)
        except Exception as bug:  # noqa: BLE001 - its text may hold a prompt
            _log.error("mirror_failed", error=type(bug).__name__)
            return self._meters.not_copied(copy.mirror.backend, copy.model, "untranslatable")
        limit = copy.mirror.tokens_per_day
        purse = None if limit is None else await self._purse(copy, limit, sending)
        if limit is not None and purse is None:
            return self._meters.not_copied(copy.mirror.backend, copy.model, "budget")
        try:
            await sending.run(self._wire)
        finally:
            if purse is not None:
                purse.settle(sending.used)
            record = sending.record()
            self._meters.copy(record, sending.tokens)
            if not self._offer(record):
                _log.error("audit_record_refused", request_id=record.request_id)

    async def _purse(self, copy: Copy, amount: int, sending: "_Sending") -> Purse | None:
        """What the mirror's own budget sets aside; None where too little is left. No tenant's name has a colon."""
        limit = Limit("mirror", (Dimension.TENANT,), Resource.TOKENS, amount, PER_DAY)
        ask = Ask(
            Subject(f":mirror:{copy.model}"),
            (limit,),
            Amounts(copy.tokens_in, copy.tokens_out),
            outage=Outage.LOCAL,  # a worker's share of the day, where the ledger is away: bounded all the same
        )
        told = self._budgets.take(ask)
        if told is None:
            told = await self._budgets.reserve(ask)
        if not isinstance(told, Reserved):
            return None
        return Purse(self._budgets, told.reservation, lambda: sending.used or Amounts(), self._clock)


class _Sending:
    """One copy on its way: what is sent, and what was heard."""

    def __init__(self, copy: Copy, held: Held, clock: Clock) -> None:
        """Raises GatewayError: there is no credential, or the mirror's dialect has no words for it."""
        self._copy = copy
        self._held = held
        self._clock = clock
        self._started_at, self._began_s = clock.now(), clock.monotonic()
        policy = held.policy(copy.caller.policy)
        if policy is None:
            raise GatewayError(Kind.BACKEND_UNAVAILABLE, "", cause="the policy is no longer held")
        name = copy.mirror.backend
        backend = self._backend = policy.backends[name]
        self._policy = policy
        self._across = crossing.crossing(admission.door_told(copy.path), policy.models[copy.model], backend)
        sent = None if self._across is None else self._across.request(copy.body)
        told = {contract.POLICY: policy.version, contract.BACKENDS: name, contract.FRONT_PATH: copy.path}
        # Of the caller's headers there is none to begin with: all that leaves is written here.
        change = prepare((), name, told, policy, held, sent, now_s=clock.now(), rewrite_host=False)
        headers = dict(change.put)
        self._path = headers.pop(":path")
        self._headers = {
            "accept": "*/*",
            contract.ACCEPT_ENCODING: "identity",
            "user-agent": "ostiary",
            "content-type": "application/json",
            **headers,
            contract.ROUTE_HEADER: contract.mirror_route_of(name),
        }
        self._body = copy.body if sent is None else sent.body
        self._heard: Overheard | None = None
        self._outcome, self._reason = "aborted", ""
        self._status = 0
        self._first_byte_s: float | None = None
        self._left = False
        self.tokens: tuple[int, int] | None = None  # as the mirror told them

    async def run(self, wire: Wire) -> None:
        """Send it and hear the answer out, or as much of it as is wanted. Raises nothing, but for cancellation."""
        self._left = True
        try:
            async with asyncio.timeout(self._copy.mirror.timeout_s):
                async with wire.post(self._path, self._headers, self._body) as answer:
                    await self._listen(answer)
        except TimeoutError:
            self._outcome, self._reason = "failed", "timeout"
        except EgressError as failure:
            self._outcome, self._reason = "failed", str(failure)
        except Exception as bug:  # noqa: BLE001 - its text may hold a prompt, and nobody waits for it
            self._outcome, self._reason = "failed", type(bug).__name__
            _log.error("mirror_failed", error=type(bug).__name__)

    async def _listen(self, answer: Answer) -> None:
        self._status = answer.status
        self._first_byte_s = self._clock.monotonic() - self._began_s
        if crossing.denied(self._across, answer.status):
            self._held.refused(self._policy, self._backend.name)
        heard = self._heard = Overheard(streams="json" not in answer.content_type)
        async for piece in answer.pieces:
            heard.feed(piece)
            if heard.size_bytes > ANSWER_BYTES:
                self._outcome, self._reason = "cut", "longer than what is listened to"
                return
        self._outcome = "completed" if answer.status < 400 else "failed"
        if answer.status < 400:
            self.tokens = heard.tokens(self._copy.path, self._backend.dialect)

    @property
    def used(self) -> Amounts | None:
        """What the mirror's own budget is charged; None: nothing was sent, or it was refused."""
        if not self._left or self._status >= 400:
            return None
        size = 0 if self._heard is None else self._heard.size_bytes
        tokens_in, tokens_out = self.tokens or (self._copy.tokens_in, size // _CHARS)
        return Amounts(tokens_in, tokens_out)

    def record(self) -> Record:
        """What is put on record. Without `usage`: that is what tenants are charged."""
        copy, caller = self._copy, self._copy.caller
        details = {"mirror_of": caller.request_id}
        if self._first_byte_s is not None:
            details["first_byte_ms"] = str(round(self._first_byte_s * 1000))
        if self.tokens is not None:
            details |= {"input_tokens": str(self.tokens[0]), "output_tokens": str(self.tokens[1])}
        return Record(
            writer=MIRROR,
            request_id=f"{caller.request_id}.mirror",
            started_at=self._started_at,
            duration_s=self._clock.monotonic() - self._began_s,
            tenant=caller.tenant,
            principal=caller.principal,
            key_id=caller.key_id,
            policy=caller.policy,
            method="POST",
            path=copy.path,
            model=copy.model,
            backend=self._backend.name,
            status=self._status,
            outcome=self._outcome,
            reason=self._reason[:_REASON_CHARS],
            request_bytes=len(self._body),
            answer_bytes=0 if self._heard is None else self._heard.size_bytes,
            details=details,
        )
