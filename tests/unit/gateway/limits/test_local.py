"""The limiter of one worker: its share, all limits or none, and nothing to wait for."""

import pytest

from clocks import ManualClock
from gateway.limits.bucket import UNLIMITED, Bucket
from gateway.limits.local import LocalLimiter

TENANT = Bucket("acme", "tenant", 20, 60)
KEY = Bucket("acme", "key:k1", 8, 60)


async def test_a_worker_admits_its_share_and_then_its_share_of_the_refill():
    clock = ManualClock()
    limiter = LocalLimiter(clock, workers=4)
    assert [(await limiter.spend([TENANT])).allowed for _ in range(6)] == [True] * 5 + [False]
    clock.advance(12)  # a fifth of the window
    assert [(await limiter.spend([TENANT])).allowed for _ in range(2)] == [True, False]


def test_a_limit_below_the_number_of_workers_still_admits_one():
    limiter = LocalLimiter(ManualClock(), workers=64)
    assert [limiter.draw([KEY]).allowed for _ in range(2)] == [True, False]


def test_a_request_refused_by_its_key_does_not_use_up_its_tenant():
    limiter = LocalLimiter(ManualClock(), workers=1)
    for _ in range(20):
        limiter.draw([KEY, TENANT])
    refused = limiter.draw([KEY, TENANT])
    assert (refused.allowed, refused.which, refused.limit) == (False, "key:k1", 8)
    assert refused.retry_after_s == pytest.approx(7.5)
    assert limiter.draw([TENANT]).remaining == 20 - 8 - 1


def test_the_verdict_is_of_the_tightest_limit():
    verdict = LocalLimiter(ManualClock(), workers=1).draw([TENANT, KEY])
    assert (verdict.allowed, verdict.which, verdict.limit, verdict.remaining) == (True, "key:k1", 8, 7)
    assert verdict.reset_s == pytest.approx(7.5)


def test_noted_requests_count_and_never_lock_out_for_longer_than_a_window():
    clock = ManualClock()
    limiter = LocalLimiter(clock, workers=1)
    for _ in range(1000):
        limiter.note([KEY])
    assert not limiter.draw([KEY]).allowed
    clock.advance(7.5)
    assert limiter.draw([KEY]).allowed


def test_without_limits_nothing_is_counted():
    assert LocalLimiter(ManualClock(), workers=1).draw([]) is UNLIMITED


def test_no_worker_at_all_is_refused():
    with pytest.raises(ValueError, match="at least this worker"):
        LocalLimiter(ManualClock(), workers=0)
