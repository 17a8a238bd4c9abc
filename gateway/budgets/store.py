"""Where budgets are counted for all workers: Valkey, and memory for one process and for tests. Decides nothing."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

from gateway.budgets.fair import SharingOracle, Terms, Wish
from gateway.budgets.oracle import MARK_MS, RECORD_MS, Answer, Claim, Part, Slice, Want
from gateway.budgets.window import LONGEST_HOLD_MS, Figures, Meter
from gateway.script import Runner, Script, ScriptError

NowMs = Callable[[], int]
Late = Callable[[Answer], None]

SCRIPT: Final = Script(Path(__file__).with_name("budget.lua"))
_SHAPES: Final = "SBDMR"  # the script's numbers of them
_FIGURES: Final = len(Figures._fields)


class Store(Protocol):
    """The operations of `Oracle`, at the store's own time. Each raises `ScriptError` while the store is away."""

    async def reserve(self, wants: Sequence[Want], ttl_ms: int, late: Late) -> Answer:
        """See `Oracle.reserve`. `late` gets the answer when the caller left before it came."""
        ...

    async def share(self, wish: Wish, ttl_ms: int, late: Late) -> Answer:
        """See `SharingOracle.share`, and `reserve` for `late`."""
        ...

    async def withdraw(self, terms: Terms, amount: int) -> None:
        """See `SharingOracle.withdraw`."""
        ...

    async def settle(self, record: str, parts: Sequence[Part]) -> Answer:
        """See `Oracle.settle`."""
        ...

    async def extend(self, record: str, parts: Sequence[Part], ttl_ms: int) -> Answer:
        """See `Oracle.extend`."""
        ...

    async def lease(self, records: Sequence[str], slices: Sequence[Slice], ttl_ms: int) -> Answer:
        """See `Oracle.lease`."""
        ...


Looked = tuple[str, Meter]


class MemoryStore:
    """The ledger of one process."""

    def __init__(self, now_ms: NowMs) -> None:
        """`now_ms`: unix milliseconds."""
        self._now_ms = now_ms
        self.oracle = SharingOracle()

    async def reserve(self, wants: Sequence[Want], ttl_ms: int, late: Late) -> Answer:  # noqa: ARG002 -- never late
        """See `Store`."""
        return self.oracle.reserve(self._now_ms(), wants, ttl_ms)

    async def share(self, wish: Wish, ttl_ms: int, late: Late) -> Answer:  # noqa: ARG002 -- never late
        """See `Store`."""
        return self.oracle.share(self._now_ms(), wish, ttl_ms)

    async def withdraw(self, terms: Terms, amount: int) -> None:
        """See `Store`."""
        self.oracle.withdraw(terms, amount)

    async def settle(self, record: str, parts: Sequence[Part]) -> Answer:
        """See `Store`."""
        return self.oracle.settle(self._now_ms(), record, parts)

    async def extend(self, record: str, parts: Sequence[Part], ttl_ms: int) -> Answer:
        """See `Store`."""
        return self.oracle.extend(self._now_ms(), record, parts, ttl_ms)

    async def lease(self, records: Sequence[str], slices: Sequence[Slice], ttl_ms: int) -> Answer:
        """See `Store`."""
        return self.oracle.lease(self._now_ms(), records, slices, ttl_ms)


