"""Slices: nothing waits while they last, all workers together stay within the limit, and nothing is lost in them."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgeting import LosingStore, ask, limit, until_settled, worker
from clocks import ManualClock
from gateway.budgets.leased import LeasedBudgets, _numbers
from gateway.budgets.model import RUNNING, Amounts, Exceeded, Kind, Outage, Reserved, Resource

LIMITS = (limit(100_000), limit(1_000, Resource.REQUESTS, name="requests"))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return LosingStore(clock)


def leased(store, clock, name="w1", workers=2):
    return LeasedBudgets(store, worker(store, clock, name, workers), clock, name, workers=workers)


async def drained(budgets):
    """What was asked to be filled has been."""
    while budgets._filling is not None:
        await asyncio.sleep(0)


async def exchange(budgets, what, used):
    got = budgets.take(what) or await budgets.reserve(what)
    await drained(budgets)
    if isinstance(got, Reserved):
        budgets.settle(got.reservation, used)
    return got


async def test_after_the_first_exchange_none_waits_for_the_ledger(store, clock):
    budgets = leased(store, clock)
    for _ in range(5):
        await exchange(budgets, ask(*LIMITS), Amounts(0, 9, 0))
    await budgets.synchronise()
    await until_settled(budgets._exact)
    calls = store.calls
    for _ in range(20):
        got = budgets.take(ask(*LIMITS))
        assert isinstance(got, Reserved)
        budgets.settle(got.reservation, Amounts(0, 9, 0))
        await drained(budgets)
    assert budgets.missed <= 2
    assert store.calls - calls <= 6  # filled beside the exchanges


async def test_what_was_used_is_charged_with_the_next_synchronisation(store, clock):
    budgets = leased(store, clock)
    tokens = ask(limit(100_000))
    for _ in range(7):
        await exchange(budgets, tokens, Amounts(0, 9, 0))
    await until_settled(budgets._exact)
    await budgets.synchronise()
    assert store.totals()[0] == 63


async def test_a_slice_that_nobody_needs_goes_back(store, clock):
    budgets = leased(store, clock)
    for _ in range(3):
        await exchange(budgets, ask(*LIMITS), Amounts(0, 9, 0))
    await until_settled(budgets._exact)
    assert budgets.stranded > 0
    for _ in range(12):
        await budgets.synchronise()
    assert budgets.stranded == 0
    assert store.totals() == (27 + 3, 0)


async def test_all_workers_strand_at_most_a_tenth_of_what_is_left(store, clock):
    workers = [leased(store, clock, f"w{n}", workers=4) for n in range(4)]
    tokens = ask(limit(1_000), tokens=100)
    got = [budgets.take(tokens) or await budgets.reserve(tokens) for budgets in workers]
    for budgets in workers:
        await drained(budgets)
    assert all(isinstance(one, Reserved) for one in got)
    assert 0 < sum(budgets.stranded for budgets in workers) <= 1_000 // 10


def test_columns_are_those_of_the_model():
    amounts = Amounts(3, 4, 5)
    assert list(_numbers(amounts)) == [amounts.of(resource) for resource in Resource]


async def test_closing_gives_everything_back(store, clock):
    budgets = leased(store, clock)
    for _ in range(3):
        await exchange(budgets, ask(*LIMITS), Amounts(0, 9, 0))
    assert await budgets.close(5) == 0
    assert store.totals() == (27 + 3, 0)


async def test_the_slice_of_a_worker_that_died_comes_back(store, clock):
    dead = leased(store, clock, "w1", workers=1)
    await exchange(dead, ask(limit(1_000), tokens=400), Amounts(0, 400, 0))
    await until_settled(dead._exact)
    dead.take(ask(limit(1_000), tokens=30))
    clock.advance(30)
    store.store.oracle.reserve(int(clock.now() * 1000), [], 0)
    other = leased(store, clock, "w2", workers=1)
    assert isinstance(await other.reserve(ask(limit(1_000), tokens=600)), Reserved)


async def test_settling_twice_charges_once(store, clock):
    budgets = leased(store, clock)
    tokens = ask(limit(100_000))
    await exchange(budgets, tokens, Amounts())
    got = budgets.take(tokens)
    assert isinstance(got, Reserved)
    budgets.settle(got.reservation, Amounts(0, 7, 0))
    budgets.settle(got.reservation, Amounts(0, 7, 0))
    await budgets.close(5)
    assert store.totals() == (7, 0)


async def test_what_goes_beyond_the_promise_is_charged(store, clock):
    budgets = leased(store, clock)
    tokens = ask(limit(100_000))
    await exchange(budgets, tokens, Amounts())
    got = budgets.take(tokens)
    got = got.reservation
    for so_far in (4, 8, 5_000):
        await budgets.extend(got, Amounts(0, so_far, 0))
        await budgets.synchronise()
    assert store.totals()[0] == 5_000
    budgets.settle(got, Amounts(0, 5_001, 0))
    await budgets.close(5)
    assert store.totals() == (5_001, 0)


async def test_streams_are_held_while_they_run(store, clock):
    budgets = leased(store, clock, workers=1)
    streams = ask(limit(40, Resource.STREAMS, RUNNING))
    first = await exchange(budgets, streams, Amounts())
    assert isinstance(first, Reserved)
    running = [budgets.take(streams) or await budgets.reserve(streams) for _ in range(41)]
    assert sum(isinstance(one, Reserved) for one in running) <= 40
    for one in running:
        if isinstance(one, Reserved):
            budgets.release(one.reservation)
    await budgets.close(5)
    assert store.totals() == (0, 0)


async def test_a_soft_limit_never_makes_anybody_wait(store, clock):
    budgets = leased(store, clock)
    soft = ask(limit(5, kind=Kind.SOFT))
    for _ in range(3):
        got = budgets.take(soft)
        budgets.settle(got.reservation, Amounts(0, 9, 0))
    await budgets.close(5)
    assert store.totals() == (27, 0)


async def test_slices_are_spent_on_while_the_ledger_is_away_and_not_after_they_ended(store, clock):
    budgets = leased(store, clock)
    for _ in range(3):
        await exchange(budgets, ask(*LIMITS), Amounts(0, 9, 0))
    await until_settled(budgets._exact)
    await budgets.synchronise()
    store.away = True
    got = budgets.take(ask(*LIMITS, outage=Outage.DENY))
    assert isinstance(got, Reserved)
    clock.advance(20)
    assert budgets.take(ask(*LIMITS)) is None
    assert isinstance(await budgets.reserve(ask(*LIMITS)), Exceeded)
    budgets.settle(got.reservation, Amounts(0, 9, 0))
    store.away = False
    await budgets.synchronise()
    clock.advance(1)
    await budgets.close(5)
    assert store.totals()[0] == 4 * 9 + 4


HARD = limit(120)  # small, and slices as large as one worker's, so that they are fought for
events = st.one_of(
    st.tuples(st.just("go"), st.integers(0, 2), st.integers(1, 60)),
    st.tuples(st.just("end"), st.integers(0, 9), st.integers(0, 60)),
    st.tuples(st.just("sync"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("deaf"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 300), st.just(0)),
    st.tuples(st.just("die"), st.integers(0, 2), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=40))
def test_no_order_of_events_admits_more_than_the_limit_or_loses_a_settlement(script):
    async def play():
        clock = ManualClock()
        store = LosingStore(clock)
        workers = [leased(store, clock, f"w{n}", workers=1) for n in range(3)]
        running, settled, lost, names, deaf = [], 0, 0, 3, False
        for what, which, amount in script:
            match what:
                case "go":
                    budgets = workers[which]
                    got = budgets.take(ask(HARD, tokens=amount))
                    got = got or await budgets.reserve(ask(HARD, tokens=amount))
                    await drained(budgets)
                    if isinstance(got, Reserved):
                        running.append((budgets, got.reservation, amount))
                case "end" if running:
                    budgets, reservation, granted = running.pop(which % len(running))
                    used = min(amount, granted)
                    budgets.settle(reservation, Amounts(0, used, 0))
                    settled += used
                case "sync":
                    await workers[which].synchronise()
                case "deaf":
                    store.deaf = bool(which)
                    deaf = True
                case "wait":
                    clock.advance(which / 100)
                    await asyncio.sleep(0)
                case "die":
                    dead = workers[which]
                    lost += sum(one.used - one.charged for one in dead._slices.values()) + 60 * dead._exact.unsettled
                    running = [one for one in running if one[0] is not dead]
                    dead._exact._unsettled.clear()
                    workers[which] = leased(store, clock, f"w{names}", workers=1)
                    names += 1
            used, held = store.totals()
            assert used + held <= HARD.amount
            if not deaf:
                mine = [one for budgets in workers for one in budgets._slices.values()]
                others = sum(granted for _, got, granted in running if not got.id.startswith("lease:"))
                assert sum(one.promised + max(one.free, 0) + one.used - one.charged for one in mine) <= held - others
            # Whatever runs is covered: by what the ledger holds, or by use that it will hear of.
            assert sum(granted for *_, granted in running) <= HARD.amount
        store.deaf = False
        for budgets, reservation, granted in running:
            budgets.settle(reservation, Amounts(0, granted, 0))
            settled += granted
        for budgets in workers:
            async with asyncio.timeout(20):
                while budgets._exact.unsettled:
                    clock.advance(0.01)
                    await asyncio.sleep(0.0005)
            assert await budgets.close(5) == 0
        used, _ = store.totals()
        assert settled - lost <= used <= settled

    asyncio.run(play())
