"""Budgets of a worker: what is held and charged, and what happens while the ledger is away."""

import asyncio

import pytest

from budgeting import ACME, LosingStore, ask, limit, until_settled, worker
from clocks import ManualClock
from gateway.budgets.model import PER_MONTH, RUNNING, Amounts, Dimension, Exceeded, Kind, Outage, Reserved, Resource

TOKENS = limit(100)
MONEY = limit(1_000_000, Resource.MICRO_USD, PER_MONTH, name="money")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return LosingStore(clock)


@pytest.fixture
def budgets(store, clock):
    return worker(store, clock)


async def test_what_is_not_limited_needs_no_ledger(budgets, store):
    keyed = limit(5, Resource.TOKENS, TOKENS.window, Dimension.MODEL_GROUP)
    assert isinstance(budgets.take(ask(keyed)), Reserved)
    assert isinstance(await budgets.reserve(ask(keyed)), Reserved)
    assert budgets.take(ask(TOKENS)) is None
    assert store.calls == 0


async def test_use_replaces_what_was_held(budgets, store):
    got = await budgets.reserve(ask(TOKENS, tokens=60))
    assert store.totals() == (0, 60)
    budgets.settle(got.reservation, Amounts(5, 20, 0))
    await until_settled(budgets)
    assert store.totals() == (25, 0)


async def test_a_refusal_names_the_limit_and_holds_nothing(budgets, store):
    await budgets.reserve(ask(TOKENS, tokens=60))
    refused = await budgets.reserve(ask(TOKENS, MONEY, tokens=41, micro_usd=5))
    assert isinstance(refused, Exceeded)
    assert refused.verdict.refused_by.limit is TOKENS
    assert (refused.verdict.refused_by.held, refused.verdict.refused_by.retry_after_s) == (60, 1.0)
    assert store.totals() == (0, 60)


async def test_what_can_never_fit_is_told_so(budgets):
    refused = await budgets.reserve(ask(TOKENS, tokens=101))
    assert refused.verdict.refused_by.retry_after_s < 0


async def test_an_exchange_that_can_do_with_less_gets_what_is_left(budgets):
    await budgets.reserve(ask(TOKENS, tokens=60))
    got = await budgets.reserve(ask(TOKENS, tokens=60, least=10))
    assert got.reservation.granted(Resource.TOKENS) == 40


async def test_a_soft_limit_tells_and_lets_pass(budgets):
    soft = limit(5, kind=Kind.SOFT)
    got = await budgets.reserve(ask(soft, tokens=6))
    assert [one.limit for one in got.verdict.exceeded] == [soft]


async def test_requests_are_spent_and_streams_are_given_back(budgets, store):
    requests = limit(9, Resource.REQUESTS, name="requests")
    streams = limit(1, Resource.STREAMS, RUNNING, name="streams")
    got = await budgets.reserve(ask(requests, streams))
    assert isinstance(await budgets.reserve(ask(requests, streams)), Exceeded)
    budgets.release(got.reservation)
    await until_settled(budgets)
    assert store.totals() == (1, 0)
    assert isinstance(await budgets.reserve(ask(requests, streams)), Reserved)


async def test_an_extended_stream_keeps_its_hold_and_what_it_charged(budgets, store, clock):
    got = await budgets.reserve(ask(TOKENS, tokens=60))
    for _ in range(5):
        clock.advance(100)
        reservation = await budgets.extend(got.reservation, Amounts(0, 15, 0))
    assert store.totals()[1] == 45
    budgets.settle(reservation, Amounts(0, 20, 0))
    await until_settled(budgets)
    assert store.totals()[1] == 0
    assert reservation.expires_at == clock.monotonic() + 120


async def test_a_worker_that_died_leaves_nothing_held(budgets, store, clock):
    await budgets.reserve(ask(TOKENS, tokens=100))
    clock.advance(126)
    assert isinstance(await budgets.reserve(ask(TOKENS, tokens=100)), Reserved)


