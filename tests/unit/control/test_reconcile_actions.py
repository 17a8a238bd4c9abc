"""The line that compares the ledger with records: what is claimed must be of the policy, and is restored once."""

from types import SimpleNamespace

import pytest

from budgeting import limit
from control.admin import Actor, Wish
from control.problem import Refusal
from control.reconcile_actions import actions
from gateway.budgets.model import MOST, PER_DAY, Dimension, Resource, Subject, key_of
from gateway.budgets.oracle import Oracle, Part, Want
from gateway.budgets.window import meter_of, period_of
from gateway.policy.model import Budget
from gateway.script import ScriptError

NOW = 1_700_000_000
TODAY = period_of("D", NOW * 1000)
DAY = limit(1000, name="day", window=PER_DAY)
EACH = limit(5_000_000, Resource.MICRO_USD, PER_DAY, Dimension.KEY, name="each")
MINUTE = limit(10, name="minute")


class Ledger:
    """The oracle as the ledger."""

    def __init__(self):
        self.oracle, self.away, self.listed = Oracle(), False, []

    async def look(self, limits):
        if self.away:
            raise ScriptError("away")
        return self.oracle.look(NOW * 1000, [Want(key, meter, 0, 0) for key, meter in limits])

    async def restore(self, claims):
        return self.oracle.restore(NOW * 1000, claims)

    async def seen(self, tenant, keys):
        self.listed += [(tenant, key) for key in keys]

    def use(self, one, used):
        self.oracle.settle(NOW * 1000, f"r{used}", [Part(key_of(one, Subject("acme")), meter_of(one), 0, 0, used)])


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def run(ledger):
    tenant = SimpleNamespace(budgets=Budget(limits=(DAY, EACH, MINUTE)))
    policy = SimpleNamespace(tenants={"acme": tenant})
    (action,) = actions(ledger, ledger, lambda: policy)
    assert action.changes

    async def ask(*claims, tenant="acme", query=None, **body):
        wish = Wish(Actor("alice", "uid:7"), (tenant,), query or {}, {"claims": list(claims), **body}, "", NOW)
        return await action.run(wish)

    return ask


def day(amount, slot=TODAY):
    return {"limit": "day", "subject": {}, "window": "day", "window_s": 0, "uses": [[slot, amount]]}


def each(amount, **subject):
    return day(amount) | {"limit": "each", "subject": subject}


async def test_a_comparison_changes_nothing(run, ledger):
    ledger.use(DAY, 100)
    done = await run(day(700), each(9, key="k1"))
    assert [(one["recorded"], one["used"], one["restored"]) for one in done.body["limits"]] == [
        (700, 100, 0),
        (9, 0, 0),
    ]
    assert (await run(day(700))).body["limits"][0]["used"] == 100


async def test_what_is_lacking_is_restored_once(run, ledger):
    ledger.use(DAY, 100)
    done = await run(day(700), each(9, key="k1"), apply=True)
    assert [one["restored"] for one in done.body["limits"]] == [600, 9]
    assert (done.tenant, done.subject) == ("acme", "restored: 2")
    assert ledger.listed == [("acme", key_of(EACH, Subject("acme", key="k1")))]
    again = await run(day(700), each(9, key="k1"), apply=True)
    assert [(one["used"], one["restored"]) for one in again.body["limits"]] == [(700, 0), (9, 0)]


async def test_what_only_the_ledger_has_stays(run, ledger):
    ledger.use(DAY, 900)
    assert (await run(day(700), apply=True)).body["limits"][0]["restored"] == 0
    assert (await run(day(0))).body["limits"][0]["used"] == 900


async def test_another_day_than_this_is_not_touched(run):
    done = await run(day(700, TODAY - 1), apply=True)
    assert done.body["limits"][0]["restored"] == 0


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        (day(1) | {"limit": "other"}, "claims[0].limit"),
        (day(1) | {"limit": ["day"]}, "claims[0].limit"),
        (day(1) | {"limit": "minute", "window": "sliding", "window_s": 60} | {"window": "bucket"}, "claims[0].window"),
        (day(1) | {"window": "month"}, "claims[0].window"),
        (day(1) | {"subject": {"key": "k"}}, "claims[0].subject"),
        (each(1), "claims[0].subject"),
        (each(1, key=""), "claims[0].subject"),
        (each(1, key=7), "claims[0].subject"),
        (day(-1), "claims[0].uses"),
        (day(MOST + 1), "claims[0].uses"),
        (day(True), "claims[0].uses"),
        (day(1) | {"uses": [[TODAY, 1], [TODAY, 2]]}, "claims[0].uses"),
        (day(1) | {"uses": [[at, 1] for at in range(63)]}, "claims[0].uses"),
        (day(1) | {"more": 1}, "claims[0]"),
        ("day", "claims[0]"),
    ],
)
async def test_what_is_not_a_claim_is_refused(run, claim, field):
    with pytest.raises(Refusal) as refused:
        await run(claim, apply=True)
    assert refused.value.field == field


async def test_a_limit_twice_an_unknown_tenant_and_a_misspelt_word_are_refused(run):
    for words in ({"tenant": "nobody"}, {"aply": True}, {"apply": 1}, {"query": {"apply": "1"}}):
        with pytest.raises(Refusal):
            await run(day(1), **words)
    with pytest.raises(Refusal, match="twice"):
        await run(day(1), day(2))


async def test_a_ledger_that_is_away_is_told(run, ledger):
    ledger.away = True
    with pytest.raises(Refusal) as refused:
        await run(day(1))
    assert refused.value.status == 503
