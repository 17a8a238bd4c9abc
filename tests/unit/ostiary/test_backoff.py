"""How long crashed workers stay down."""

from hypothesis import given
from hypothesis import strategies as st

from ostiary import backoff

chances = st.floats(0, 1, exclude_max=True)


@given(streak=st.integers(1, 10_000), chance=chances)
def test_every_pause_is_positive_and_capped(streak, chance):
    assert 0 < backoff.pause_s(streak, chance) <= backoff.CAP_S


@given(streak=st.integers(1, 100), chance=chances)
def test_pauses_never_shrink_while_crashes_go_on(streak, chance):
    assert backoff.pause_s(streak, chance) <= backoff.pause_s(streak + 1, chance)


def test_the_pause_doubles_until_the_cap():
    assert [backoff.pause_s(streak, 0.0) for streak in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]


@given(streak=st.integers(1, 20))
def test_chance_spreads_workers_over_half_of_the_pause(streak):
    assert backoff.pause_s(streak, 0.999999) > 1.99 * backoff.pause_s(streak, 0.0)


def test_a_healthy_minute_forgives():
    assert backoff.streak_after(7, backoff.HEALTHY_S) == 1
    assert backoff.streak_after(7, backoff.HEALTHY_S - 0.1) == 8