async def test_a_settlement_after_the_hold_ended_counts_once(budgets, store, clock):
    got = await budgets.reserve(ask(TOKENS, tokens=100))
    clock.advance(300)
    other = await budgets.reserve(ask(TOKENS, tokens=50))
    budgets.settle(got.reservation, Amounts(0, 7, 0))
    await until_settled(budgets)
    assert store.totals() == (7, 50)
    assert isinstance(other, Reserved)


async def test_an_answer_that_was_lost_is_asked_for_again_and_counts_once(budgets, store, clock):
    got = await budgets.reserve(ask(TOKENS, tokens=50))
    store.deaf = True
    budgets.settle(got.reservation, Amounts(0, 30, 0))
    async with asyncio.timeout(20):
        while store.calls < 4:
            await asyncio.sleep(0.001)
    store.deaf = False
    # The circuit is open by now: time must pass before anybody probes.
    await _until_back(budgets, clock)
    assert store.totals() == (30, 0)


async def test_a_ledger_that_is_away_refuses_where_the_policy_says_so(budgets, store):
    store.away = True
    refused = await budgets.reserve(ask(TOKENS))
    assert refused.verdict.unavailable
    assert not refused.verdict.allowed


async def test_after_three_failures_only_a_probe_asks(budgets, store):
    store.away = True
    for _ in range(10):
        await budgets.reserve(ask(TOKENS))
    assert store.calls == 3


async def test_without_the_ledger_a_worker_spends_its_share_of_what_was_left_and_tells_later(budgets, store, clock):
    got = await budgets.reserve(ask(TOKENS, tokens=40))
    budgets.settle(got.reservation, Amounts(0, 40, 0))
    await until_settled(budgets)
    await budgets.reserve(ask(TOKENS, tokens=1))  # hears of the 40
    store.away = True
    local = ask(TOKENS, tokens=10, outage=Outage.LOCAL)
    outcomes = [await budgets.reserve(local) for _ in range(5)]
    # 59 are left for two workers, less the parts of 40 and 1, rounded up.
    assert [isinstance(one, Reserved) for one in outcomes] == [True, True, False, False, False]
    for one in outcomes[:2]:
        budgets.settle(one.reservation, Amounts(0, 8, 0))
    store.away = False
    await _until_back(budgets, clock)
    assert store.totals() == (56, 1)


async def test_of_a_limit_that_was_never_heard_of_little_is_lent(budgets, store):
    store.away = True
    big = limit(10_000)
    assert isinstance(await budgets.reserve(ask(big, tokens=50, outage=Outage.LOCAL)), Reserved)
    assert isinstance(await budgets.reserve(ask(big, tokens=1, outage=Outage.LOCAL)), Exceeded)


async def test_a_request_admitted_without_the_ledger_is_charged_later(budgets, store, clock):
    requests = limit(1000, Resource.REQUESTS, name="requests")
    store.away = True
    got = await budgets.reserve(ask(requests, outage=Outage.LOCAL))
    assert isinstance(got, Reserved)
    budgets.settle(got.reservation, Amounts())
    store.away = False
    await _until_back(budgets, clock)
    assert store.totals() == (1, 0)


async def test_a_ledger_that_is_late_is_given_up_at_the_deadline(store, clock):
    budgets = worker(store, clock, deadline_s=0.01)
    store.gate = asyncio.Event()
    refused = await budgets.reserve(ask(TOKENS))
    assert refused.verdict.unavailable
    assert budgets.failures == 1


async def test_two_tenants_do_not_touch_each_other(budgets):
    await budgets.reserve(ask(TOKENS, tokens=100))
    globex = ask(TOKENS, tokens=100, subject=ACME.__class__("globex"))
    assert isinstance(await budgets.reserve(globex), Reserved)


async def _until_back(budgets, clock):
    """Time passes for the breaker, by probes that it lets through; they are refused, so they hold nothing."""
    async with asyncio.timeout(20):
        while budgets.unsettled:
            clock.advance(0.5)
            await asyncio.sleep(0.001)
