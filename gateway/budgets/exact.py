"""Budgets of one worker, each reservation one call to the ledger; and what happens while the ledger is away.

Settlements wait for nobody: they are sent together, again and again until the ledger has them, and count once. While
the ledger is away, a tenant's policy says whether exchanges are refused, or whether each worker spends its share of
what was left when it last heard of a limit; what it spends is settled like all else when the ledger is back. One call
probes a ledger that failed, at a moment of chance, so that workers do not all come at once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import structlog

from gateway import aio
from gateway.breaker import Breaker
from gateway.budgets.joint import Call, Common, Holding, Own, ask_all, by_slot, meter_at, shared_of, standing
from gateway.budgets.model import (
    Amounts,
    Ask,
    Exceeded,
    Hold,
    Kind,
    Limit,
    Outage,
    Reservation,
    Reserved,
    Resource,
    Standing,
    Subject,
    Verdict,
    applies,
    key_of,
)
from gateway.budgets.oracle import Answer, Part, Want
from gateway.budgets.share import LocalShare
from gateway.budgets.store import Store
from gateway.budgets.watch import Saw, nobody
from gateway.budgets.window import Figures, Meter, meter_of
from gateway.clock import Clock
from gateway.script import ScriptError

HOLD_S: Final = 120.0  # what a crash strands; streams extend every half of it
DEADLINE_S: Final = 0.15  # of what an exchange waits for; an answer of the ledger takes a millisecond
_FAILURES: Final = 3  # in a row, before the ledger counts as away: one may be a connection that was dropped
_FIRST_OPEN_S: Final = 0.5  # a restart takes less than a second
_LONGEST_OPEN_S: Final = 10.0  # how late a worker may notice that the ledger is back
_TOGETHER: Final = 256  # settlements sent at once
MOST_UNSETTLED: Final = 65_536  # some 60 MB; with so many waiting nothing more is admitted

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Settlement:
    record: str
    parts: tuple[Part, ...]
    limits: tuple[Limit, ...]  # of the parts


class ExactBudgets:
    """See the module and `model.Budgets`. For one event loop."""

    def __init__(
        self,
        store: Store,
        local: LocalShare,
        clock: Clock,
        worker: str,
        chance: Callable[[], float],
        *,
        deadline_s: float = DEADLINE_S,
        hold_s: float = HOLD_S,
        first_open_s: float = _FIRST_OPEN_S,
        saw: Saw = nobody,
    ) -> None:
        """`worker` differs from that of every process that ever ran: reservations are named by it. `chance`: [0, 1).

        `saw` hears how the ledger says that limits stand.
        """
        self._store = store
        self._local = local
        self._clock = clock
        self._worker = worker
        self._chance = chance
        self._saw = saw
        self._deadline_s = deadline_s
        self._hold_s = hold_s
        self._breaker = Breaker(
            failures_to_open=_FAILURES, first_open_s=first_open_s, longest_open_s=max(_LONGEST_OPEN_S, first_open_s)
        )
        self._count = 0
        self._unsettled: dict[str, _Settlement] = {}
        self._sending: asyncio.Task[None] | None = None
        self.failures = 0  # calls of the ledger that failed or were late
        self.local_answers = 0  # exchanges judged without it

    def take(self, ask: Ask) -> Reserved | Exceeded | None:
        """See `Budgets`. Only what nothing limits needs no ledger."""
        if any(applies(limit, ask.subject) for limit in ask.limits):
            return None
        return Reserved(self._reservation(ask.subject, ()), Verdict(allowed=True))

    async def reserve(self, ask: Ask) -> Reserved | Exceeded:
        """See `Budgets`."""
        limits, wants = wants_of(ask) or ([], [])
        shared = shared_of(ask)
        if not wants and not shared:
            return Reserved(self._reservation(ask.subject, ()), Verdict(allowed=True))
        if len(self._unsettled) >= MOST_UNSETTLED or not self._breaker.start(self._clock.monotonic()):
            return self._without(ask, limits, wants, shared)
        if shared:
            return await self._jointly(ask, limits, wants, shared)
        reservation = self._reservation(ask.subject, ())

        def late(answer: Answer) -> None:
            if answer.done:
                self.release(replace(reservation, holds=holds_of(limits, wants, answer.figures)))

        try:
            async with aio.within(self._deadline_s):
                answer = await self._store.reserve(wants, round(self._hold_s * 1000), late)
        except (ScriptError, TimeoutError) as error:
            self._failed(error)
            return self._without(ask, limits, wants, [])
        except BaseException:
            self._breaker.abandoned()
            raise
        self._succeeded()
        self._heard(limits, wants, answer)
        verdict = verdict_of(limits, answer)
        if not verdict.allowed:
            return Exceeded(verdict)
        return Reserved(replace(reservation, holds=holds_of(limits, wants, answer.figures)), verdict)

    def _heard(self, limits: Sequence[Limit], wants: Sequence[Want], answer: Answer) -> None:
        self._local.saw(wants, answer.figures)
        for limit, want, figures in zip(limits, wants, answer.figures, strict=True):
            self._saw(limit, want.key, figures, refused=figures.retry_ms != 0)

    async def _jointly(
        self, ask: Ask, limits: Sequence[Limit], wants: Sequence[Want], shared: Sequence[Common]
    ) -> Reserved | Exceeded:
        """A call for the tenant's own limits and one for each that it shares, all in one write."""
        own = Own(limits, wants)
        calls: list[Call] = [*([own] if wants else []), *shared]
        reservation = self._reservation(ask.subject, ())

        def undo(holdings: Sequence[Holding]) -> None:
            self._undo(reservation.id, holdings)

        def undo_all() -> None:
            undo([one for call in calls if call.answer is not None for one in call.holdings(call.answer)])

        try:
            async with aio.within(self._deadline_s):
                await ask_all(calls, self._store, round(self._hold_s * 1000), undo)
        except (ScriptError, TimeoutError) as error:
            undo_all()
            self._failed(error)
            return self._without(ask, limits, wants, shared)
        except BaseException:
            undo_all()
            self._breaker.abandoned()
            raise
        self._succeeded()
        answers = [(call, call.answer) for call in calls if call.answer is not None]
        if own.answer is not None:
            self._heard(limits, wants, own.answer)
        for one in shared:
            if one.answer is not None:
                self._local.saw([one.local], one.answer.figures[1:])
                for key, figures in one.accounts(one.answer):
                    self._saw(one.limit, key, figures, refused=figures.retry_ms != 0)
        standings = [standing for call, answer in answers for standing in call.standings(answer)]
        found = verdict(standings, allowed=all(answer.done for _, answer in answers))
        if not found.allowed:
            undo_all()
            if own.answer is not None and not own.answer.done:
                for one in shared:
                    self._withdraw(one)
            return Exceeded(found)
        holds = tuple([one.hold for call, answer in answers for one in call.holdings(answer)])
        return Reserved(replace(reservation, holds=holds), found)

    def _undo(self, record: str, holdings: Sequence[Holding]) -> None:
        """Give back what one call got and another refused, the request too."""
        limits = {one.key: one.limit for one in holdings}
        for name, parts in by_slot(record, [one.back for one in holdings]):
            self._settle_later(_Settlement(name, parts, tuple([limits[part.key] for part in parts])))

    def _withdraw(self, call: Common) -> None:
        """The tenant's own limit refused too, so capacity must not be kept free for it. If this fails, time does it."""
        if not call.unmet:
            return

        async def withdraw() -> None:
            with contextlib.suppress(ScriptError):
                await self._store.withdraw(call.wish.terms, call.unmet)

        aio.spawn(withdraw(), "budgets-withdraw")

    async def extend(self, reservation: Reservation, so_far: Amounts) -> Reservation:
        """See `Budgets`. Without the ledger, the hold may end; what was used is charged when it is settled."""
        parts = parts_of(reservation, so_far)
        if not parts or reservation.local or not self._breaker.start(self._clock.monotonic()):
            return replace(reservation, expires_at=self._clock.monotonic() + self._hold_s)
        groups = _slots(reservation, parts)
        try:
            async with aio.within(self._deadline_s):
                answers = await asyncio.gather(
                    *(self._store.extend(name, group, round(self._hold_s * 1000)) for name, group in groups)
                )
        except (ScriptError, TimeoutError) as error:
            self._failed(error)
            return reservation
        except BaseException:
            self._breaker.abandoned()
            raise
        self._succeeded()
        untils = {
            part.key: one.until
            for (_, group), answer in zip(groups, answers, strict=True)
            for part, one in zip(group, answer.figures, strict=False)
        }
        holds = tuple(replace(hold, until=untils.get(hold.key, hold.until)) for hold in reservation.holds)
        return replace(reservation, holds=holds, expires_at=self._clock.monotonic() + self._hold_s)

    def settle(self, reservation: Reservation, used: Amounts) -> None:
        """See `Budgets`."""
        parts = parts_of(reservation, used)
        if not parts:
            return
        if reservation.local:
            self._local.settle(reservation.id, parts)
            parts = tuple(part._replace(held=0, until=0) for part in parts)
        limits = {hold.key: hold.limit for hold in reservation.holds}
        for name, group in _slots(reservation, parts):
            self._settle_later(_Settlement(name, group, tuple([limits[part.key] for part in group])))

    def _settle_later(self, settlement: _Settlement) -> None:
        self._unsettled[settlement.record] = settlement
        if self._sending is None:
            self._sending = aio.spawn(self._send(), "budgets-settle")

    def release(self, reservation: Reservation) -> None:
        """See `Budgets`."""
        self.settle(reservation, Amounts())

    async def close(self, within_s: float) -> int:
        """Wait for what is not settled; returns how much of it is lost."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=within_s)
        return len(self._unsettled)

    @property
    def unsettled(self) -> int:
        """Settlements that the ledger has not confirmed."""
        return len(self._unsettled)

    async def _send(self) -> None:
        try:
            while self._unsettled:
                if self._breaker.start(self._clock.monotonic()):
                    probing = not self._breaker.closed
                    batch = list(self._unsettled.values())[: 1 if probing else _TOGETHER]
                    await self._settle_all(batch)
                else:
                    await self._rest()
        finally:
            self._sending = None

    async def _settle_all(self, batch: Sequence[_Settlement]) -> None:
        outcomes = await asyncio.gather(
            *(self._store.settle(one.record, one.parts) for one in batch), return_exceptions=True
        )
        failure: BaseException | None = None
        for one, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, BaseException):
                self._unsettled.pop(one.record, None)
                for limit, part, figures in zip(one.limits, one.parts, outcome.figures, strict=False):
                    self._saw(limit, part.key, figures)
                continue
            failure = outcome
            # To the end of the row: what the server refuses must not keep the others from it.
            self._unsettled[one.record] = self._unsettled.pop(one.record)
        if failure is None:
            self._succeeded()
        elif isinstance(failure, ScriptError):
            self._failed(failure)
            await self._rest()
        else:
            self._breaker.abandoned()
            raise failure

    async def _rest(self) -> None:
        # From half to one and a half of the shortest opening: workers that lost the ledger at one moment do not come
        # back at one.
        await asyncio.sleep(self._breaker.first_open_s * (0.5 + self._chance()))

    def _without(
        self, ask: Ask, limits: Sequence[Limit], wants: Sequence[Want], shared: Sequence[Common]
    ) -> Reserved | Exceeded:
        self.local_answers += 1
        if ask.outage is Outage.DENY or len(self._unsettled) >= MOST_UNSETTLED:
            return Exceeded(Verdict(allowed=False, unavailable=True))
        every = [*limits, *(call.limit for call in shared)]
        asked = [*wants, *(call.local for call in shared)]
        answer = self._local.reserve(asked, round(self._hold_s * 1000))
        verdict = verdict_of(every, answer)
        if not verdict.allowed:
            return Exceeded(verdict)
        holds = holds_of(every, asked, answer.figures)
        # The whole is told afterwards as well: what a member uses counts in both.
        holds += tuple([replace(hold, key=key_of(hold.limit, ask.subject)) for hold in holds if hold.limit.shared])
        return Reserved(replace(self._reservation(ask.subject, holds), local=True), verdict)

    def _reservation(self, subject: Subject, holds: tuple[Hold, ...]) -> Reservation:
        self._count += 1
        name = f"ostiary:{{{subject.tenant}}}:reservation:{self._worker}:{self._count}"
        return Reservation(name, subject.tenant, holds, self._clock.monotonic() + self._hold_s)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if isinstance(error, ScriptError) and error.refused:
            _log.error("budgets_ledger_refused", cause=str(error))
            self._breaker.succeeded()  # it is there; a key that somebody spoiled says nothing of the others
            return
        was_closed = self._breaker.closed
        self._breaker.failed(self._clock.monotonic())
        if was_closed and not self._breaker.closed:
            _log.warning("budgets_ledger_down", cause=str(error) or type(error).__name__)

    def _succeeded(self) -> None:
        if not self._breaker.closed:
            self._local.ended()
            _log.info("budgets_ledger_back", unsettled=len(self._unsettled))
        self._breaker.succeeded()


@lru_cache(maxsize=4096)
def _meter(limit: Limit) -> Meter:
    return meter_of(limit)


def wants_of(ask: Ask) -> tuple[list[Limit], list[Want]] | None:
    """The tenant's own limits that apply, and what is wanted of each; None where there are none."""
    limits = [limit for limit in ask.limits if limit.shared is None and applies(limit, ask.subject)]
    if not limits:
        return None
    least = ask.least or ask.amounts
    wants = []
    for limit in limits:
        wanted = ask.amounts.of(limit.resource)
        wants.append(Want(key_of(limit, ask.subject), _meter(limit), wanted, min(least.of(limit.resource), wanted)))
    return limits, wants


