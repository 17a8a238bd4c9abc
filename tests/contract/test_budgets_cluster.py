"""Budgets on a real cluster of three nodes: limits of a tenant in one call, and a slot that moves under load."""

import asyncio

import pytest

import sharing
import valkey_cluster
from budgeting import ask, limit, until_settled
from gateway.budgets.board import ValkeyBoard
from gateway.budgets.exact import ExactBudgets
from gateway.budgets.model import PER_DAY, PER_MONTH, Amounts, Dimension, Reserved, Resource, Subject, key_of
from gateway.budgets.oracle import Want
from gateway.budgets.share import LocalShare
from gateway.budgets.store import ValkeyStore
from gateway.budgets.watch import Watch
from gateway.budgets.window import Figures, meter_of
from gateway.clock import SystemClock
from gateway.topology import reach

pytestmark = pytest.mark.slow
#: A month: what was used stays in the window, however long a loaded machine takes to move a slot.
LIMITS = (
    limit(10**9, Resource.TOKENS, PER_MONTH),
    limit(10**6, Resource.REQUESTS, limit(1).window, Dimension.KEY, name="requests"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with valkey_cluster.running(tmp_path_factory.mktemp("c")) as started:
        asyncio.run(started.form())
        yield started


@pytest.fixture
async def reached(cluster):
    reached = reach(cluster.url, deadline_s=20.0)
    yield reached
    await reached.close()


def worker(reached):
    share = LocalShare(lambda: 0, workers=1)
    return ExactBudgets(ValkeyStore(reached.runner), share, SystemClock(), "w1", lambda: 0.5, deadline_s=20.0)


async def used(store, subject):
    one = LIMITS[0]
    answer = await store.reserve([Want(key_of(one, subject), meter_of(one), 0, 0)], 1_000, lambda _: None)
    return answer.figures[0]


async def test_each_tenant_is_counted_wherever_its_slot_is(reached):
    budgets = worker(reached)
    subjects = [Subject(f"tenant{n}", key="k") for n in range(20)]
    for subject in subjects:
        got = await budgets.reserve(ask(*LIMITS, subject=subject))
        assert isinstance(got, Reserved)
        budgets.settle(got.reservation, Amounts(1, 2, 0))
    assert await budgets.close(20) == 0
    store = ValkeyStore(reached.runner)
    for subject in subjects:
        figures = await used(store, subject)
        assert (figures.used, figures.held) == (3, 0)


async def test_a_slot_that_moves_under_load_loses_and_repeats_nothing(cluster, reached):
    budgets = worker(reached)
    moved = Subject("mover", key="k")
    ends = asyncio.Event()
    settled = failed = 0

    async def run() -> None:
        nonlocal settled, failed
        while not ends.is_set():
            got = await budgets.reserve(ask(*LIMITS, subject=moved, tokens=100))
            if isinstance(got, Reserved):
                budgets.settle(got.reservation, Amounts(3, 4, 0))
                settled += 7
            else:
                failed += 1
                await asyncio.sleep(0.01)

    running = [asyncio.ensure_future(run()) for _ in range(8)]
    for _ in range(3):
        await asyncio.sleep(0.3)
        await cluster.move("{mover}")
    await asyncio.sleep(0.3)
    ends.set()
    await asyncio.gather(*running)
    assert await budgets.close(30) == 0
    figures = await used(ValkeyStore(reached.runner), moved)
    assert settled > 0
    assert (figures.used, figures.held) == (settled, 0)
    assert failed == 0


async def test_notices_and_looks_find_their_slots(reached):
    """The board has a slot of its own, a tenant's limits and their index theirs."""
    board, store, subject = ValkeyBoard(reached.runner), ValkeyStore(reached.runner), Subject("watched", key="k")
    watch = Watch(board, lambda _: (50,), lambda *_: None, SystemClock())
    each = limit(10, Resource.TOKENS, PER_DAY, Dimension.KEY)
    key = key_of(each, subject)
    watch.saw(each, key, Figures(0, 6, 0, 1000, 0, 0))
    await watch.tick()
    (notice,) = await board.take(60_000, 10)
    assert (notice.percent, notice.subject) == (50, {"key": "k"})
    await board.later(notice, 0)
    await board.done(notice)
    assert await board.subjects("watched") == [key]
    assert await store.look([(key, meter_of(each))]) == (Figures(0, 0, 0, 0, 0, 0),)


async def test_what_tenants_share_is_counted_in_a_slot_of_its_own_beside_theirs(reached):
    """One call to each slot; what one refuses, the other gives back, whichever node has it."""
    budgets, store = worker(reached), ValkeyStore(reached.runner)
    names = [f"member{n}" for n in range(12)]
    gpu = sharing.shared(1200, dict.fromkeys(names, 1))
    own = limit(150)
    terms = sharing.terms(gpu)
    for name in names:
        got = await budgets.reserve(ask(own, gpu, tokens=100, subject=Subject(name)))
        assert isinstance(got, Reserved)
        refused = await budgets.reserve(ask(own, gpu, tokens=100, subject=Subject(name)))
        assert refused.verdict.refused_by.limit is own
        budgets.settle(got.reservation, Amounts(0, 90, 0))
        await until_settled(budgets)  # what is still held of this one is lacking to the last one
    assert await budgets.close(20) == 0
    whole, *parts = await store.look(
        [(terms[names[0]].key, terms[names[0]].meter), *((one.own.key, one.own_meter) for one in terms.values())]
    )
    assert (whole.used, whole.held) == (1080, 0)
    assert [(one.used, one.held) for one in parts] == [(90, 0)] * 12
