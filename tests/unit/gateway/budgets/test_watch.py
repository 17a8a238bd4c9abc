"""What is noticed of limits: each percentage once in a window, by use alone, and how full the fullest is."""

from dataclasses import replace

import pytest

import sharing
from budgeting import ACME, LosingStore, ask, limit, until_settled, worker
from clocks import ManualClock
from gateway.budgets.leased import LeasedBudgets
from gateway.budgets.model import (
    PER_DAY,
    PER_MINUTE,
    PER_MONTH,
    RUNNING,
    Amounts,
    Dimension,
    Kind,
    Outage,
    Resource,
    Subject,
    Window,
    key_of,
)
from gateway.budgets.watch import Watch, quiet_until, subject_of, tenant_of
from gateway.budgets.window import Figures
from gateway.script import ScriptError

DAY = limit(1000, window=PER_DAY)
KEY = key_of(DAY, ACME)


class FakeBoard:
    def __init__(self):
        self.notices, self.listed, self.away = [], [], False

    async def tell(self, notice, life_ms):
        if self.away:
            raise ScriptError("away")
        assert life_ms > 0
        self.notices.append(notice)
        return True

    async def seen(self, tenant, keys):
        if self.away:
            raise ScriptError("away")
        self.listed.append((tenant, list(keys)))


class Seeing:
    def __init__(self, alerts=(50, 80, 100)):
        self.board, self.clock, self.gauge = FakeBoard(), ManualClock(), {}
        self.alerts = alerts
        self.shared = {}
        self.watch = Watch(self.board, lambda _: self.alerts, self._set, self.clock, self._set_shared)

    def _set(self, tenant, name, part):
        self.gauge[tenant, name] = part

    def _set_shared(self, tenant, name, part):
        self.shared[tenant, name] = part

    def saw(self, used, held=0, *, of=DAY, key=KEY, refused=False, reset_s=600):
        self.watch.saw(of, key, Figures(0, used, held, reset_s * 1000, 0, 0), refused=refused)

    async def told(self):
        await self.watch.tick()
        found, self.board.notices = [(one.percent, one.used) for one in self.board.notices], []
        return found


async def test_each_percentage_is_told_when_it_is_reached_and_once():
    seeing = Seeing()
    told = []
    for used in (0, 499, 500, 510, 799, 800, 999, 1000, 1200):
        seeing.saw(used)
        told += await seeing.told()
    assert told == [(50, 500), (80, 800), (100, 1000)]


async def test_of_several_that_are_passed_at_once_the_highest_is_told():
    seeing = Seeing()
    seeing.saw(850)
    assert await seeing.told() == [(80, 850)]
    seeing.saw(700)  # another worker's older word
    assert await seeing.told() == []


async def test_what_is_only_held_fills_nothing():
    seeing = Seeing()
    seeing.saw(100, 900, refused=True)
    assert await seeing.told() == []


async def test_a_limit_that_refuses_with_little_left_is_full():
    seeing = Seeing()
    seeing.saw(899, refused=True)
    assert await seeing.told() == [(80, 899)]
    seeing.saw(900, refused=True)
    assert await seeing.told() == [(100, 900)]


async def test_running_streams_are_what_fills_their_limit():
    seeing = Seeing()
    streams = limit(10, Resource.STREAMS, RUNNING)
    seeing.saw(0, 8, of=streams, key=key_of(streams, ACME))
    assert await seeing.told() == [(80, 8)]


async def test_the_next_window_is_told_of_anew():
    seeing = Seeing()
    seeing.saw(500)
    assert await seeing.told() == [(50, 500)]
    seeing.clock.advance(86_400)
    seeing.saw(600)
    assert await seeing.told() == [(50, 600)]


async def test_a_minute_is_told_of_once_in_an_hour():
    seeing = Seeing()
    minute = limit(1000)
    told = []
    for _ in range(90):
        seeing.saw(600, of=minute)
        told += await seeing.told()
        seeing.clock.advance(60)
    assert told == [(50, 600), (50, 600)]