def holds_of(limits: Iterable[Limit], wants: Iterable[Want], figures: Iterable[Figures]) -> tuple[Hold, ...]:
    """What was granted, as a reservation keeps it."""
    triples = zip(limits, wants, figures, strict=True)
    return tuple([Hold(limit, want.key, one.granted, one.until) for limit, want, one in triples])


def parts_of(reservation: Reservation, used: Amounts) -> tuple[Part, ...]:
    """What the ledger is told of a reservation. A request was charged when it came, unless the ledger was away."""
    parts = []
    for hold in reservation.holds:
        resource = hold.limit.resource
        if resource is Resource.REQUESTS and not reservation.local:
            continue
        meter = meter_at(hold.limit, hold.key, reservation.tenant, _meter)
        parts.append(Part(hold.key, meter, hold.granted, hold.until, used.of(resource)))
    return tuple(parts)


def verdict_of(limits: Sequence[Limit], answer: Answer) -> Verdict:
    """In words for clients. A limit that refuses for ever comes before one that refuses for a while."""
    return verdict(
        [standing(limit, one) for limit, one in zip(limits, answer.figures, strict=True)], allowed=answer.done
    )


def verdict(standings: Sequence[Standing], *, allowed: bool) -> Verdict:
    """What limits that stand so say together."""
    exceeded = tuple(
        [one for one in standings if one.limit.kind is Kind.SOFT and one.used + one.held > one.limit.amount]
    )
    if allowed:
        return Verdict(allowed=True, standings=tuple(standings), exceeded=exceeded)
    refusing = [one for one in standings if one.retry_after_s]
    refused_by = max(refusing, key=lambda one: (one.retry_after_s < 0, one.retry_after_s))
    return Verdict(allowed=False, standings=tuple(standings), refused_by=refused_by, exceeded=exceeded)


def _slots(reservation: Reservation, parts: Sequence[Part]) -> list[tuple[str, tuple[Part, ...]]]:
    """What goes to each cluster slot: all to one, but for what is shared."""
    if any(hold.limit.shared is not None for hold in reservation.holds):
        return by_slot(reservation.id, parts)
    return [(reservation.id, tuple(parts))]
