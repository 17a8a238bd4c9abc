"""The arithmetic: never more than the limit, exact waits, nothing lost on refusal, refunds that give no gift."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.gcra import NEVER, Limit, draw, refund, room, spend

limits = st.builds(Limit, requests=st.integers(1, 50), window_us=st.integers(1, 100_000))
steps = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 8)), max_size=60)


def test_a_whole_limit_comes_at_once_then_one_each_interval():
    limit, tat, now = Limit(3, 300), 0, 1000
    for left in (2, 1, 0):
        decision = spend(tat, now, limit)
        assert (decision.allowed, decision.remaining) == (True, left)
        tat = decision.tat
    refused = spend(tat, now, limit)
    assert (refused.allowed, refused.retry_after_us, refused.reset_us) == (False, 100, 300)
    assert not spend(tat, now + 99, limit).allowed
    assert spend(tat, now + 100, limit).allowed


def test_an_interval_that_is_no_whole_number_is_rounded_to_the_strict_side():
    assert Limit(7, 60).interval_us == 9
    assert Limit(7, 60).burst_us >= 60


def test_more_than_the_whole_limit_never_fits():
    assert spend(0, 1000, Limit(3, 300), 4).retry_after_us == NEVER


@given(limits, steps)
def test_no_span_of_time_sees_more_than_the_limit_and_its_refill(limit, steps):
    now, tat, spent = 1_000_000, 0, []
    for wait, quantity in steps:
        now += wait
        decision = spend(tat, now, limit, quantity)
        assert decision.tat >= tat
        tat = decision.tat
        spent.append((now, decision.granted))
    for first, (start, _) in enumerate(spent):
        total = 0
        for end, granted in spent[first:]:
            total += granted
            assert total <= limit.requests + (end - start) // limit.interval_us


@given(limits, st.integers(0, 200_000), st.integers(1, 50))
def test_the_told_wait_is_exact_and_a_refusal_costs_nothing(limit, ahead, quantity):
    now = 1_000_000
    tat = now + min(ahead, limit.burst_us)
    decision = spend(tat, now, limit, quantity)
    if decision.allowed or decision.retry_after_us == NEVER:
        return
    assert decision.tat == tat
    assert not spend(tat, now + decision.retry_after_us - 1, limit, quantity).allowed
    assert spend(tat, now + decision.retry_after_us, limit, quantity).allowed


@given(limits, st.integers(0, 200_000))
def test_what_remains_can_be_spent_and_not_one_more(limit, ahead):
    now = 1_000_000
    tat = now + ahead
    remaining = room(tat, now, limit)
    assert 0 <= remaining <= limit.requests
    assert not spend(tat, now, limit, remaining + 1).allowed
    if remaining:
        assert spend(tat, now, limit, remaining).remaining == 0


@given(limits, st.integers(1, 10**12))
def test_a_state_far_ahead_locks_nobody_out_for_longer_than_one_interval(limit, ahead):
    refused = spend(1_000_000 + limit.burst_us + ahead, 1_000_000, limit)
    assert not refused.allowed
    assert refused.retry_after_us == limit.interval_us
    assert spend(refused.tat, 1_000_000 + refused.retry_after_us, limit).allowed


asks = st.lists(st.tuples(st.integers(900_000, 1_100_000), limits, st.integers(-1, 60)), min_size=1, max_size=4)


@given(asks)
def test_a_draw_takes_from_every_limit_or_from_none(asks):
    now = 1_000_000
    decisions = draw(now, asks)
    rooms = [room(tat, now, limit) for tat, limit, _ in asks]
    if min(rooms) < 1:
        assert not any(one.allowed for one in decisions)
        for (tat, limit, _), decision, fits in zip(asks, decisions, rooms, strict=True):
            assert decision.tat == min(tat, now + limit.burst_us)
            assert (decision.retry_after_us > 0) is (fits < 1)
            assert decision.remaining == fits
    else:
        for (_, _, most), decision, fits in zip(asks, decisions, rooms, strict=True):
            assert decision.granted == min(max(most, 1), fits)
            assert decision.remaining == fits - decision.granted


def test_a_draw_from_nothing_is_nothing():
    assert draw(1, []) == ()


@given(limits, st.integers(1, 8), steps, steps)
def test_a_refund_never_leaves_more_than_if_nothing_had_been_spent(limit, quantity, before, after):
    now, without = 1_000_000, 0
    for wait, other in before:
        now += wait
        without = spend(without, now, limit, other).tat
    first = spend(without, now, limit, quantity)
    if not first.allowed:
        return
    spent_at, with_it = now, first.tat
    for wait, other in after:
        now += wait
        decision = spend(with_it, now, limit, other)
        if decision.allowed:  # whoever fits beside the spent part fits without it too
            with_it, without = decision.tat, spend(without, now, limit, other).tat
    given_back = refund(with_it, now, limit, quantity, spent_at)
    assert max(given_back, now) >= max(without, now)
    assert given_back <= with_it


def test_a_refund_at_once_restores_the_state():
    limit = Limit(10, 1000)
    spent = spend(5000, 5000, limit, 4)
    assert refund(spent.tat, 5000, limit, 4, 5000) == 5000
