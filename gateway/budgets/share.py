"""A worker's share of each limit while the ledger is away: what was left when last heard of, divided by the workers.

All workers together stay within the limit, as far as each knows it. A limit that this worker has never heard of may
have been spent by others: of that, a hundredth of a share is lent.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from gateway.budgets.oracle import Answer, Oracle, Part, Want
from gateway.budgets.window import LONGEST_HOLD_MS, Figures, Meter

_UNHEARD: Final = 100  # of a limit that nothing is known of; enough for a small tenant to go on
_KEYS: Final = 65_536  # limits whose last figures are remembered, some 20 MB


class LocalShare:
    """The oracle over a share of each limit. For one event loop."""

    def __init__(self, now_ms: Callable[[], int], *, workers: int) -> None:
        """`workers` is how many count apart: processes of one host times hosts."""
        if workers < 1:
            raise ValueError("at least this worker counts")
        self._now_ms = now_ms
        self._workers = workers
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._oracle = Oracle()
        self._opened: set[str] = set()

    def saw(self, wants: Sequence[Want], figures: Sequence[Figures]) -> None:
        """What the ledger told of limits."""
        seen = self._seen
        for want, one in zip(wants, figures, strict=True):
            seen[want.key] = (one.used, one.held)
            seen.move_to_end(want.key)
        while len(seen) > _KEYS:
            seen.popitem(last=False)

    def reserve(self, wants: Sequence[Want], ttl_ms: int) -> Answer:
        """As the ledger would, over the shares."""
        now = self._now_ms()
        shared = [want._replace(meter=self._meter(want.key, want.meter)) for want in wants]
        for want in shared:
            if want.key not in self._opened:
                self._open(now, want)
        return self._oracle.reserve(now, shared, ttl_ms)

    def settle(self, record: str, parts: Sequence[Part]) -> None:
        """Charge the shares."""
        held = [
            part._replace(meter=self._meter(part.key, part.meter))
            for part in parts
            if part.key in self._opened and not part.meter.once
        ]
        self._oracle.settle(self._now_ms(), record, held)

    def ended(self) -> None:
        """The ledger is back and counts again."""
        self._oracle = Oracle()
        self._opened.clear()

    def _meter(self, key: str, meter: Meter) -> Meter:
        unheard = 1 if key in self._seen else _UNHEARD
        least = 1 if meter.code == "B" else 0  # a bucket divides by it
        return meter._replace(amount=max(meter.amount // (self._workers * unheard), least))

    def _open(self, now: int, want: Want) -> None:
        """Begin with this worker's part of what was spent and held when the ledger was last heard of."""
        self._opened.add(want.key)
        used, held = (-(-number // self._workers) for number in self._seen.get(want.key, (0, 0)))
        meter = want.meter._replace(soft=True)
        self._oracle.reserve(now, [Want(want.key, meter._replace(once=True), used, 0)], 0)
        self._oracle.reserve(now, [Want(want.key, meter._replace(once=False), held, 0)], LONGEST_HOLD_MS)
