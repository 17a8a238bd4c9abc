"""The limiter of one worker: spends leased permits at once, and asks the ledger only when they run out.

A lease is a few permits that the ledger has counted already; a worker can therefore never admit more than the ledger
granted. What is not spent before the lease ends is lost ("stranded"). Two bounds keep that small: a slice is what
demand needs for a tenth of a lease, and never more than a twentieth of the limit (or one, or as many as wait now).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway import aio
from gateway.clock import Clock
from gateway.limits.bucket import UNLIMITED, Bucket, Verdict, seconds
from gateway.limits.ledger import Grant, Ledger, LedgerError, Want
from gateway.limits.local import LocalLimiter

_US_PER_S: Final = 1_000_000
_LARGEST_SHARE: Final = 20  # a slice is at most 1/20 of the limit: what one worker that stops can strand
_LEASE_US: Final = _US_PER_S  # longest life of a permit: a window sees at most one second of earlier grants
_HORIZON: Final = 10  # a slice is demand for 1/10 of a lease: ten ledger calls a second, and rarely a rest
_ASK_AGAIN_US: Final = _US_PER_S  # refusals are remembered no longer: a ledger that lost its state recovers
_BACKOFF_US: Final = _US_PER_S  # one request in a second tries a ledger that failed; the others do not wait
_ROUNDS: Final = 8  # leases that one request waits for; two limits need two, the rest are lost races
_SWEEP_AT: Final = 65_536  # slices; below that, memory is not worth a sweep
DEADLINE_S: Final = 0.05  # a third of authz's deadline (150 ms), so that the local answer still comes in time

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Slice:
    """The permits that a worker holds of one bucket."""

    left: int = 0
    granted: int = 0
    leased_at_us: int = 0  # before the call: the ledger counted later than this
    ends_at_us: int = 0
    size: int = 1  # what the next lease asks for
    waiting: int = 0  # requests that wait for this slice
    pending: "asyncio.Task[None] | None" = None
    refused_until_us: int = 0  # the ledger need not be asked before
    retry_at_us: int = 0  # what callers are told
    remaining: int = 0  # in the ledger, when last seen
    reset_at_us: int = 0

    def ready(self, now: int) -> bool:
        """Whether a permit can be taken."""
        return self.left > 0 and now < self.ends_at_us

    def idle(self, now: int) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not self.ready(now) and not self.waiting and self.pending is None and now >= self.refused_until_us


class LeasedLimiter:
    """What authz asks for each request. For one event loop."""

    def __init__(self, ledger: Ledger, local: LocalLimiter, clock: Clock, *, deadline_s: float = DEADLINE_S) -> None:
        """`local` answers while the ledger does not; it must not be shared with another limiter."""
        self._ledger = ledger
        self._local = local
        self._clock = clock
        self._deadline_s = deadline_s
        self._slices: dict[Bucket, _Slice] = {}
        self._failing = False
        self._retry_ledger_at_us = 0
        self.leases = 0  # ledger calls, for metrics
        self.failures = 0  # of them failed or late
        self.local_answers = 0  # requests judged without the ledger

    async def spend(self, buckets: Sequence[Bucket]) -> Verdict:
        """Count one request against every bucket, or against none. Waits only when permits have run out."""
        if not buckets:
            return UNLIMITED
        for _ in range(_ROUNDS):
            verdict = self.take(buckets)
            if verdict is not None:
                return verdict
            if self._shun_ledger():
                self.local_answers += 1
                return self._local.draw(buckets)
            await self._refill(buckets)
        # Lost every race for permits: as good as over the limit, and refusing is the safe side.
        return self._refusal(buckets[0], 0, _US_PER_S)

    def take(self, buckets: Sequence[Bucket]) -> Verdict | None:
        """A verdict out of what this worker knows, without waiting; None when the ledger must be asked."""
        if not buckets:
            return UNLIMITED
        # Every request comes through here: plain loops, no generators, cost it a third less.
        now, known = self._now_us(), self._slices
        slices = []
        ready = True
        for bucket in buckets:
            held = known.get(bucket) or self._slice(bucket, now)
            slices.append(held)
            if held.left > 0 and now < held.ends_at_us:
                continue
            ready = False
            if now < held.refused_until_us:
                return self._refusal(bucket, held.reset_at_us - now, held.retry_at_us - now)
        if not ready:
            return None
        tightest = 0
        for at, held in enumerate(slices):
            held.left -= 1
            if held.remaining + held.left < slices[tightest].remaining + slices[tightest].left:
                tightest = at
        self._local.note(buckets)
        bucket, held = buckets[tightest], slices[tightest]
        return Verdict(
            allowed=True,
            limit=bucket.requests,
            remaining=held.remaining + held.left,
            reset_s=seconds(held.reset_at_us - now),
            which=bucket.scope,
        )

    def _shun_ledger(self) -> bool:
        """Whether to judge locally. After a failure one request in each back-off period tries the ledger."""
        if not self._failing:
            return False
        now = self._now_us()
        if now < self._retry_ledger_at_us:
            return True
        self._retry_ledger_at_us = now + _BACKOFF_US
        return False

    async def _refill(self, buckets: Sequence[Bucket]) -> None:
        """Wait for permits of what has none: for a lease that is under way, else for one of our own."""
        now = self._now_us()
        empty = {bucket: held for bucket in buckets if not (held := self._slice(bucket, now)).ready(now)}
        for held in empty.values():
            held.waiting += 1
        try:
            pending = next((held.pending for held in empty.values() if held.pending), None)
            if pending is None:
                pending = aio.spawn(self._lease(empty), "limits-lease")
                for held in empty.values():
                    held.pending = pending
            # Shielded: a caller that leaves must not take the lease from the others that wait for it.
            await asyncio.shield(pending)
        finally:
            for held in empty.values():
                held.waiting -= 1

    async def _lease(self, empty: dict[Bucket, _Slice]) -> None:
        asked_at = self._now_us()
        self.leases += 1
        wants = [Want(bucket, max(_size(bucket, held, asked_at), held.waiting)) for bucket, held in empty.items()]
        try:
            async with asyncio.timeout(self._deadline_s):
                grants = await self._ledger.lease(wants)
        except (TimeoutError, LedgerError) as error:
            self._failed(error)
        else:
            if self._failing:
                self._failing = False
                _log.info("limits_ledger_back")
            for (bucket, held), grant in zip(empty.items(), grants, strict=True):
                _fill(bucket, held, grant, asked_at)
        finally:
            for held in empty.values():
                held.pending = None

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self._failing:
            _log.warning("limits_ledger_down", cause=str(error) or type(error).__name__)
        self._failing = True
        self._retry_ledger_at_us = self._now_us() + _BACKOFF_US

    def _refusal(self, bucket: Bucket, reset_us: int, retry_us: int) -> Verdict:
        return Verdict(
            allowed=False,
            limit=bucket.requests,
            reset_s=seconds(reset_us),
            retry_after_s=seconds(retry_us),
            which=bucket.scope,
        )

    def _slice(self, bucket: Bucket, now: int) -> _Slice:
        held = self._slices.get(bucket)
        if held is None:
            if len(self._slices) >= _SWEEP_AT:
                self._slices = {one: kept for one, kept in self._slices.items() if not kept.idle(now)}
            held = self._slices[bucket] = _Slice()
        return held

    def _now_us(self) -> int:
        return int(self._clock.monotonic() * _US_PER_S)


def _life_us(bucket: Bucket) -> int:
    """How long a permit lives: a second, or a twentieth of a short window."""
    return min(_LEASE_US, bucket.window_s * _US_PER_S // _LARGEST_SHARE)


def _size(bucket: Bucket, held: _Slice, now: int) -> int:
    """Permits for the next tenth of a lease, by what the last lease saw; at most double, never above the share."""
    used = held.granted - held.left
    elapsed = max(now - held.leased_at_us, 1)
    expected = -(-used * _life_us(bucket) // (_HORIZON * elapsed))
    held.size = max(1, min(expected, 2 * held.size, bucket.requests // _LARGEST_SHARE))
    return held.size


def _fill(bucket: Bucket, held: _Slice, grant: Grant, asked_at: int) -> None:
    held.left = held.granted = grant.granted
    held.leased_at_us = asked_at
    held.ends_at_us = asked_at + _life_us(bucket)
    held.remaining = grant.remaining
    held.reset_at_us = asked_at + grant.reset_us
    if grant.retry_after_us > 0:
        held.retry_at_us = asked_at + grant.retry_after_us
        held.refused_until_us = min(held.retry_at_us, asked_at + _ASK_AGAIN_US)
