"""Estimates: who is fastest is asked, who is slow or fails is asked less, and who is not known is tried once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks import ManualClock
from gateway.latency import estimates
from gateway.latency.estimates import Batch, Choice, Estimate, Key, Latencies, fold, scaled

NEVER, ALWAYS = 0.999, 0.0  # lots: of one that does not explore, and of one that does if anybody may


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def latencies(clock):
    return Latencies(clock)


def measured(latencies, **seconds):
    for name, each in seconds.items():
        run = latencies.start("m", name, streamed=True)
        run.answered(each)
        run.leave()


def choose(latencies, *names, lot=NEVER, streamed=True, tenant="acme"):
    return latencies.choose("m", names, lot, streamed=streamed, tenant=tenant)


def fail(latencies, name, *tenants):
    for tenant in tenants or ("acme",):
        latencies.failed("m", name, streamed=True, tenant=tenant)


def test_the_fastest_is_asked(latencies):
    measured(latencies, a=2.0, b=0.5, c=1.0)
    assert choose(latencies, "a", "b", "c") == Choice("b", explored=False)
    assert choose(latencies, "a", "c") == Choice("c", explored=False)


def test_each_is_tried_before_any_is_judged_and_one_that_is_being_tried_is_not_tried_again(latencies):
    first = latencies.start("m", "a", streamed=True)
    assert choose(latencies, "a", "b") == Choice("b", explored=True)
    first.answered(9.0)
    first.leave()
    second = latencies.start("m", "b", streamed=True)
    assert choose(latencies, "a", "b") == Choice("a", explored=False)
    second.answered(0.1)
    second.leave()
    assert choose(latencies, "a", "b").backend == "b"


def test_streams_and_whole_answers_have_estimates_of_their_own(latencies):
    measured(latencies, a=0.1, b=1.0)
    for name, seconds in (("a", 5.0), ("b", 2.0)):
        latencies.start("m", name, streamed=False).answered(seconds)
    assert choose(latencies, "a", "b").backend == "a"
    assert choose(latencies, "a", "b", streamed=False).backend == "b"


def test_of_those_alike_the_one_with_fewer_open_requests_is_asked(latencies):
    measured(latencies, a=1.0, b=1.03)
    held = latencies.start("m", "a", streamed=True)
    held.heard()
    assert choose(latencies, "a", "b").backend == "b"
    held.leave()
    assert choose(latencies, "a", "b").backend == "a"


BOTH = ("acme", "globex")


@pytest.mark.parametrize("tenants", [("acme",), BOTH])
def test_one_that_failed_is_left_alone_for_longer_each_time(latencies, clock, tenants):
    measured(latencies, a=0.5, b=1.0)
    for away_s in (4, 8, 16, 32, 64, 64):
        fail(latencies, "a", *tenants)
        clock.advance(away_s - 0.1)
        assert choose(latencies, "a", "b").backend == "b"
        clock.advance(0.2)
        assert choose(latencies, "a", "b").backend == "a"
    measured(latencies, a=0.5)
    fail(latencies, "a", *tenants)
    clock.advance(4.1)
    assert choose(latencies, "a", "b").backend == "a"


@pytest.mark.parametrize("tenants", [("acme",), BOTH])
def test_many_failures_at_once_are_one(latencies, clock, tenants):
    measured(latencies, a=0.5, b=1.0)
    for _ in range(100):
        fail(latencies, "a", *tenants)
    clock.advance(4.1)
    assert choose(latencies, "a", "b").backend == "a"


@pytest.mark.parametrize("tenants", [("acme",), BOTH])
def test_after_a_failure_one_request_tries(latencies, clock, tenants):
    measured(latencies, a=0.5, b=1.0)
    fail(latencies, "a", *tenants)
    clock.advance(5)
    trial = latencies.start("m", "a", streamed=True)
    assert choose(latencies, "a", "b").backend == "b"
    trial.answered(0.5)
    trial.leave()
    assert choose(latencies, "a", "b").backend == "a"


def test_once_requests_of_two_tenants_failed_all_leave_it_alone(latencies):
    measured(latencies, a=0.5, b=1.0)
    fail(latencies, "a", "acme")
    assert [choose(latencies, "a", "b", tenant=each).backend for each in ("acme", "globex")] == ["b", "a"]
    fail(latencies, "a", "globex")
    assert {choose(latencies, "a", "b", tenant=each).backend for each in ("acme", "globex", "initech")} == {"b"}
    assert latencies.take()[Key("m", "a", True)].strikes == 1


def test_an_answer_between_the_failures_of_two_tenants_clears_it(latencies):
    measured(latencies, a=0.5, b=1.0)
    fail(latencies, "a", "acme")
    measured(latencies, a=0.5)
    fail(latencies, "a", "globex")
    assert [choose(latencies, "a", "b", tenant=each).backend for each in ("acme", "globex")] == ["a", "b"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["acme fails", "globex fails", "answer", "wait"]), st.floats(0.1, 100)), max_size=40
    )
)
def test_what_one_tenant_alone_makes_fail_no_other_tenant_hears_of(events):
    """Invariant: without a failure of another's since the last answer, others are sent where they were before."""
    clocks = ManualClock(), ManualClock()
    attacked, spared = map(Latencies, clocks)
    for each in (attacked, spared):
        measured(each, a=0.5, b=1.0)
    seen = set()
    for what, seconds in events:
        if what == "wait":
            [clock.advance(seconds) for clock in clocks]
        elif what == "answer":
            [measured(each, a=0.5) for each in (attacked, spared)]
            seen.clear()
        elif seen <= {what.split()[0]}:
            seen.add(what.split()[0])
            fail(attacked, "a", what.split()[0])
        assert choose(attacked, "a", "b", tenant="initech") == choose(spared, "a", "b", tenant="initech")
        assert attacked.known() == spared.known()
        assert attacked.take() == spared.take()


