"""The circuit breaker: opens after failures in a row, lets one probe through, and closes when it succeeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.breaker import Breaker


@pytest.fixture
def breaker():
    return Breaker(failures_to_open=3, first_open_s=1.0, longest_open_s=3.0)


def fail(breaker, count, now_s=0.0):
    for _ in range(count):
        assert breaker.start(now_s)
        breaker.failed(now_s)


def test_failures_in_a_row_open_it(breaker):
    fail(breaker, 3)
    assert not breaker.closed
    assert breaker.refuses(0.9)
    assert not breaker.start(0.9)


def test_a_success_between_starts_the_count_anew(breaker):
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.closed


def test_one_probe_is_let_through_and_its_success_closes(breaker):
    fail(breaker, 3)
    assert not breaker.refuses(1.0)
    assert breaker.start(1.0)
    assert breaker.refuses(1.0)
    assert not breaker.start(1.0)
    breaker.succeeded()
    assert breaker.closed
    assert breaker.start(1.0)


def test_a_failed_probe_opens_for_twice_as_long_up_to_a_bound(breaker):
    fail(breaker, 3)
    now_s = 0.0
    for lasts_s in (1.0, 2.0, 3.0, 3.0):
        assert breaker.refuses(now_s + lasts_s - 0.01)
        now_s += lasts_s
        fail(breaker, 1, now_s)


def test_late_failures_of_earlier_questions_do_not_prolong_it(breaker):
    fail(breaker, 3)
    breaker.failed(0.9)
    assert breaker.start(1.0)


@given(st.lists(st.sampled_from(["ok", "fail", "wait"]), max_size=40))
def test_it_never_stays_shut_for_longer_than_its_bound(moves):
    # Invariant: whatever happened, after the longest opening somebody may ask.
    breaker, now_s = Breaker(failures_to_open=2, first_open_s=1.0, longest_open_s=4.0), 0.0
    for move in moves:
        if move == "wait":
            now_s += 0.5
        elif breaker.start(now_s):
            breaker.succeeded() if move == "ok" else breaker.failed(now_s)
    assert breaker.start(now_s + 4.0)