async def test_other_percentages_count_after_a_reload():
    seeing = Seeing((90,))
    seeing.saw(600)
    assert await seeing.told() == []
    seeing.alerts = (60,)
    seeing.saw(600)
    assert await seeing.told() == [(60, 600)]


async def test_while_the_board_is_away_notices_wait():
    seeing = Seeing()
    seeing.board.away = True
    seeing.saw(500)
    assert await seeing.told() == []
    seeing.board.away = False
    assert await seeing.told() == [(50, 500)]
    assert await seeing.told() == []


async def test_a_notice_of_a_window_that_is_over_is_none():
    seeing = Seeing()
    seeing.board.away = True
    seeing.saw(500)
    assert await seeing.told() == []
    seeing.board.away = False
    seeing.clock.advance(86_400)
    assert await seeing.told() == []


async def test_the_metric_is_of_the_fullest_and_ends_with_its_window():
    seeing = Seeing()
    each = replace(DAY, scope=(Dimension.KEY,))
    ann, bob = (key_of(each, replace(ACME, key=name)) for name in ("ann", "bob"))
    seeing.saw(300, of=each, key=ann)
    seeing.saw(200, of=each, key=bob)
    await seeing.watch.tick()
    assert seeing.gauge == {("acme", "team"): 0.3}
    seeing.saw(250, of=each, key=ann)  # the fullest one is believed when it empties
    await seeing.watch.tick()
    assert seeing.gauge == {("acme", "team"): 0.25}
    seeing.clock.advance(600)
    await seeing.watch.tick()
    assert seeing.gauge == {("acme", "team"): 0.0}
    assert seeing.board.listed == [("acme", sorted([ann, bob]))]


async def test_of_what_tenants_share_the_whole_is_told_and_parts_are_measured():
    seeing = Seeing(alerts=(1,))  # those of a tenant count for its own limits alone
    gpu = sharing.shared(1000, {"acme": 3, "beta": 1}, alerts=(50, 80, 100))
    terms = sharing.terms(gpu)
    for whole, acme, beta, percent in ((400, 100, 300, []), (550, 200, 350, [50]), (900, 500, 400, [80])):
        seeing.saw(whole, of=gpu, key=terms["acme"].key)
        for name, used in (("acme", acme), ("beta", beta)):
            seeing.saw(used, of=gpu, key=terms[name].own.key)
        await seeing.watch.tick()
        assert [(one.percent, one.used) for one in seeing.board.notices] == [(one, whole) for one in percent]
        seeing.board.notices.clear()
        assert seeing.shared == {
            ("", "gpu"): whole / 1000, ("acme", "gpu"): acme / 750, ("beta", "gpu"): beta / 250
        }  # fmt: skip
    seeing.saw(950, of=gpu, key=terms["beta"].key, refused=True)  # less than a tenth is left, and it did not fit
    await seeing.watch.tick()
    (notice,) = seeing.board.notices
    assert (notice.percent, notice.tenant, notice.limit, notice.amount, notice.subject) == (100, "", "gpu", 1000, {})
    seeing.clock.advance(600)
    await seeing.watch.tick()
    assert set(seeing.shared.values()) == {0.0}
    assert not seeing.gauge
    assert not seeing.board.listed


async def test_places_that_tenants_share_are_full_of_what_runs():
    seeing = Seeing()
    slots = sharing.shared(4, {"acme": 1, "beta": 1}, Resource.STREAMS, RUNNING, "slots", alerts=(100,))
    key = sharing.terms(slots)["acme"].key
    for running in (3, 4):
        seeing.saw(0, running, of=slots, key=key)
        assert await seeing.told() == ([(100, 4)] if running == 4 else [])


def test_notices_say_whom_they_are_about():
    each = replace(DAY, scope=(Dimension.KEY, Dimension.MODEL))
    subject = Subject("acme", key="k 1|:", model="gpt:4")
    key = key_of(each, subject)
    assert (tenant_of(key), dict(subject_of(each, key))) == ("acme", {"key": "k 1|:", "model": "gpt:4"})
    assert dict(subject_of(DAY, KEY)) == {}
    long = key_of(each, replace(subject, model="m" * 200))
    assert set(subject_of(each, long)) == {"hash"}