class ValkeyStore:
    """One script call for each operation."""

    def __init__(self, runner: Runner, now_ms: NowMs | None = None) -> None:
        """`now_ms` is for tests; without it the server's clock counts, the same for every worker."""
        self._runner = runner
        self._now_ms = now_ms

    async def reserve(self, wants: Sequence[Want], ttl_ms: int, late: Late) -> Answer:
        """See `Store`."""
        keys = [want.key for want in wants]
        numbers = self._head(ttl_ms, 0)
        for want in wants:
            numbers += (*numbers_of(want.meter), want.ask, want.least)
        return await _heard(self._start("reserve", keys, numbers), len(wants), late)

    async def share(self, wish: Wish, ttl_ms: int, late: Late) -> Answer:
        """See `Store`."""
        keys, (whole, own, rest) = _shared(wish.terms)
        asked = (wish.ask, wish.least)
        numbers = (*self._head(ttl_ms, 0), *whole, *asked, *own, *asked, *rest)
        return await _heard(self._start("share", keys, numbers), 2, late)

    async def withdraw(self, terms: Terms, amount: int) -> None:
        """See `Store`."""
        await self._start("withdraw", (terms.unmet, terms.own.key), (*self._head(0, terms.life_ms), amount))

    async def settle(self, record: str, parts: Sequence[Part]) -> Answer:
        """See `Store`."""
        return await self._charge("settle", record, parts, 0, MARK_MS)

    async def extend(self, record: str, parts: Sequence[Part], ttl_ms: int) -> Answer:
        """See `Store`."""
        return await self._charge("extend", record, parts, ttl_ms, ttl_ms + RECORD_MS)

    async def lease(self, records: Sequence[str], slices: Sequence[Slice], ttl_ms: int) -> Answer:
        """See `Store`."""
        keys: list[str] = []
        numbers = self._head(ttl_ms, ttl_ms + RECORD_MS)
        for record, one in zip(records, slices, strict=True):
            keys += (one.key, record)
            numbers += (*numbers_of(one.meter), *one[2:])
        return _read(await self._start("lease", keys, numbers), len(slices))

    async def look(self, limits: Sequence[Looked]) -> tuple[Figures, ...]:
        """How limits stand. Spends nothing and changes nothing; all are of one tenant."""
        keys = [key for key, _ in limits]
        numbers = self._head(0, 0)
        for _, meter in limits:
            numbers += numbers_of(meter)
        return _read(await self._start("look", keys, numbers), len(limits)).figures

    async def restore(self, claims: Sequence[Claim]) -> Answer:
        """See `Oracle.restore`; all are of one tenant."""
        numbers = self._head(0, 0)
        for claim in claims:
            numbers += (*numbers_of(claim.meter), len(claim.uses))
            for use in claim.uses:
                numbers += use
        return _read(await self._start("restore", [claim.key for claim in claims], numbers), len(claims))

    async def _charge(self, operation: str, record: str, parts: Sequence[Part], ttl_ms: int, life_ms: int) -> Answer:
        keys = [record]
        numbers = self._head(ttl_ms, life_ms)
        for part in parts:
            keys.append(part.key)
            numbers += (*numbers_of(part.meter), part.held, part.until, part.used)
        return _read(await self._start(operation, keys, numbers), len(parts))

    def _head(self, ttl_ms: int, life_ms: int) -> list[int]:
        if ttl_ms > LONGEST_HOLD_MS:
            raise ValueError("no hold lives that long")
        return [self._now_ms() if self._now_ms else 0, ttl_ms, life_ms]

    def _start(self, operation: str, keys: Sequence[str], numbers: Sequence[int]) -> "asyncio.Future[object]":
        if len(set(keys)) != len(keys):
            raise ValueError("one limit twice in one call would be counted once")
        return self._runner.start(SCRIPT, keys, (operation.encode(), struct.pack(f"<{len(numbers)}d", *numbers)))


async def _heard(asked: "asyncio.Future[object]", limits: int, late: Late) -> Answer:
    try:
        return _read(await asyncio.shield(asked), limits)
    except asyncio.CancelledError:
        asked.add_done_callback(lambda done: _tell(done, limits, late))
        raise


def _read(answer: object, limits: int) -> Answer:
    if not isinstance(answer, bytes) or len(answer) not in {8, 8 * (1 + _FIGURES * limits)}:
        raise ScriptError("answer of another shape")
    done, *numbers = map(int, struct.unpack(f"<{len(answer) // 8}d", answer))
    return Answer(bool(done), tuple([Figures(*numbers[at : at + _FIGURES]) for at in range(0, len(numbers), _FIGURES)]))


def _tell(done: "asyncio.Future[object]", limits: int, late: Late) -> None:
    if not done.cancelled() and done.exception() is None:
        late(_read(done.result(), limits))


@lru_cache(maxsize=4096)
def numbers_of(meter: Meter) -> tuple[int, ...]:
    """What the script needs to know of a limit, whatever is asked of it."""
    return (_SHAPES.index(meter.code), meter.span_ms, meter.amount, int(meter.soft), int(meter.once))


@lru_cache(maxsize=1024)
def _shared(terms: Terms) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Keys of a shared limit, and what the script needs to know of the whole, of the asker, and of all members."""
    keys = (terms.key, terms.own.key, terms.unmet, *(one.key for one in terms.others))
    rest = (terms.own.weight, terms.own.assured, terms.headroom, terms.life_ms, terms.lent_ms, terms.turn_ms)
    others = tuple(number for one in terms.others for number in (one.weight, one.assured))
    return keys, (numbers_of(terms.meter), numbers_of(terms.own_meter), (*rest, *others))
