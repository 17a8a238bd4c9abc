"""The arithmetic of one limit in whole numbers: what is used, what is held, and how both are forgotten. Pure.

Use is charged when it is settled; until then it is held. Both count against the limit, so use never passes it by more
than what exchanges used beyond what they held. A hold ends by itself (in slots of 5 s), so whatever crashed heals.

Windows. SLIDING counts in at most 60 slots and forgets a slot when all of it has left the window: it never admits more
than the limit in any span, and forgets at most one slot (1/60 of the span, rounded up) late. BUCKET leaks exactly, the
remainder is kept. DAY and MONTH are UTC's; the two periods before are kept for a clock that is set back. RUNNING holds
only.

Clocks. A limit lives in its own time, which never runs backwards: when the clock was set back, it goes on from where
it was. Only DAY and MONTH follow the clock itself. `budget.lua` is the twin of this module; a contract test compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.budgets.model import Kind, Limit, Resource, Shape

HOLD_SLOT_MS: Final = 5_000  # a hold lives up to this longer than asked: that much a crash strands at most
LONGEST_HOLD_MS: Final = 600_000  # bounds the slots of a limit to 121; a longer stream extends
_SLOTS: Final = 60  # of a sliding window: forgets a minute's use at most one second late
_BACK: Final = 2  # periods kept beside the present one
_BUSY_MS: Final = 1_000  # retry after, where running exchanges hold what is needed: they end at any moment
_NEVER: Final = -1
_DAY_MS: Final = 86_400_000
CODES: Final[Mapping[Shape, str]] = MappingProxyType(
    {Shape.SLIDING: "S", Shape.BUCKET: "B", Shape.DAY: "D", Shape.MONTH: "M", Shape.RUNNING: "R"}
)


class Meter(NamedTuple):
    """A limit in the numbers of the arithmetic."""

    code: str
    span_ms: int
    amount: int
    soft: bool
    once: bool  # charged when reserved; nothing is held

    @property
    def slot_ms(self) -> int:
        """Length of a sliding window's slot."""
        return -(-self.span_ms // _SLOTS)

    @property
    def slots(self) -> int:
        """Slots that cover the span."""
        return -(-self.span_ms // self.slot_ms)


def meter_of(limit: Limit) -> Meter:
    """The numbers of a limit."""
    once = limit.resource is Resource.REQUESTS
    return Meter(CODES[limit.window.shape], limit.window.span_s * 1000, limit.amount, limit.kind is Kind.SOFT, once)


class Figures(NamedTuple):
    """How one limit stands after a call; what the script answers for each limit."""

    granted: int
    used: int
    held: int
    reset_ms: int
    retry_ms: int
    until: int  # slot in which what was granted ends


@dataclass(slots=True)
class Account:
    """The state of one limit for one subject. Every method that takes `now` (unix ms) expects `advance` before."""

    meter: Meter
    at: int = -1  # the limit's own time, ms; -1: untouched
    offset: int = 0  # of it to the clock
    used: int = 0
    held: int = 0
    rest: int = 0  # BUCKET: what has leaked of the next unit, times span
    newest: int = -1  # DAY, MONTH: latest period seen
    uses: dict[int, int] = field(default_factory=dict)
    holds: dict[int, int] = field(default_factory=dict)
    slot: int = 0  # where use is charged now
    shifted: bool = False  # the clock was set back since the last call

    def copy(self) -> "Account":
        """Another one in the same state."""
        return replace(self, uses=dict(self.uses), holds=dict(self.holds))

    def advance(self, now: int) -> None:
        """Forget what time has passed."""
        before, offset = now if self.at < 0 else self.at, self.offset
        self.at = max(now + offset, before)
        self.offset = self.at - now
        self.shifted = self.offset != offset
        for slot in [slot for slot in self.holds if slot <= self.at // HOLD_SLOT_MS]:
            self.held -= self.holds.pop(slot)
        match self.meter.code:
            case "S":
                self.slot = self.at // self.meter.slot_ms
                for slot in [slot for slot in self.uses if slot < self.slot - self.meter.slots]:
                    self.used -= self.uses.pop(slot)
            case "B":
                self._leak(self.at - before)
            case "D" | "M":
                period = period_of(self.meter.code, now)
                self.newest = max(self.newest, period)
                # Two periods back and further is one: a clock that is wrong by months must not fill the memory.
                self.slot = max(period, self.newest - _BACK)
                for old in [old for old in self.uses if old < self.newest - _BACK]:
                    del self.uses[old]
                self.used = self.uses.get(self.slot, 0)
            case _:  # RUNNING has no use to forget
                pass

    def _leak(self, elapsed: int) -> None:
        whole, part = divmod(elapsed, self.meter.span_ms)
        leaked, self.rest = divmod(part * self.meter.amount + self.rest, self.meter.span_ms)
        self.used -= whole * self.meter.amount + leaked
        if self.used <= 0:
            self.used = self.rest = 0

    @property
    def room(self) -> int:
        """What may still be granted; negative when it is over."""
        return self.meter.amount - self.used - self.held

    def offer(self, ask: int) -> int:
        """What a wish would get."""
        return ask if self.meter.soft else min(ask, max(self.room, 0))

    def charge(self, amount: int) -> None:
        """Count use."""
        if self.meter.code == "R" or not amount:
            return
        self.used += amount
        if self.meter.code != "B":
            self.uses[self.slot] = self.uses.get(self.slot, 0) + amount

    def refund(self, amount: int) -> None:
        """Take back what was charged a moment ago, as far as the present slot has it: an older one is left alone."""
        there = self.used if self.meter.code == "B" else self.uses.get(self.slot, 0)
        self.charge(-min(amount, there))

    def restore(self, uses: Mapping[int, int]) -> int:
        """Count what records say of slots and the account lacks; returns how much that was.

        All slots of the window together are brought to what the records say of them, and never beyond: a charge may
        stand one slot beside its record, and a slot of its own would then count it twice.
        """
        first = self.slot - self.meter.slots if self.meter.code == "S" else self.slot
        told = {slot: amount for slot, amount in sorted(uses.items()) if first <= slot <= self.slot}
        lacking = sum(told.values()) - self.used
        restored = 0
        for slot, amount in told.items():
            missing = min(amount - self.uses.get(slot, 0), lacking - restored)
            if missing > 0:
                self.uses[slot] = self.uses.get(slot, 0) + missing
                restored += missing
        self.used += restored
        return restored

    def hold(self, amount: int, ttl_ms: int) -> int:
        """Set aside; returns the slot in which it ends."""
        until = (self.at + ttl_ms) // HOLD_SLOT_MS + 1
        self.held += amount
        self.holds[until] = self.holds.get(until, 0) + amount
        return until

    def free(self, amount: int, until: int) -> None:
        """Give back what was held; nothing if it has ended, or was lost with the ledger's memory."""
        there = self.holds.get(until, 0)
        given = min(amount, there)
        self.held -= given
        if there:
            self.holds[until] = there - given

    def figures(self, now: int, granted: int, until: int, lacking: int | None = None) -> Figures:
        """How it stands; `lacking` is the least that was asked for and refused."""
        retry = 0 if lacking is None else self._retry_ms(now, lacking)
        return Figures(granted, self.used, self.held, self._reset_ms(now), retry, until)

    def _reset_ms(self, now: int) -> int:
        if not self.used:
            return 0
        match self.meter.code:
            case "S":
                return (self.slot + self.meter.slots + 1) * self.meter.slot_ms - self.at
            case "B":
                return -(-(self.used * self.meter.span_ms) // self.meter.amount)
            case code:
                return period_ends(code, now) - now

    def _retry_ms(self, now: int, least: int) -> int:
        return _NEVER if least > self.meter.amount else self.wait_ms(now, least - self.room)

    def wait_ms(self, now: int, need: int) -> int:
        """Until so much more may be free."""
        if need <= self.held or self.meter.code == "R":
            return _BUSY_MS
        # All that is held is not enough: some use must be forgotten too.
        need -= self.held
        match self.meter.code:
            case "S":
                return self._sliding_retry_ms(need)
            case "B":
                return -(-(need * self.meter.span_ms - self.rest) // self.meter.amount)
            case code:
                return period_ends(code, now) - now

    def _sliding_retry_ms(self, need: int) -> int:
        for slot in sorted(self.uses):
            need -= self.uses[slot]
            if need <= 0:
                return (slot + self.meter.slots + 1) * self.meter.slot_ms - self.at
        return _BUSY_MS


def slot_of(meter: Meter, at_ms: int) -> int:
    """The slot of a moment, as `Account.uses` counts them; not of buckets, which have none."""
    return at_ms // meter.slot_ms if meter.code == "S" else period_of(meter.code, at_ms)


def period_of(code: str, now: int) -> int:
    """Number of the day since 1970 ("D"), or of the month since the year 0 ("M")."""
    day = now // _DAY_MS
    return day if code == "D" else _month(day)


def period_ends(code: str, now: int) -> int:
    """When the present period ends, unix ms."""
    day = now // _DAY_MS
    return (day + 1 if code == "D" else _first_day(_month(day) + 1)) * _DAY_MS


def _month(day: int) -> int:
    """Year * 12 + month - 1 of a day (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", after 1970)."""
    era, of_era = divmod(day + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march = (5 * of_year + 2) // 153  # months since March
    return (era * 400 + year) * 12 + march + 2


def _first_day(month: int) -> int:
    """The day since 1970 on which a month begins; the other way of `_month`."""
    era, year = divmod((month - 2) // 12, 400)
    of_year = (153 * ((month - 2) % 12) + 2) // 5
    return era * 146_097 + 365 * year + year // 4 - year // 100 + of_year - 719_468