def test_an_answer_that_another_worker_had_since_clears_what_one_tenant_met(latencies, clock):
    measured(latencies, a=0.5, b=1.0)
    key = Key("m", "a", True)
    latencies.take()
    fail(latencies, "a")
    clock.advance(2)
    latencies.adopt({key: (Estimate(0.5, 0), 3.0)})
    assert choose(latencies, "a", "b").backend == "b"
    latencies.adopt({key: (Estimate(0.5, 0), 1.0)})
    assert choose(latencies, "a", "b").backend == "a"


def test_where_all_fail_somebody_is_asked_all_the_same(latencies):
    for name in "ab":
        fail(latencies, name, *BOTH)
    fail(latencies, "a", *BOTH)
    assert choose(latencies, "a", "b").backend in {"a", "b"}


def test_one_that_fell_silent_is_not_waited_for(latencies, clock):
    measured(latencies, a=0.5, b=1.0)
    hung = latencies.start("m", "a", streamed=True)
    clock.advance(0.9)
    assert choose(latencies, "a", "b").backend == "a"
    clock.advance(0.6)
    assert choose(latencies, "a", "b").backend == "b"
    hung.gave_up()
    hung.leave()
    assert latencies.known()[Key("m", "a", True)] > 0.5


def test_a_caller_that_leaves_early_tells_nothing(latencies, clock):
    measured(latencies, a=0.5)
    run = latencies.start("m", "a", streamed=True)
    clock.advance(0.1)
    run.gave_up()
    run.leave()
    assert latencies.known() == {Key("m", "a", True): 0.5}


def test_a_slow_one_is_explored_the_more_often_the_longer_ago_it_was_measured(latencies, clock):
    measured(latencies, a=0.5, b=50.0)
    lot = estimates.EXPLORED * 0.5
    assert choose(latencies, "a", "b", lot=lot).backend == "a"
    assert choose(latencies, "a", "b", lot=ALWAYS) == Choice("b", explored=True)
    clock.advance(300)
    assert choose(latencies, "a", "b", lot=lot) == Choice("b", explored=True)
    assert choose(latencies, "a", "b", lot=estimates.EXPLORED) == Choice("a", explored=False)
    latencies.start("m", "b", streamed=True)
    assert choose(latencies, "a", "b", lot=ALWAYS) == Choice("a", explored=False)


def test_a_longer_answer_is_not_a_slower_backend():
    assert scaled(11.0, 500) == pytest.approx(11.0)
    assert scaled(21.0, 1000) == pytest.approx(scaled(11.0, 500))
    assert scaled(1.0, 0) == pytest.approx(11.0)


@given(
    st.one_of(st.none(), st.floats(0.001, 600)),
    st.lists(st.floats(0.001, 600), min_size=1, max_size=30),
    st.floats(0, 1000),
)
def test_an_estimate_stays_between_what_was_thought_and_what_was_seen(before, seen, idle_s):
    mean_s = sum(seen) / len(seen)
    after = fold(Estimate(before, 3), idle_s, Batch(len(seen), sum(seen), 0))
    low, high = sorted((mean_s if before is None else before, mean_s))
    assert low - 1e-6 <= after.seconds <= high + 1e-6
    assert after.strikes == 0


def test_what_others_saw_is_taken_over_unless_ones_own_is_newer(latencies, clock):
    measured(latencies, a=0.5)
    key = Key("m", "a", True)
    assert latencies.take() == {key: Batch(1, 0.5, 0)}
    assert latencies.take() == {key: Batch()}
    latencies.adopt({key: (Estimate(3.0, 0), 30.0)})
    assert latencies.known() == {key: 0.5}
    latencies.adopt({key: (Estimate(3.0, 0), 0.1), Key("m", "other", True): (Estimate(1.0, 0), 0.0)})
    assert latencies.known() == {key: 3.0}
    measured(latencies, a=3.0)
    latencies.adopt({key: (Estimate(1.0, 0), 0.0)})
    assert 1.0 < latencies.known()[key] < 3.0
