"""Exchanges of a tenant that shares: own limits and shared ones together, and what either refuses the other gives back."""

import asyncio

import pytest

import sharing
from budgeting import LosingStore, ask, limit, until_settled, worker
from clocks import ManualClock
from gateway.budgets.leased import LeasedBudgets
from gateway.budgets.model import RUNNING, Amounts, Exceeded, Outage, Reserved, Resource, Subject
from gateway.script import ScriptError

WEIGHTS = {"acme": 3, "beta": 1}
GPU = sharing.shared(400, WEIGHTS)
BETA = Subject("beta", model="gpt-4o")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return LosingStore(clock)


@pytest.fixture
def budgets(store, clock):
    return worker(store, clock)


def account(store, key):
    found = store.store.oracle.accounts.get(key)
    return (found.used, found.held) if found else (0, 0)


def of(store, shared=GPU, tenant="acme"):
    """(used, held) of the whole, and of a member."""
    terms = sharing.terms(shared)[tenant]
    return account(store, terms.key), account(store, terms.own.key)


async def test_an_exchange_counts_in_its_own_limit_in_the_whole_and_in_its_part(budgets, store):
    got = await budgets.reserve(ask(limit(100), GPU, tokens=60))
    assert of(store) == ((0, 60), (0, 60))
    assert store.totals() == (0, 180)
    assert got.reservation.granted(Resource.TOKENS) == 60
    budgets.settle(got.reservation, Amounts(5, 20, 0))
    await until_settled(budgets)
    assert of(store) == ((25, 0), (25, 0))
    assert store.totals() == (75, 0)


async def test_a_verdict_tells_the_tenants_part_beside_the_whole(budgets):
    await budgets.reserve(ask(GPU, tokens=50, subject=BETA))
    got = await budgets.reserve(ask(GPU, tokens=60))
    (standing,) = got.verdict.standings
    assert (standing.held, standing.own, standing.assured) == (110, 60, 300)


async def test_what_is_shared_by_another_model_is_not_asked(budgets, store):
    other = sharing.shared(400, WEIGHTS, models=frozenset({"llama"}))
    assert isinstance(budgets.take(ask(other)), Reserved)
    assert isinstance(await budgets.reserve(ask(other)), Reserved)
    assert store.calls == 0


async def test_a_refusal_of_what_is_shared_gives_back_the_tenants_own_request_too(budgets, store):
    requests = limit(100, Resource.REQUESTS, name="requests")
    full = await budgets.reserve(ask(GPU, tokens=350))
    refused = await budgets.reserve(ask(requests, limit(100), GPU, tokens=60))
    assert isinstance(full, Reserved)
    assert isinstance(refused, Exceeded)
    assert refused.verdict.refused_by.limit is GPU
    await until_settled(budgets)
    assert store.totals() == (0, 700)


async def test_a_refusal_of_the_tenants_own_limit_gives_back_what_is_shared(budgets, store):
    both = sharing.shared(40, WEIGHTS, Resource.REQUESTS, name="both")
    refused = await budgets.reserve(ask(limit(10), GPU, both, tokens=60))
    assert refused.verdict.refused_by.limit.name == "team"
    await until_settled(budgets)
    assert of(store) == of(store, both) == ((0, 0), (0, 0))


async def test_what_a_tenant_cannot_have_by_its_own_limit_is_not_kept_free_for_it(budgets, store):
    await budgets.reserve(ask(GPU, tokens=380, subject=BETA))
    await budgets.reserve(ask(limit(10), GPU, tokens=60))
    terms = sharing.terms(GPU)["acme"]
    async with asyncio.timeout(20):
        while store.store.oracle._unmet[terms.unmet]:
            await asyncio.sleep(0)
    await budgets.reserve(ask(GPU, tokens=60))
    assert list(store.store.oracle._unmet[terms.unmet][terms.own.key].wishes.values()) == [60]


async def test_a_shared_request_is_spent_once_and_for_all(budgets, store):
    both = sharing.shared(40, WEIGHTS, Resource.REQUESTS, name="both")
    streams = sharing.shared(40, WEIGHTS, Resource.STREAMS, RUNNING, "streams")
    got = await budgets.reserve(ask(both, streams))
    assert of(store, both) == ((1, 0), (1, 0))
    assert of(store, streams) == ((0, 1), (0, 1))
    budgets.release(got.reservation)
    await until_settled(budgets)
    assert of(store, both) == ((1, 0), (1, 0))
    assert of(store, streams) == ((0, 0), (0, 0))


async def test_a_long_stream_keeps_its_hold_in_every_slot(budgets, store, clock):
    got = await budgets.reserve(ask(limit(100), GPU, tokens=60))
    reservation = got.reservation
    for _ in range(4):
        clock.advance(100)
        reservation = await budgets.extend(reservation, Amounts(0, 15, 0))
    assert of(store)[0][1] == of(store)[1][1] == 45
    assert store.totals()[1] == 135
    budgets.settle(reservation, Amounts(0, 20, 0))
    await until_settled(budgets)
    assert store.totals()[1] == 0


class Half(LosingStore):
    """A cluster of which the node of what is shared is away."""

    async def share(self, *words):
        self.calls += 1
        raise ScriptError("ConnectionError")


async def test_when_one_slot_is_away_the_others_give_back(clock):
    store = Half(clock)
    budgets = worker(store, clock)
    refused = await budgets.reserve(ask(limit(100), GPU))
    assert refused.verdict.unavailable
    await until_settled(budgets)
    assert store.totals() == (0, 0)


async def test_without_the_ledger_a_member_has_its_workers_part_of_its_assured_part(budgets, store):
    await budgets.reserve(ask(GPU, tokens=1))
    store.away = True
    local = ask(GPU, tokens=50, outage=Outage.LOCAL)
    outcomes = [await budgets.reserve(local) for _ in range(4)]
    # Of 300 assured, two workers have 150 each, less the one that was held.
    assert [isinstance(one, Reserved) for one in outcomes] == [True, True, False, False]
    for one in outcomes[:2]:
        budgets.settle(one.reservation, Amounts(0, 40, 0))


async def test_what_was_used_without_the_ledger_is_told_to_the_whole_too(budgets, store, clock):
    await budgets.reserve(ask(GPU, tokens=10))
    store.away = True
    for _ in range(3):
        got = await budgets.reserve(ask(GPU, tokens=40, outage=Outage.LOCAL))
    budgets.settle(got.reservation, Amounts(0, 40, 0))
    store.away = False
    async with asyncio.timeout(20):
        while budgets.unsettled:
            clock.advance(1)
            await asyncio.sleep(0.001)
    whole, own = of(store)
    assert whole[0] == own[0] == 40


async def test_slices_do_not_cover_what_is_shared(store, clock):
    exact = worker(store, clock)
    budgets = LeasedBudgets(store, exact, clock, "w1", workers=2)
    asked = ask(limit(1000), GPU, tokens=10)
    for _ in range(3):
        assert budgets.take(asked) is None
        got = await budgets.reserve(asked)
        budgets.settle(got.reservation, Amounts(0, 10, 0))
    await until_settled(exact)
    assert of(store) == ((30, 0), (30, 0))
    assert budgets.covered == 0
    assert await budgets.close(20) == 0
