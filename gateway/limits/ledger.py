"""Where requests are counted for all workers: Valkey (or Redis), and memory for tests. Sets no deadline."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from redis.asyncio import Redis

from gateway.limits import gcra
from gateway.limits.bucket import Bucket
from gateway.script import Pipe, Script, ScriptError

NowUs = Callable[[], int]

_SCRIPT: Final = Script(Path(__file__).with_name("gcra.lua"))
_FIELDS: Final = 4  # numbers in the script's answer for each key
_SWEEP_AT: Final = 65_536  # states; below that, memory is not worth a sweep


class Want(NamedTuple):
    """A wish for one to `most` permits of a bucket."""

    bucket: Bucket
    most: int


class Grant(NamedTuple):
    """The ledger's answer to one want. `granted` 0 with `retry_after_us` 0: another want of the call was refused."""

    granted: int
    remaining: int
    retry_after_us: int
    reset_us: int


class LedgerError(Exception):
    """The ledger could not be asked. Holds the kind of failure, no address and no password."""


class Ledger(Protocol):
    """Counts for everyone. A lease is atomic over all its wants: each gets at least one permit, or none does."""

    async def lease(self, wants: Sequence[Want]) -> tuple[Grant, ...]:
        """Spend permits; the caller hands them out. Buckets must differ, and be of one tenant."""
        ...


class MemoryLedger:
    """The ledger of one process; what Valkey does, done by the pure functions."""

    def __init__(self, now_us: NowUs) -> None:
        self._now_us = now_us
        self._tats: dict[str, int] = {}

    async def lease(self, wants: Sequence[Want]) -> tuple[Grant, ...]:
        """See `Ledger`."""
        keys = _keys(wants)
        now = self._now_us()
        asks = [(self._tats.get(key, 0), want.bucket.limit, want.most) for key, want in zip(keys, wants, strict=True)]
        decisions = gcra.draw(now, asks)
        self._tats.update(zip(keys, (one.tat for one in decisions), strict=True))
        if len(self._tats) > _SWEEP_AT:
            self._tats = {key: tat for key, tat in self._tats.items() if tat > now}
        return tuple(Grant(one.granted, one.remaining, one.retry_after_us, one.reset_us) for one in decisions)


class ValkeyLedger:
    """One script call for all the limits of a request. Deadlines are the caller's; what it gave up may count still."""

    def __init__(self, client: Redis, now_us: NowUs | None = None) -> None:
        """`now_us` is for tests; without it the server's clock counts, the same for every replica."""
        self._pipe = Pipe(client)
        self._now_us = now_us

    async def lease(self, wants: Sequence[Want]) -> tuple[Grant, ...]:
        """See `Ledger`. Raises `LedgerError` for whatever the server or the way to it does."""
        keys = _keys(wants)
        arguments: list[int] = [self._now_us() if self._now_us else 0]
        for bucket, most in wants:
            arguments += (bucket.limit.interval_us, bucket.requests, most)
        try:
            numbers = await self._pipe.start(_SCRIPT, keys, [b"%d" % number for number in arguments])
        except ScriptError as error:
            raise LedgerError(str(error)) from None
        if not isinstance(numbers, list) or len(numbers) != _FIELDS * len(wants):
            raise LedgerError("answer of another shape")
        return tuple(Grant(*numbers[at : at + _FIELDS]) for at in range(0, len(numbers), _FIELDS))


def _keys(wants: Sequence[Want]) -> list[str]:
    keys = [want.bucket.key for want in wants]
    if len(set(keys)) != len(keys):
        raise ValueError("one bucket twice in one lease would be counted once")
    return keys
