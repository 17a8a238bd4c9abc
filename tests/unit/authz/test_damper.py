"""Failed authentications by client address: counted, bounded, and told with a time to come back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.damper import AddressDamper
from authz_case import POLICY
from clocks import ManualClock
from gateway.errors import Kind
from gateway.policy.model import Damping

THREE = replace(POLICY, damping=Damping(failures=3, window_s=60))
OFF = replace(POLICY, damping=Damping(failures=0))


class Rig:
    def __init__(self, *, workers=1, **options):
        self.clock = ManualClock()
        self.damper = AddressDamper(self.clock, workers=workers, **options)

    def fail(self, address, count=1, policy=THREE):
        for _ in range(count):
            self.damper.failed(address, policy)

    def refuses(self, address, policy=THREE):
        return self.damper.judge(address, policy) is not None


def test_an_address_is_refused_after_its_failures_and_no_other_is():
    rig = Rig()
    rig.fail("192.0.2.1", 2)
    assert not rig.refuses("192.0.2.1")
    rig.fail("192.0.2.1")
    assert rig.refuses("192.0.2.1")
    assert not rig.refuses("192.0.2.2")
    assert not rig.refuses("")


def test_the_refusal_says_when_to_come_back_and_why():
    rig = Rig()
    rig.fail("192.0.2.1", 3)
    error = rig.damper.judge("192.0.2.1", THREE)
    assert (error.kind, error.retry_after_s) == (Kind.AUTHENTICATION_THROTTLED, 20)
    assert error.cause == "3 failed authentications in 60 s"
    rig.clock.advance(19.9)
    assert rig.refuses("192.0.2.1")
    rig.clock.advance(0.1)
    assert not rig.refuses("192.0.2.1")


def test_being_refused_does_not_make_the_wait_longer():
    rig = Rig()
    rig.fail("192.0.2.1", 50)
    assert rig.damper.judge("192.0.2.1", THREE).retry_after_s == 20


def test_each_worker_counts_its_share_and_at_least_one():
    shared = Rig(workers=2)
    policy = replace(POLICY, damping=Damping(failures=5, window_s=60))
    shared.fail("192.0.2.1", 1, policy)
    assert not shared.refuses("192.0.2.1", policy)
    shared.fail("192.0.2.1", 1, policy)
    assert shared.refuses("192.0.2.1", policy)
    many = Rig(workers=8)
    many.fail("192.0.2.1", 1, policy)
    assert many.refuses("192.0.2.1", policy)


def test_addresses_of_one_ipv6_network_are_one_guesser():
    rig = Rig()
    for number in range(3):
        rig.fail(f"2001:db8:0:1::{number:x}")
    assert rig.refuses("2001:db8:0:1:ffff:ffff:ffff:ffff")
    assert not rig.refuses("2001:db8:0:2::1")


def test_an_ipv4_address_counts_the_same_in_its_ipv6_spelling():
    rig = Rig()
    rig.fail("::ffff:192.0.2.1", 3)
    assert rig.refuses("192.0.2.1")


def test_damping_can_be_switched_off_and_on():
    rig = Rig()
    rig.fail("192.0.2.1", 50, OFF)
    assert not rig.refuses("192.0.2.1", THREE)
    rig.fail("192.0.2.1", 3, THREE)
    assert not rig.refuses("192.0.2.1", OFF)
    assert rig.refuses("192.0.2.1", THREE)


def test_memory_is_bounded_and_who_failed_last_is_remembered():
    rig = Rig(addresses=10)
    rig.fail("192.0.2.1", 3)
    for number in range(9):
        rig.fail(f"198.51.100.{number}", 3)
    assert rig.refuses("192.0.2.1")
    rig.fail("203.0.113.1", 3)
    assert not rig.refuses("192.0.2.1")
    assert len(rig.damper._tats) == 10


@pytest.mark.parametrize("address", ["not an address", "fe80::1%eth0", ":", "1:2:3:4:5:6:7:8:9"])
def test_odd_addresses_are_sources_too(address):
    rig = Rig()
    rig.fail(address, 3)
    assert rig.refuses(address)


@given(st.lists(st.floats(0, 5), max_size=60))
def test_no_address_gets_more_failures_through_than_the_limit_and_its_refill(pauses):
    # Invariant: in any span an address is heard at most `failures` times and once more for each interval of the span.
    rig, heard, spent_s = Rig(), 0, 0.0
    for pause_s in pauses:
        rig.clock.advance(pause_s)
        spent_s += pause_s
        if not rig.refuses("192.0.2.1"):
            heard += 1
            rig.fail("192.0.2.1")
    assert heard <= 3 + spent_s / 20
