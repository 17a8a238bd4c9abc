"""Limits counted by one worker alone: the whole limiter without Valkey, and what remains when Valkey does not answer.

A worker admits its share, `requests / workers`. All workers together stay within the limit as long as it is at least
one request for each; below that, each worker still admits one, since none of them could admit less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.clock import Clock
from gateway.limits import gcra
from gateway.limits.bucket import UNLIMITED, Bucket, Verdict, seconds
from gateway.limits.gcra import Limit

_US_PER_S: Final = 1_000_000
_SWEEP_AT: Final = 65_536  # states; below that, memory is not worth a sweep


@dataclass(slots=True)
class _Count:
    """One bucket's state, with what its limit costs to compute."""

    share: Limit
    interval_us: int
    burst_us: int
    tat: int = 0


class LocalLimiter:
    """GCRA over a share of each limit, in memory."""

    def __init__(self, clock: Clock, *, workers: int) -> None:
        """`workers` is how many count apart: processes of one host times hosts."""
        if workers < 1:
            raise ValueError("at least this worker counts")
        self._clock = clock
        self._workers = workers
        self._counts: dict[Bucket, _Count] = {}

    async def spend(self, buckets: Sequence[Bucket]) -> Verdict:
        """Count one request against every bucket, or against none. Never waits."""
        return self.draw(buckets)

    def take(self, buckets: Sequence[Bucket]) -> Verdict | None:
        """The same; there never is anything to wait for."""
        return self.draw(buckets)

    def draw(self, buckets: Sequence[Bucket]) -> Verdict:
        """The same for callers that are not coroutines."""
        if not buckets:
            return UNLIMITED
        now = self._now_us()
        counts = [self._count(bucket, now) for bucket in buckets]
        decisions = gcra.draw(now, [(count.tat, count.share, 1) for count in counts])
        for count, decision in zip(counts, decisions, strict=True):
            count.tat = decision.tat
        pairs = list(zip(buckets, decisions, strict=True))
        refusing = [pair for pair in pairs if pair[1].retry_after_us > 0]
        bucket, decision = min(refusing or pairs, key=lambda pair: (pair[1].remaining, -pair[1].retry_after_us))
        return Verdict(
            allowed=not refusing,
            limit=bucket.requests,
            remaining=decision.remaining,
            reset_s=seconds(decision.reset_us),
            retry_after_s=seconds(decision.retry_after_us),
            which=bucket.scope,
        )

    def note(self, buckets: Sequence[Bucket]) -> None:
        """Count a request that was admitted elsewhere, so that a failing ledger does not open a fresh allowance."""
        now = self._now_us()
        for bucket in buckets:
            count = self._count(bucket, now)
            count.tat = min(max(count.tat, now) + count.interval_us, now + count.burst_us)

    def _count(self, bucket: Bucket, now: int) -> _Count:
        count = self._counts.get(bucket)
        if count is None:
            if len(self._counts) >= _SWEEP_AT:
                self._counts = {one: kept for one, kept in self._counts.items() if kept.tat > now}
            share = Limit(max(bucket.requests // self._workers, 1), bucket.limit.window_us)
            count = self._counts[bucket] = _Count(share, share.interval_us, share.burst_us)
        return count

    def _now_us(self) -> int:
        return int(self._clock.monotonic() * _US_PER_S)
