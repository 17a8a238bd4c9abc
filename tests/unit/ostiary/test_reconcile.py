"""What records claim of a limit: all that the ledger must have charged, and never more."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from budgeting import limit
from gateway.budgets.model import PER_DAY, PER_MONTH, RUNNING, Dimension, Resource, Shape, Shared, Window, key_of
from gateway.budgets.oracle import Claim as Asked
from gateway.budgets.oracle import Oracle, Part, Want
from gateway.budgets.window import meter_of, period_of, slot_of
from gateway.policy.model import Budget
from ostiary.reconcile import SETTLING_S, claims, compared
from ostiary.usage import Exchange

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400
HOURS = Window(Shape.SLIDING, 6 * 3600)
DAY = limit(10**9, window=PER_DAY, name="day")
EACH = limit(10**9, Resource.MICRO_USD, PER_MONTH, Dimension.KEY, Dimension.MODEL_GROUP, name="each")
ASKED = limit(10**9, Resource.REQUESTS, PER_DAY, name="asked")
SLIDING = limit(10**9, window=HOURS, name="hours")


def policy(*limits, tenant="acme"):
    models = {"gpt": SimpleNamespace(group="large"), "mini": SimpleNamespace(group="")}
    return SimpleNamespace(tenants={tenant: SimpleNamespace(budgets=Budget(limits=limits))}, models=models)


def exchange(number, ended_s=NOON - 60, took_s=1.0, **fields):
    usual = {"tenant": "acme", "key": "k1", "principal": "ann", "model": "gpt", "backend": "demo", "tokens_in": 100,
             "tokens_out": 10, "cached": 0, "reasoning": 0, "estimated": False, "micros": 7, "currency": "USD"}  # fmt: skip
    return Exchange(id=f"r{number}", began_s=ended_s - took_s, at_s=ended_s, **usual | fields)


def of(found, name):
    return {tuple(one.values.items()): dict(one.uses) for one in found if one.limit.name == name}


def test_use_is_claimed_for_what_each_limit_is_for():
    told = [exchange(1), exchange(2, key="k2"), exchange(3, model="mini"), exchange(4, tenant="other")]
    found = claims(policy(DAY, EACH, ASKED), told, NOON, NOON)
    day, month = period_of("D", int(NOON * 1000)), period_of("M", int(NOON * 1000))
    assert of(found, "day") == {(): {day: 330}}
    assert of(found, "asked") == {(): {day: 3}}
    assert of(found, "each") == {
        (("key", "k1"), ("model_group", "large")): {month: 7},
        (("key", "k2"), ("model_group", "large")): {month: 7},
    }


def test_a_limit_of_the_tenant_is_compared_also_where_nothing_was_used():
    found = claims(policy(DAY, EACH), [], NOON, NOON)
    assert [(one.limit.name, one.uses) for one in found] == [("day", ())]


def test_an_exchange_counts_once_also_where_a_copy_of_its_file_is_read():
    (found,) = claims(policy(DAY), [exchange(1), exchange(2), exchange(1)], NOON, NOON)
    assert sum(dict(found.uses).values()) == 220


def test_what_may_be_under_way_or_was_partly_charged_before_the_window_is_not_claimed():
    midnight = NOON - DAY_S / 2
    over = exchange(1, midnight + 5, took_s=10.0)
    late = exchange(2, NOON - SETTLING_S + 0.5)
    (found,) = claims(policy(DAY), [over, late, exchange(3)], NOON, NOON - SETTLING_S)
    assert sum(dict(found.uses).values()) == 110


def test_a_limit_that_began_in_its_window_is_claimed_from_then_on():
    told = [exchange(1, NOON - 7200), exchange(2, NOON - 600)]
    (found,) = claims(policy(DAY), told, NOON, NOON, since_s=NOON - 3600)
    assert sum(dict(found.uses).values()) == 110


def test_limits_that_have_forgotten_by_then_are_not_compared():
    assert compared(DAY)
    assert compared(SLIDING)
    assert not compared(limit(5))
    assert not compared(limit(5, window=Window(Shape.BUCKET, DAY_S)))
    assert not compared(limit(5, Resource.STREAMS, RUNNING))
    assert not compared(replace(SLIDING, shared=Shared((("acme", 1), ("globex", 2)))))


# --- the claims and the ledger together ----

PAIRS = st.tuples(
    st.floats(-40_000, 0),  # when it ended, from now
    st.floats(0, 30_000),  # how long it took
    st.integers(0, 2_000),  # how late its charge reached the ledger, ms
    st.integers(0, 1_000),  # tokens
    st.integers(0, 1_000),  # of them, how many `extend` charged half way
)


@given(
    st.lists(PAIRS, max_size=12),
    st.sampled_from([DAY, SLIDING, ASKED]),
    st.floats(-40_000, 0),
    st.lists(st.integers(0, 500), max_size=3),
)
def test_a_ledger_that_lost_its_memory_is_made_whole_and_never_more(told, counted, lost_at, meanwhile):
    """`lost_at`: when the ledger was wiped. `meanwhile`: charges that came while the records were read."""
    key, meter = key_of(counted, exchange(0)), meter_of(counted)
    exchanges = [
        exchange(n, NOON - SETTLING_S + ended, took, tokens_in=tokens, tokens_out=0)
        for n, (ended, took, _, tokens, _) in enumerate(told)
    ]
    charges = []  # (at, token charge, exchange)
    for one, (_, _, late_ms, tokens, early) in zip(exchanges, told, strict=True):
        if counted is ASKED:
            charges.append((one.began_s, 1))
            continue
        first = min(tokens, early)
        charges.append(((one.began_s + one.at_s) / 2, first))
        charges.append((one.at_s + late_ms / 1000, tokens - first))
    whole, wiped = Oracle(), Oracle()
    now = int(NOON * 1000)
    for n, (at_s, amount) in enumerate(sorted(charges)):
        for ledger in (whole, wiped) if at_s > NOON + lost_at else (whole,):
            ledger.settle(int(at_s * 1000), f"c{n}", [Part(key, meter, 0, 0, amount)])
    for n, amount in enumerate(meanwhile):
        for ledger in (whole, wiped):
            ledger.settle(now, f"m{n}", [Part(key, meter, 0, 0, amount)])
    asked = [Asked(key, meter, one.uses) for one in claims(policy(counted), exchanges, NOON, NOON - SETTLING_S)]

    def stand(ledger):
        return ledger.look(now, [Want(key, meter, 0, 0)])[0].used

    true, before = stand(whole), stand(wiped)
    assert whole.restore(now, asked).figures[0].granted == 0  # what lost nothing gets nothing
    (restored,) = wiped.restore(now, asked).figures
    assert before <= restored.used == before + restored.granted <= true
    assert wiped.restore(now, asked).figures[0].granted == 0
    # All that is claimed is there, but for what was used while the records were read.
    assert restored.used >= sum(amount for slot, amount in asked[0].uses if slot >= first_slot(meter, now))


def first_slot(meter, now):
    return slot_of(meter, now) - (meter.slots if meter.code == "S" else 0)