@pytest.mark.parametrize(
    ("window", "now_s", "end_s"),
    [
        (PER_DAY, 86_400.0 * 5 + 7, 86_400.0 * 6),
        (PER_MONTH, 86_400.0 * 5, 86_400.0 * 31),
        (PER_MINUTE, 7.0, 3607.0),
        (Window(PER_MINUTE.shape, 7200), 7.0, 7207.0),
        (RUNNING, 7.0, 3607.0),
    ],
)
def test_it_is_quiet_until_the_window_ends(window, now_s, end_s):
    resource = Resource.STREAMS if window is RUNNING else Resource.TOKENS
    assert quiet_until(limit(10, resource, window, kind=Kind.SOFT), now_s) == end_s


# --- what ledgers tell ---
@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def heard():
    return []


@pytest.fixture
def hear(heard):
    def saw(one, key, figures, *, refused=False):
        heard.append((one.name, key, figures.used, figures.held, refused))

    return saw


async def test_an_exact_ledger_tells_of_each_reservation_refusal_and_settlement(clock, heard, hear):
    budgets = worker(LosingStore(clock), clock, saw=hear)
    team, requests = limit(100), limit(9, Resource.REQUESTS, name="requests")
    got = await budgets.reserve(ask(team, requests, tokens=80))
    keys = key_of(team, ACME), key_of(requests, ACME)
    assert heard == [("team", keys[0], 0, 80, False), ("requests", keys[1], 1, 0, False)]
    await budgets.reserve(ask(team, requests, tokens=30))
    assert heard[2:] == [("team", keys[0], 0, 80, True), ("requests", keys[1], 1, 0, False)]
    budgets.settle(got.reservation, Amounts(0, 70, 0))
    await until_settled(budgets)
    assert heard[4:] == [("team", keys[0], 70, 0, False)]


async def test_it_tells_of_what_tenants_share_the_whole_and_the_callers_part(clock, heard, hear):
    budgets = worker(LosingStore(clock), clock, saw=hear)
    team, gpu = limit(100), sharing.shared(90, {"acme": 2, "beta": 1})
    keys = sharing.terms(gpu)["acme"].key, sharing.terms(gpu)["acme"].own.key
    got = await budgets.reserve(ask(team, gpu, tokens=80))
    assert heard[1:] == [("gpu", keys[0], 0, 80, False), ("gpu", keys[1], 0, 80, False)]
    heard.clear()
    await budgets.reserve(ask(team, gpu, tokens=20))
    assert heard[1:] == [("gpu", keys[0], 0, 80, True), ("gpu", keys[1], 0, 80, False)]
    await until_settled(budgets)
    heard.clear()
    budgets.settle(got.reservation, Amounts(0, 70, 0))
    await until_settled(budgets)
    assert sorted(heard) == sorted(
        [("team", key_of(team, ACME), 70, 0, False), *(("gpu", key, 70, 0, False) for key in keys)]
    )


async def test_a_ledger_that_is_away_tells_nothing(clock, heard, hear):
    store = LosingStore(clock)
    store.away = True
    await worker(store, clock, saw=hear).reserve(ask(limit(100), outage=Outage.LOCAL))
    assert heard == []


async def test_slices_tell_with_each_synchronisation(clock, heard, hear):
    store = LosingStore(clock)
    budgets = LeasedBudgets(store, worker(store, clock, saw=hear), clock, "w1", workers=1, saw=hear)
    team = limit(100_000)
    for _ in range(3):
        got = budgets.take(ask(team)) or await budgets.reserve(ask(team))
        budgets.settle(got.reservation, Amounts(0, 9, 0))
        await until_settled(budgets._exact)
        await budgets.synchronise()
    name, key, used, _, refused = heard[-1]
    assert (name, key, used, refused) == ("team", key_of(team, ACME), 27, False)
