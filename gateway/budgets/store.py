"""Where budgets are counted for all workers: Valkey, and memory for one process and for tests. Decides nothing."""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, cast

from gateway.budgets.oracle import MARK_MS, RECORD_MS, Answer, Oracle, Part, Slice, Want
from gateway.budgets.window import LONGEST_HOLD_MS, Figures, Meter
from gateway.script import Runner, Script, ScriptError

NowMs = Callable[[], int]
Late = Callable[[Answer], None]

SCRIPT: Final = Script(Path(__file__).with_name("budget.lua"))
_FIGURES: Final = len(Figures._fields)


class Store(Protocol):
    """The operations of `Oracle`, at the store's own time. Each raises `ScriptError` while the store is away."""

    async def reserve(self, wants: Sequence[Want], ttl_ms: int, late: Late) -> Answer:
        """See `Oracle.reserve`. `late` gets the answer when the caller left before it came."""
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


class MemoryStore:
    """The ledger of one process."""

    def __init__(self, now_ms: NowMs) -> None:
        """`now_ms`: unix milliseconds."""
        self._now_ms = now_ms
        self.oracle = Oracle()

    async def reserve(self, wants: Sequence[Want], ttl_ms: int, late: Late) -> Answer:  # noqa: ARG002 -- never late
        """See `Store`."""
        return self.oracle.reserve(self._now_ms(), wants, ttl_ms)

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
        keys: list[str] = []
        arguments = self._head("reserve", ttl_ms, 0)
        for want in wants:
            keys.append(want.key)
            arguments += (*_static(want.meter), str(want.ask), str(want.least))
        asked = self._start(keys, arguments)
        try:
            return _read(await asyncio.shield(asked), len(wants))
        except asyncio.CancelledError:
            asked.add_done_callback(lambda done: _tell(done, len(wants), late))
            raise

    async def settle(self, record: str, parts: Sequence[Part]) -> Answer:
        """See `Store`."""
        return await self._charge("settle", record, parts, 0, MARK_MS)

    async def extend(self, record: str, parts: Sequence[Part], ttl_ms: int) -> Answer:
        """See `Store`."""
        return await self._charge("extend", record, parts, ttl_ms, ttl_ms + RECORD_MS)

    async def lease(self, records: Sequence[str], slices: Sequence[Slice], ttl_ms: int) -> Answer:
        """See `Store`."""
        keys: list[str] = []
        arguments = self._head("lease", ttl_ms, ttl_ms + RECORD_MS)
        for record, one in zip(records, slices, strict=True):
            keys += (one.key, record)
            arguments += (*_static(one.meter), *map(str, one[2:]))
        return await self._run(keys, arguments, len(slices))

    async def _charge(self, operation: str, record: str, parts: Sequence[Part], ttl_ms: int, life_ms: int) -> Answer:
        keys, arguments = [record], self._head(operation, ttl_ms, life_ms)
        for part in parts:
            keys.append(part.key)
            arguments += (*_static(part.meter), str(part.held), str(part.until), str(part.used))
        return await self._run(keys, arguments, len(parts))

    def _head(self, operation: str, ttl_ms: int, life_ms: int) -> list[str]:
        if ttl_ms > LONGEST_HOLD_MS:
            raise ValueError("no hold lives that long")
        return [operation, str(self._now_ms() if self._now_ms else 0), str(ttl_ms), str(life_ms)]

    async def _run(self, keys: Sequence[str], arguments: list[str], limits: int) -> Answer:
        return _read(await self._start(keys, arguments), limits)

    def _start(self, keys: Sequence[str], arguments: list[str]) -> "asyncio.Future[object]":
        if len(set(keys)) != len(keys):
            raise ValueError("one limit twice in one call would be counted once")
        return self._runner.start(SCRIPT, keys, arguments)


def _read(answer: object, limits: int) -> Answer:
    try:
        done, *numbers = map(int, cast("bytes", answer).split())
    except (ValueError, AttributeError, TypeError):
        raise ScriptError("answer of another shape") from None
    if len(numbers) != _FIGURES * limits and (done or numbers):
        raise ScriptError("answer of another shape")
    return Answer(bool(done), tuple([Figures(*numbers[at : at + _FIGURES]) for at in range(0, len(numbers), _FIGURES)]))


def _tell(done: "asyncio.Future[object]", limits: int, late: Late) -> None:
    if not done.cancelled() and done.exception() is None:
        late(_read(done.result(), limits))


@lru_cache(maxsize=4096)
def _static(meter: Meter) -> tuple[str, ...]:
    """What the script needs to know of a limit, whatever is asked of it."""
    return (meter.code, str(meter.span_ms), str(meter.amount), str(int(meter.soft)), str(int(meter.once)))
