"""When signing keys sign, verify and go: one always signs, the next is always known first, replicas agree."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import schedule
from control.schedule import SKEW_S, SLACK_S, Slot, plan, slot_of, turned
from gateway.policy.model import TokenService

SERVICE = TokenService(issuer="https://g.example", audience="g", token_s=300, rotate_s=3600)
NOW = 1_800_000_000


def settled(slots, now, service=SERVICE, names=None):
    """The schedule after the plan was carried out."""
    planned = plan(slots, service, now)
    made = [slot_of(need, f"k{now}-{need.signs_from}", service, now) for need in planned.needs]
    return (*planned.slots, *made)


def test_the_first_key_signs_at_once_and_the_next_one_waits():
    first, second = settled((), NOW)
    assert (first.signs_from, first.signs_until) == (NOW, NOW + 3600)
    assert (second.signs_from, second.signs_until) == (NOW + 3600, NOW + 7200)
    assert second.made_at == NOW  # published a whole turn before it signs


def test_a_plan_that_was_carried_out_asks_for_nothing_more():
    slots = settled((), NOW)
    assert plan(slots, SERVICE, NOW) == schedule.Plan(slots, ())


@given(st.lists(st.integers(1, 9000), max_size=30))
def test_at_every_moment_one_key_signs_and_it_was_published_a_turn_ago_unless_control_slept(steps):
    now, slots = NOW, settled((), NOW)
    for step in steps:
        before = {slot.kid for slot in slots}
        now += step
        slots = settled(slots, now)
        signing = schedule.current(slots, now)
        assert signing is not None
        slept = step >= 3600
        assert slept or signing.kid in before
        assert [slot for slot in slots if slot.signs_from > now], "a next key"
        assert len(slots) < schedule.MAX_SLOTS


@given(st.lists(st.integers(1, 1000), max_size=60))
def test_no_key_ends_before_the_last_token_that_it_signed(steps):
    now, slots, last = NOW, settled((), NOW), {}
    for step in steps:
        now += step
        slots = settled(slots, now)
        last[schedule.current(slots, now).kid] = now + SERVICE.token_s
        held = {slot.kid: slot.ends_at for slot in slots}
        assert all(kid in held and held[kid] > ends for kid, ends in last.items() if ends > now)


def test_the_private_part_goes_when_signing_ends_and_the_public_part_an_hour_after_the_last_token():
    first, second = settled((), NOW)
    at_end = settled((first, second), first.signs_until + SKEW_S)
    assert [slot.private for slot in at_end if slot.kid == first.kid] == [False]
    late = first.signs_until + SERVICE.token_s + SLACK_S
    assert first.kid in {slot.kid for slot in settled(at_end, late - 1)}
    assert first.kid not in {slot.kid for slot in settled(at_end, late)}


def test_a_clock_a_little_behind_changes_nothing():
    slots = settled(settled((), NOW), NOW + 3600)
    assert plan(slots, SERVICE, NOW + 3600 - SKEW_S + 1) == schedule.Plan(slots, ())


def test_a_turn_ahead_of_time_uses_the_key_that_everybody_knows():
    first, second = settled((), NOW)
    now = NOW + 100
    slots = settled(turned((first, second), SERVICE, now), now)
    assert schedule.current(slots, now).kid == second.kid
    old = next(slot for slot in slots if slot.kid == first.kid)
    assert (old.signs_until, old.ends_at) == (now, now + SERVICE.token_s + SLACK_S)
    assert [slot for slot in slots if slot.signs_from > now]


def test_a_turn_without_a_next_key_changes_nothing():
    first, _ = settled((), NOW)
    assert turned((first,), SERVICE, NOW + 1) == (first,)


def test_a_next_key_of_an_algorithm_that_the_policy_left_is_replaced_once_it_is_settled():
    other = replace(SERVICE, algorithm="EdDSA")
    first, second = settled((), NOW)
    assert plan((first, second), other, NOW + 10).needs == ()
    later = plan((first, second), other, NOW + 600)
    assert later.slots == (first,)
    assert [(need.algorithm, need.signs_from) for need in later.needs] == [("EdDSA", first.signs_until)]


def test_what_is_written_is_read_back():
    slots = settled((), NOW)
    assert schedule.read(schedule.write(slots)) == slots


TOLD = json.loads(schedule.write(settled((), NOW)))
FIRST = TOLD["slots"][0]
BAD = {
    "no object": [],
    "a name more": TOLD | {"x": 1},
    "slots a mapping": {"slots": {}},
    "too many": {"slots": [FIRST] * 65},
    "a slot that is none": {"slots": [1]},
    "a slot with a name more": {"slots": [FIRST | {"key": "x"}]},
    "no kid": {"slots": [FIRST | {"kid": ""}]},
    "an algorithm that is none of ours": {"slots": [FIRST | {"algorithm": "HS256"}]},
    "private a number": {"slots": [FIRST | {"private": 1}]},
    "a flag as time": {"slots": [FIRST | {"made_at": True}]},
    "before 1970": {"slots": [FIRST | {"made_at": -1}]},
    "ends before it signs": {"slots": [FIRST | {"ends_at": FIRST["signs_from"]}]},
}


@pytest.mark.parametrize("told", BAD.values(), ids=BAD)
def test_nothing_else_is_a_schedule(told):
    with pytest.raises(ValueError):  # the text is for nobody; that it is refused is what counts
        schedule.read(json.dumps(told).encode())


def test_a_slot_signs_only_within_its_times_and_with_its_private_part():
    slot = Slot(kid="k", algorithm="ES256", made_at=0, signs_from=10, signs_until=20, ends_at=30)
    assert [slot.signs(now) for now in (9, 10, 19.9, 20)] == [False, True, True, False]
    assert not replace(slot, private=False).signs(15)
