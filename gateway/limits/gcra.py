"""Rate-limit arithmetic: the generic cell rate algorithm (ITU-T I.371, annex A) in whole microseconds. Pure.

The whole state of a limit is one number, the *theoretical arrival time* (tat): the moment at which it is untouched
again. Each request moves it by one interval; a request fits while tat is at most one burst ahead of now. In any span
of time at most `requests` plus one per interval of the span get through, whatever the pattern.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NEVER: Final = -1  # retry_after_us of what can never fit: more at once than the whole limit


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` at once, then one each interval."""

    requests: int
    window_us: int

    @property
    def interval_us(self) -> int:
        """Microseconds that one request costs. Rounded up: the limit may be stricter than asked, never looser."""
        return -(-self.window_us // self.requests)

    @property
    def burst_us(self) -> int:
        """How far tat may run ahead of now."""
        return self.interval_us * self.requests


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a wish to spend."""

    granted: int  # requests that were counted
    tat: int  # new state
    retry_after_us: int  # until what was asked for fits; 0 when granted, `NEVER` when it cannot
    remaining: int  # requests that still fit now
    reset_us: int  # until the limit is untouched

    @property
    def allowed(self) -> bool:
        """Whether anything was granted."""
        return self.granted > 0


def room(tat: int, now: int, limit: Limit) -> int:
    """How many requests fit now."""
    return (limit.burst_us - _backlog(tat, now, limit)) // limit.interval_us


def spend(tat: int, now: int, limit: Limit, quantity: int = 1) -> Decision:
    """Spend `quantity` requests or none."""
    backlog = _backlog(tat, now, limit)
    cost = quantity * limit.interval_us
    wait = backlog + cost - limit.burst_us
    if wait <= 0:
        left = (limit.burst_us - backlog - cost) // limit.interval_us
        return Decision(quantity, now + backlog + cost, 0, left, backlog + cost)
    retry = wait if quantity <= limit.requests else NEVER
    return Decision(0, _settled(tat, now, limit), retry, room(tat, now, limit), backlog)


def draw(now: int, asks: Sequence[tuple[int, Limit, int]]) -> tuple[Decision, ...]:
    """Spend from several limits (tat, limit, most) at once: from one to `most` of each, or nothing of any.

    All or nothing, so that a request refused by one limit has not used up another.
    """
    rooms = [room(tat, now, limit) for tat, limit, _ in asks]
    if rooms and min(rooms) < 1:
        return tuple(
            Decision(0, _settled(tat, now, limit), _wait_us(tat, now, limit), fits, _backlog(tat, now, limit))
            for (tat, limit, _), fits in zip(asks, rooms, strict=True)
        )
    pairs = zip(asks, rooms, strict=True)
    return tuple(spend(tat, now, limit, min(max(most, 1), fits)) for (tat, limit, most), fits in pairs)


def refund(tat: int, now: int, limit: Limit, quantity: int, spent_at: int) -> int:
    """The state after giving back what was spent at `spent_at`: never better than if it had not been spent.

    Time has given some of it back already (it did wherever the limit stood idle meanwhile), so only the part of the
    cost that cannot have run off since is taken from tat.
    """
    cost = quantity * limit.interval_us - max(now - spent_at, 0)
    return max(tat - cost, now) if cost > 0 else tat


def _wait_us(tat: int, now: int, limit: Limit) -> int:
    return max(_backlog(tat, now, limit) + limit.interval_us - limit.burst_us, 0)


def _backlog(tat: int, now: int, limit: Limit) -> int:
    """How far tat is ahead, at most one burst."""
    return min(max(tat - now, 0), limit.burst_us)


def _settled(tat: int, now: int, limit: Limit) -> int:
    """The state after a refusal: unchanged, unless tat is more than a burst ahead.

    That comes from a limit that was changed or a clock that was set back, and would lock everybody out until then.
    """
    return min(tat, now + limit.burst_us)
