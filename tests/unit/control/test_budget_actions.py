"""The lines about usage and budgets: what may be asked, and how limits stand, without spending of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

import sharing
from budgeting import limit
from control.admin import Actor, Wish
from control.budget_actions import actions
from control.problem import Refusal
from gateway.budgets.model import PER_DAY, RUNNING, Dimension, Kind, Resource, Subject, key_of
from gateway.budgets.oracle import Oracle, Part, Want
from gateway.budgets.price import PriceBook
from gateway.budgets.window import meter_of
from gateway.policy.model import Budget
from gateway.script import ScriptError

NOW = 1_700_000_000
DAY = limit(1000, name="day", window=PER_DAY)
EACH = replace(limit(5_000_000, Resource.MICRO_USD, PER_DAY, Dimension.KEY, name="each"), kind=Kind.SOFT)
STREAMS = limit(4, Resource.STREAMS, RUNNING, name="streams")
GPU = sharing.shared(600, {"acme": 1, "beta": 2})


class Ledger:
    """The oracle as the ledger, and the index beside it."""

    def __init__(self):
        self.oracle, self.keys, self.away = Oracle(), [], False

    def use(self, one, subject, used, held=0):
        key, meter = key_of(one, subject), meter_of(one)
        if held:
            self.oracle.reserve(NOW * 1000, [Want(key, meter, held, held)], 60_000)
        self.oracle.settle(NOW * 1000, f"{key}:{used}", [Part(key, meter, 0, 0, used)])
        if one.scope != (Dimension.TENANT,):
            self.keys.append(key)

    async def look(self, limits):
        if self.away:
            raise ScriptError("away")
        return self.oracle.look(NOW * 1000, [Want(key, meter, 0, 0) for key, meter in limits])

    async def subjects(self, tenant):
        assert tenant == "acme"
        return self.keys


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def run(ledger, asked):
    tenant = SimpleNamespace(budgets=Budget(limits=(DAY, EACH, GPU, STREAMS)))
    policy = SimpleNamespace(tenants={"acme": tenant}, prices=PriceBook())

    async def sums(period):
        asked.append(period)
        return [{"tenant": "acme", "exchanges": 1}]

    by_name = {one.name: one for one in actions(sums, ledger, ledger, lambda: policy)}

    async def ask(name, *names, **query):
        wish = Wish(
            Actor("alice", "uid:7"), names, {key.rstrip("_"): value for key, value in query.items()}, {}, "", NOW
        )
        return (await by_name[name].run(wish)).body

    return ask


async def test_limits_stand_as_the_ledger_says(run, ledger):
    ledger.use(DAY, Subject("acme"), 300, held=50)
    ledger.use(EACH, Subject("acme", key="k1"), 1_000_000)
    ledger.use(EACH, Subject("acme", key="k2"), 4_000_000)
    ledger.use(STREAMS, Subject("acme"), 0, held=3)
    told = await run("budget.show", "acme")
    assert [(one["limit"], one["subject"], one["used"], one["held"], one["remaining"]) for one in told["limits"]] == [
        ("day", {}, 300, 50, 650),
        ("each", {"key": "k2"}, 4_000_000, 0, 1_000_000),
        ("each", {"key": "k1"}, 1_000_000, 0, 4_000_000),
        ("gpu", {}, 0, 0, 600),
        ("streams", {}, 3, 0, 1),
    ]
    day, each, *_ = told["limits"]
    assert (day["counts"], day["currency"], day["kind"], day["window"]) == ("tokens", None, "hard", "day")
    assert (each["counts"], each["currency"], each["kind"]) == ("money", "USD", "soft")
    assert 0 < day["reset_s"] <= 86_400


async def test_looking_spends_nothing(run, ledger):
    ledger.use(DAY, Subject("acme"), 300)
    first = await run("budget.show", "acme")
    assert await run("budget.show", "acme") == first


async def test_what_another_limit_has_left_in_the_index_is_not_shown(run, ledger):
    ledger.use(replace(EACH, name="former"), Subject("acme", key="k1"), 5)
    ledger.use(replace(EACH, window=replace(PER_DAY, shape="month")), Subject("acme", key="k1"), 5)
    told = await run("budget.show", "acme", limit="each")
    assert told["limits"] == []


async def test_one_limit_may_be_asked_for(run):
    told = await run("budget.show", "acme", limit="streams")
    assert [one["limit"] for one in told["limits"]] == ["streams"]


@pytest.mark.parametrize(
    ("names", "query", "code"),
    [
        (("nobody",), {}, "tenant_unknown"),
        (("acme",), {"limit": "none"}, "limit_unknown"),
        (("acme",), {"colour": "red"}, "invalid"),
    ],
)
async def test_what_is_not_there_is_refused(run, names, query, code):
    with pytest.raises(Refusal) as refusal:
        await run("budget.show", *names, **query)
    assert refusal.value.code == code


async def test_a_ledger_that_is_away_is_said_so(run, ledger):
    ledger.away = True
    with pytest.raises(Refusal) as refusal:
        await run("budget.show", "acme")
    assert (refusal.value.status, refusal.value.code) == (503, "unavailable")


async def test_usage_is_of_the_last_thirty_days_unless_told_otherwise(run, asked):
    told = await run("usage.show")
    assert (told["from"], told["to"], told["by"]) == (NOW - 30 * 86_400, NOW, ("tenant", "model"))
    assert told["groups"] == [{"tenant": "acme", "exchanges": 1}]
    await run("usage.show", from_="2023-11-01", to="2023-11-02T12:00Z", by="day", tenant="acme", model="")
    assert (asked[1].since_s, asked[1].until_s) == (1_698_796_800, 1_698_926_400)
    assert (asked[1].by, dict(asked[1].only)) == (("day",), {"tenant": "acme"})


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "hour"}, "by"),
        ({"by": "day,day"}, "by"),
        ({"by": ""}, "by"),
        ({"from_": "yesterday"}, "from"),
        ({"from_": "9999-12-31T23:59:59-23:59"}, "from"),
        ({"to": "2023-02-30"}, "to"),
        ({"from_": "2023-11-02", "to": "2023-11-01"}, "from"),
        ({"since": "1"}, "since"),
    ],
)
async def test_what_cannot_be_told_is_refused_with_its_place(run, query, field):
    with pytest.raises(Refusal) as refusal:
        await run("usage.show", **query)
    assert refusal.value.field == field


async def test_what_is_shared_is_told_with_every_member(run, ledger):
    terms = sharing.terms(GPU)
    for name, used in (("acme", 250), ("beta", 50)):
        parts = [Part(key, terms[name].meter, 0, 0, used) for key in (terms[name].key, terms[name].own.key)]
        ledger.oracle.settle(NOW * 1000, name, parts)
    (told,) = (await run("budget.show", "acme", limit="gpu"))["limits"]
    assert (told["used"], told["amount"], told["remaining"], told["assured"]) == (300, 600, 300, 200)
    assert told["members"] == [
        {"tenant": "acme", "weight": 1, "assured": 200, "used": 250, "held": 0},
        {"tenant": "beta", "weight": 2, "assured": 400, "used": 50, "held": 0},
    ]
