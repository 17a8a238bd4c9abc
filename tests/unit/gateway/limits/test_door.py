"""Leasing: no round trip while permits last, never more than the ledger granted, a bounded answer when it is away."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clocks import ManualClock
from gateway.limits.bucket import UNLIMITED, Bucket
from gateway.limits.door import LeasedLimiter
from gateway.limits.ledger import Grant, LedgerError, MemoryLedger, Want
from gateway.limits.local import LocalLimiter

TENANT = Bucket("acme", "tenant", 600, 60)
KEY = Bucket("acme", "key:k1", 3, 60)


class Watched:
    """A ledger in memory that counts calls and can be held, broken and silenced."""

    def __init__(self, clock: ManualClock) -> None:
        self.inner = MemoryLedger(lambda: int(clock.monotonic() * 1_000_000))
        self.calls: list[tuple[Want, ...]] = []
        self.granted = 0
        self.broken = False
        self.open = asyncio.Event()
        self.open.set()

    async def lease(self, wants: Sequence[Want]) -> tuple[Grant, ...]:
        self.calls.append(tuple(wants))
        await self.open.wait()
        if self.broken:
            raise LedgerError("broken on purpose")
        grants = await self.inner.lease(wants)
        self.granted += sum(grant.granted for grant in grants)
        return grants


def limiter(ledger: Watched, clock: ManualClock, *, workers: int = 4, deadline_s: float = 60.0) -> LeasedLimiter:
    return LeasedLimiter(ledger, LocalLimiter(clock, workers=workers), clock, deadline_s=deadline_s)


def finish(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that must not wait for anything."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    call.close()
    raise AssertionError("it waited")


def test_no_limit_answers_without_waiting():
    clock = ManualClock()
    assert finish(limiter(Watched(clock), clock).spend([])) is UNLIMITED


async def test_leased_permits_are_spent_without_waiting():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    for _ in range(200):
        await door.spend([TENANT])
        clock.advance(0.002)
    calls = len(ledger.calls)
    assert calls < 40
    while True:  # the rest of the present slice
        if door.take([TENANT]) is None:
            break
    assert (await door.spend([TENANT])).allowed
    assert finish(door.spend([TENANT])).allowed


async def test_a_slice_is_at_most_a_twentieth_of_the_limit():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    for _ in range(600):
        await door.spend([TENANT])
    assert max(want.most for call in ledger.calls for want in call) == 600 // 20


async def test_a_key_and_its_tenant_are_leased_in_one_call_and_refused_together():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    verdicts = [await door.spend([KEY, TENANT]) for _ in range(4)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert len(ledger.calls[0]) == 2
    assert (verdicts[3].which, verdicts[3].limit, verdicts[3].retry_after_s) == ("key:k1", 3, 20.0)
    assert (verdicts[2].which, verdicts[2].remaining) == ("key:k1", 0)


async def test_a_refusal_is_remembered_so_that_a_flood_does_not_reach_the_ledger():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    for _ in range(4):
        await door.spend([KEY])
    calls = len(ledger.calls)
    for _ in range(1000):
        assert not finish(door.spend([KEY])).allowed
    assert len(ledger.calls) == calls
    clock.advance(20)
    assert (await door.spend([KEY])).allowed


async def test_unspent_permits_expire():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    admitted = 0
    while ledger.granted - admitted < 3:  # until the worker holds some that nobody has asked for
        assert (await door.spend([TENANT])).allowed
        admitted += 1
    clock.advance(0.999)
    assert door.take([TENANT]) is not None
    clock.advance(0.001)
    assert door.take([TENANT]) is None


async def test_requests_that_arrive_together_share_leases():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    ledger.open.clear()
    waiting = asyncio.gather(*(door.spend([TENANT]) for _ in range(200)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(ledger.calls) == 1
    ledger.open.set()
    assert all(verdict.allowed for verdict in await waiting)
    assert len(ledger.calls) <= 3


async def test_a_caller_that_leaves_does_not_take_the_lease_from_the_others():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    ledger.open.clear()
    leaver = asyncio.ensure_future(door.spend([TENANT]))
    stayer = asyncio.ensure_future(door.spend([TENANT]))
    for _ in range(3):
        await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    ledger.open.set()
    assert (await stayer).allowed
    assert len(ledger.calls) == 1


async def test_a_broken_ledger_leaves_each_worker_its_share():
    clock = ManualClock()
    ledger = Watched(clock)
    ledger.broken = True
    door = limiter(ledger, clock, workers=4)
    verdicts = [await door.spend([TENANT]) for _ in range(200)]
    assert sum(verdict.allowed for verdict in verdicts) == 600 // 4
    assert len(ledger.calls) == 1
    assert (door.failures, door.local_answers) == (1, 200)


async def test_a_silent_ledger_is_given_up_at_the_deadline_by_one_request_only():
    clock = ManualClock()
    ledger = Watched(clock)
    ledger.open.clear()
    door = limiter(ledger, clock, workers=1, deadline_s=0)
    verdicts = await asyncio.gather(*(door.spend([TENANT]) for _ in range(50)))
    assert all(verdict.allowed for verdict in verdicts)
    assert door.leases == 1
    assert finish(door.spend([TENANT])).allowed


async def test_what_was_admitted_before_the_ledger_failed_counts_against_the_share():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock, workers=2)
    for _ in range(300):
        await door.spend([TENANT])
    while door.take([TENANT]) is not None:
        pass
    ledger.broken = True
    assert not (await door.spend([TENANT])).allowed


async def test_the_ledger_is_tried_again_by_one_request_each_second():
    clock = ManualClock()
    ledger = Watched(clock)
    ledger.broken = True
    door = limiter(ledger, clock)
    for _ in range(3):
        await asyncio.gather(*(door.spend([Bucket("acme", f"key:{n}", 600, 60)]) for n in range(5)))
        clock.advance(1.0)
    # The first round cannot know yet; each later one sends a single probe.
    assert len(ledger.calls) == 5 + 2
    ledger.broken = False
    await door.spend([TENANT])
    before = door.local_answers
    await door.spend([Bucket("acme", "key:new", 600, 60)])
    assert door.local_answers == before


async def test_a_changed_limit_holds_at_once():
    clock = ManualClock()
    ledger = Watched(clock)
    door = limiter(ledger, clock)
    await asyncio.gather(*(door.spend([TENANT]) for _ in range(10)))
    lowered = TENANT._replace(requests=5)
    assert [(await door.spend([lowered])).allowed for _ in range(6)].count(True) <= 5


async def test_a_steady_caller_below_its_limit_is_never_refused_for_stranded_permits():
    clock = ManualClock()
    ledger = Watched(clock)
    doors = [limiter(ledger, clock) for _ in range(4)]
    for second in range(600):  # four workers, each two requests a second: 8/s of 10/s
        for door in doors:
            assert (await door.spend([TENANT])).allowed, second
        clock.advance(0.5)


async def test_two_hundred_at_once_over_four_workers_get_exactly_the_limit():
    clock = ManualClock()
    ledger = Watched(clock)
    doors = [limiter(ledger, clock) for _ in range(4)]
    limit = Bucket("acme", "tenant", 50, 60)
    verdicts = await asyncio.gather(*(doors[n % 4].spend([limit]) for n in range(200)))
    assert sum(verdict.allowed for verdict in verdicts) == 50
    assert ledger.granted == 50


waits = st.sampled_from([0.0, 0.0, 0.01, 0.2, 1.0, 5.0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(waits, st.integers(0, 3), st.integers(1, 12)), max_size=40), st.integers(1, 60))
def test_no_pattern_over_several_workers_gets_more_than_the_ledger_counts(steps, requests):
    async def play() -> list[tuple[float, int]]:
        clock = ManualClock()
        ledger = Watched(clock)
        doors = [limiter(ledger, clock) for _ in range(4)]
        limit = Bucket("acme", "tenant", requests, 60)
        admitted = []
        for wait, which, count in steps:
            clock.advance(wait)
            verdicts = await asyncio.gather(*(doors[which].spend([limit]) for _ in range(count)))
            admitted.append((clock.monotonic(), sum(verdict.allowed for verdict in verdicts)))
        assert sum(count for _, count in admitted) <= ledger.granted
        return admitted

    admitted = asyncio.run(play())
    interval = 60 / requests
    for first, (start, _) in enumerate(admitted):
        total = 0
        for end, count in admitted[first:]:
            total += count
            # A permit may be a second old when it is spent: one second more of refill, no more.
            assert total <= requests + (end - start + 1.0) / interval + 1e-6
