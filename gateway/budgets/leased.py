"""Budgets out of slices that a worker holds already: no exchange waits for the ledger while they last.

A slice is a hold of the worker on one limit, so all workers together never admit more than the limit. Settlements go
back into it; what was used is charged with the next synchronisation, once a second. What no slice covers is reserved
at the ledger like without slices, and so is every exchange that counts in what tenants share. A slice is twice what
the last second needed at one moment, and of what is left of a limit all workers together take at most a tenth beyond
what runs ("stranded"); unneeded ones shrink by half a second. A worker that dies strands its slices for `LEASE_S`, and
what it had not charged, a second's use, is not counted.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway import aio
from gateway.budgets.exact import ExactBudgets, verdict, wants_of
from gateway.budgets.model import (
    Amounts,
    Ask,
    Exceeded,
    Hold,
    Limit,
    Reservation,
    Reserved,
    Resource,
    Standing,
    Verdict,
    applies,
)
from gateway.budgets.oracle import Slice
from gateway.budgets.store import Store
from gateway.budgets.watch import Saw, nobody
from gateway.budgets.window import Figures, Meter
from gateway.clock import Clock
from gateway.script import ScriptError

LEASE_S: Final = 20.0  # outlives a restart of the ledger; a crash strands a slice for so long, and 5 s of its slot
_MARGIN_S: Final = 1.0  # the worker stops spending earlier than the ledger forgets: their clocks may run apart
SYNC_S: Final = 1.0  # how late the ledger learns of use; what a crash leaves uncharged
_TENTH: Final = 10  # all workers together strand at most this part of what is left
_AHEAD: Final = 4  # below a quarter of its target a slice is filled before the second is over
_FIRST: Final = 4  # a slice begins with room for so many exchanges of the size that it could not cover
_TOGETHER: Final = 32  # slices in one call: some 100 us of the server's time
_TOLD: Final = 8  # exchanges that are told the same standing: making one costs a fifth of an exchange
_SWEEP_AT: Final = 16_384  # subjects whose slices are remembered
_COLUMNS: Final = tuple(Resource)
_NOT_CHARGED: Final = frozenset({_COLUMNS.index(Resource.REQUESTS), _COLUMNS.index(Resource.STREAMS)})
_UNLIMITED: Final = Verdict(allowed=True)


@dataclass(slots=True)
class _Held:
    """A slice as the worker knows it. held = (used - charged) + promised + free, but for overshoot."""

    limit: Limit
    key: str
    meter: Meter
    record: str
    column: int  # of its resource in `_numbers`
    free: int = 0
    promised: int = 0  # to exchanges that run
    used: int = 0  # since the slice began
    charged: int = 0  # of it, as far as the ledger has confirmed
    held: int = 0
    until: int = 0
    ends_at: float = 0.0
    target: int = 0
    full: int = 0  # of `free`, after the last synchronisation
    lowest: int = 0  # of `free`, since then
    drawn: int = 0  # in this second, before that
    busy: bool = False  # a synchronisation is under way
    figures: Figures = field(default=Figures(0, 0, 0, 0, 0, 0))
    hold: Hold = field(init=False)  # the last one that was made: one of requests or streams is like another

    def __post_init__(self) -> None:
        """Begin with a hold of nothing."""
        self.hold = Hold(self.limit, self.key, 0)

    @property
    def idle(self) -> bool:
        """Whether the ledger has nothing to learn."""
        return not (self.held or self.promised or self.target or self.free) and self.used == self.charged


@dataclass(slots=True)
class _Row:
    """The slices of one subject under one policy."""

    limits: tuple[Limit, ...]
    slices: tuple[_Held, ...]
    shared: bool  # also counts in what tenants share: that is asked of the ledger each time
    verdict: Verdict = _UNLIMITED
    told: int = _TOLD  # exchanges that got this verdict


@dataclass(slots=True)
class _Running:
    row: _Row
    granted: list[int]
    used: list[int]  # what `extend` has moved


class LeasedBudgets:
    """See the module and `model.Budgets`. For one event loop; `keep` must run."""

    def __init__(
        self, store: Store, exact: ExactBudgets, clock: Clock, worker: str, *, workers: int, saw: Saw = nobody
    ) -> None:
        """`worker` and `saw` as for `ExactBudgets`; `workers` is how many there are."""
        self._store = store
        self._exact = exact
        self._clock = clock
        self._worker = worker
        self._share = _TENTH * workers
        self._saw = saw
        self._rows: dict[tuple[str, ...], _Row] = {}
        self._slices: dict[str, _Held] = {}
        self._running: dict[str, _Running] = {}
        self._count = 0
        self._due: dict[str, None] = {}  # keys of slices to be filled at once
        self._filling: asyncio.Task[None] | None = None
        self._again_at = 0.0  # a ledger that failed is not asked before
        self.covered = 0  # exchanges that needed no call
        self.missed = 0
        self.syncs = 0  # calls of the ledger

    def take(self, ask: Ask) -> Reserved | Exceeded | None:
        """See `Budgets`. Every exchange comes through here: plain loops."""
        row = self._row(ask)
        if row.shared:
            return None
        now = self._clock.monotonic()
        numbers, wanted = _numbers(ask.amounts), []
        for held in row.slices:
            amount = numbers[held.column]
            wanted.append(amount)
            if (held.free < amount or now >= held.ends_at) and not held.meter.soft:
                self._miss(row, ask)
                return None
        holds = []
        for held, amount in zip(row.slices, wanted, strict=True):
            hold = held.hold
            if hold.granted != amount or hold.limit is not held.limit:
                hold = held.hold = Hold(held.limit, held.key, amount)
            holds.append(hold)
            held.free -= amount
            if held.meter.once:
                held.used += amount
            else:
                held.promised += amount
            if held.free < held.lowest:
                held.lowest = held.free
                if held.free * _AHEAD < held.target and not held.busy:
                    if held.key not in self._due:
                        held.target *= 2  # it did not last a second
                    self._fill(held)
        self.covered += 1
        self._count += 1
        name = f"lease:{self._worker}:{self._count}"
        self._running[name] = _Running(row, wanted, [0] * len(wanted))
        reservation = Reservation(name, ask.subject.tenant, tuple(holds), now + LEASE_S)
        if row.told >= _TOLD:
            row.told, row.verdict = 0, _told(row)
        row.told += 1
        return Reserved(reservation, row.verdict)

    async def reserve(self, ask: Ask) -> Reserved | Exceeded:
        """See `Budgets`: at the ledger, for what `take` did not cover."""
        outcome = await self._exact.reserve(ask)
        if isinstance(outcome, Exceeded) and not outcome.verdict.unavailable:
            # What this worker holds of it would strand; others may fit in.
            for held in self._row(ask).slices:
                held.target = 0
                self._fill(held)
        return outcome

    async def extend(self, reservation: Reservation, so_far: Amounts) -> Reservation:
        """See `Budgets`. Slices are kept alive anyway; what was used is charged with the next synchronisation."""
        running = self._running.get(reservation.id)
        if running is None:
            return reservation if _leased(reservation) else await self._exact.extend(reservation, so_far)
        self._charge(running, so_far)
        return replace(reservation, expires_at=self._clock.monotonic() + LEASE_S)

    def settle(self, reservation: Reservation, used: Amounts) -> None:
        """See `Budgets`."""
        running = self._running.pop(reservation.id, None)
        if running is None:
            if not _leased(reservation):
                self._exact.settle(reservation, used)
            return
        self._charge(running, used)
        for one, granted, spent in zip(running.row.slices, running.granted, running.used, strict=True):
            if not one.meter.once:
                left = max(granted - spent, 0)
                one.promised -= left
                one.free += left

    def release(self, reservation: Reservation) -> None:
        """See `Budgets`."""
        self.settle(reservation, Amounts())

    async def keep(self) -> None:
        """Synchronise once a second until cancelled."""
        while True:
            await asyncio.sleep(SYNC_S)
            await self.synchronise()

    async def synchronise(self) -> None:
        """Charge what was used and resize all slices."""
        for held in list(self._slices.values()):
            held.target = max(2 * (held.drawn + held.full - held.lowest), held.target // 2)
            held.drawn, held.full = 0, held.lowest
        await self._lease([held for held in self._slices.values() if not held.idle])
        self._slices = {key: held for key, held in self._slices.items() if not held.idle}
        if len(self._rows) > _SWEEP_AT:
            self._rows = {}

    async def close(self, within_s: float) -> int:
        """Give back all that is free, and wait for what is not settled; returns how much of it is lost."""
        if self._filling is not None:
            await asyncio.wait([self._filling], timeout=within_s)
        for held in self._slices.values():
            held.target = 0
        await self._lease(list(self._slices.values()))
        return await self._exact.close(within_s)

    @property
    def stranded(self) -> int:
        """What is free in all slices together: of use only to this worker."""
        return sum(max(held.free, 0) for held in self._slices.values())

    def _row(self, ask: Ask) -> _Row:
        name = _name(ask)
        row = self._rows.get(name)
        if row is None or row.limits is not ask.limits:
            limits, wants = wants_of(ask) or ([], [])
            slices = tuple(self._slice(limit, want.key, want.meter) for limit, want in zip(limits, wants, strict=True))
            shared = any(limit.shared is not None and applies(limit, ask.subject) for limit in ask.limits)
            row = self._rows[name] = _Row(ask.limits, slices, shared)
        return row

    def _slice(self, limit: Limit, key: str, meter: Meter) -> _Held:
        held = self._slices.get(key)
        if held is None:
            # Another number for each slice: what an earlier one of this limit has charged is none of its business.
            self._count += 1
            record = f"{key}:slice:{self._worker}:{self._count}"
            held = self._slices[key] = _Held(limit, key, meter, record, _COLUMNS.index(limit.resource))
        held.limit, held.meter = limit, meter
        return held

    def _miss(self, row: _Row, ask: Ask) -> None:
        self.missed += 1
        for held in row.slices:
            wanted = ask.amounts.of(held.limit.resource)
            if held.free < wanted:
                held.target = max(2 * held.target, _FIRST * wanted)
            if self._live(held) is not held:
                self._rows.pop(_name(ask), None)
            self._fill(held)

    def _live(self, held: _Held) -> _Held:
        """The slice of its limit that is synchronised. One that was idle for long enough is not, until it is needed."""
        return self._slices.setdefault(held.key, held)

    def _charge(self, running: _Running, used: Amounts) -> None:
        """Move what was used out of what was promised; what goes beyond that is taken from what is free."""
        numbers, live = _numbers(used), self._slices.setdefault
        for at, one in enumerate(running.row.slices):
            held = live(one.key, one)  # as `_live` does, without a call for each
            if held.column in _NOT_CHARGED:
                continue
            total, before, granted = numbers[held.column], running.used[at], running.granted[at]
            if total > before:
                held.used += total - before
                covered = min(total, granted) - min(before, granted)
                held.promised -= covered
                held.free -= total - before - covered
                running.used[at] = total

    def _fill(self, held: _Held) -> None:
        self._due[held.key] = None
        if self._filling is None and self._clock.monotonic() >= self._again_at:
            self._filling = aio.spawn(self._fill_all(), "budgets-lease")

    async def _fill_all(self) -> None:
        try:
            while self._due:
                due, self._due = self._due, {}
                if not await self._lease([held for key in due if (held := self._slices.get(key)) is not None]):
                    self._again_at = self._clock.monotonic() + SYNC_S
                    return
        finally:
            self._filling = None

    async def _lease(self, slices: Sequence[_Held]) -> bool:
        """Synchronise slices, tenant by tenant: a call reaches one cluster slot. Whether the ledger answered."""
        by_tenant: dict[str, list[_Held]] = {}
        for held in slices:
            by_tenant.setdefault(held.key.partition("}")[0], []).append(held)
        groups = [group[at : at + _TOGETHER] for group in by_tenant.values() for at in range(0, len(group), _TOGETHER)]
        return all(await asyncio.gather(*map(self._synchronise, groups)))  # one write for all

    async def _synchronise(self, every: Sequence[_Held]) -> bool:
        now = self._clock.monotonic()
        group = [held for held in every if not held.busy]
        asked, debts = [], []
        for held in group:
            held.busy = True
            if now >= held.ends_at:
                held.free = min(held.free, 0)
            # What is above the target goes back now: it must not be spent while the answer is under way.
            held.free = min(held.free, held.target)
            debts.append(min(held.free, 0))  # used beyond what was held; charging it pays for it
            keep = max(held.promised, 0) + max(held.free, 0)
            want = max(held.target - max(held.free, 0), 0)
            meter = held.meter
            asked.append(
                Slice(held.key, meter, held.held, held.until, held.charged, held.used, keep, want, self._share)
            )
        self.syncs += 1
        try:
            answer = await self._store.lease([held.record for held in group], asked, round(LEASE_S * 1000))
        except ScriptError:
            return False
        finally:
            for held in group:
                held.busy = False
        for held, one, debt, figures in zip(group, asked, debts, answer.figures, strict=True):
            held.free += figures.granted - one.keep - debt
            held.held, held.until, held.charged = figures.granted, figures.until, one.used
            held.ends_at = now + LEASE_S - _MARGIN_S
            held.drawn += held.full - held.lowest
            held.full = held.lowest = held.free
            held.figures = figures
            self._saw(held.limit, held.key, figures)
        return True


def _name(ask: Ask) -> tuple[str, ...]:
    subject = ask.subject  # a tuple's hash costs a third of a dataclass's
    return (subject.tenant, subject.key, subject.principal, subject.model, subject.model_group)


def _numbers(amounts: Amounts) -> tuple[int, ...]:
    """`Amounts.of` of each resource, at a tenth of what that costs."""
    tokens_in, tokens_out = amounts.tokens_in, amounts.tokens_out
    return (tokens_in, tokens_out, tokens_in + tokens_out, 1, 1, amounts.micro_usd)


def _leased(reservation: Reservation) -> bool:
    return reservation.id.startswith("lease:")


def _told(row: _Row) -> Verdict:
    standings = []
    for held in row.slices:
        known, fresh = held.figures, held.used - held.charged
        running = known.held - max(held.free, 0) - fresh  # what is free here is held for nobody
        standings.append(Standing(held.limit, known.used + fresh, max(running, 0), known.reset_ms / 1000))
    return verdict(standings, allowed=True)
