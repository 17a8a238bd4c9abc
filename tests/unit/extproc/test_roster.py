"""Which open exchanges a revocation finds: exactly those whose caller the book calls revoked."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks import ManualClock
from extproc.roster import Roster
from gateway.revocation import record
from gateway.revocation.book import RevocationBook
from gateway.revocation.mark import marks_of
from gateway.revocation.record import Revocation
from worlds import CALLER

ALICE = replace(CALLER, client="batch", certificate="ab" * 32, issued_at=1_000)
BOB = replace(CALLER, tenant="other", principal="bob", key_id="k2")


class Guest:
    """An exchange that only hears."""

    def __init__(self, caller):
        self.caller = caller
        self.errors = []

    def revoke(self, error):
        self.errors.append(error)


class House:
    """A book and a roster behind it, told as the worker tells them."""

    def __init__(self):
        self.asked = 0
        self.book = RevocationBook(ManualClock(), lambda: 0.0)
        self.roster = Roster(self._revoked)

    def _revoked(self, caller):
        self.asked += 1
        return self.book.revoked(caller)

    def enter(self, *callers):
        guests = [Guest(caller) for caller in callers]
        assert [self.roster.enter(guest) for guest in guests] == [None] * len(guests)
        return guests

    def tell(self, mark, **fields):
        value = record.write(Revocation(**{"mark": mark, "reason": "leaked", "actor": "ada", "at": 1} | fields))
        self.book.apply(mark, value)
        self.roster.apply(mark, value)


async def settled():
    await asyncio.sleep(0)


@pytest.mark.parametrize("mark", marks_of(ALICE))
async def test_each_mark_finds_all_exchanges_of_its_caller_and_no_other(mark):
    house = House()
    first, second, other = house.enter(ALICE, ALICE, BOB)
    house.tell(mark)
    await settled()
    assert [len(guest.errors) for guest in (first, second, other)] == [1, 1, 0]
    assert first.errors[0].cause == f"{mark}: leaked"


class Stubborn(Guest):
    """An exchange with a defect."""

    def revoke(self, error):
        raise RuntimeError("cannot be ended")


async def test_an_exchange_that_cannot_be_ended_spares_no_other():
    house = House()
    for guest in (Stubborn(ALICE), Stubborn(ALICE)):
        house.roster.enter(guest)
    others = house.enter(*[ALICE] * 20)
    house.tell("tenant:" + ALICE.tenant)
    await settled()
    assert [len(guest.errors) for guest in others] == [1] * 20


async def test_whoever_was_revoked_since_authz_asked_is_told_on_entering():
    house = House()
    house.tell("key:k1")
    assert house.roster.enter(Guest(ALICE)).kind.value == "credential_revoked"


async def test_whoever_has_left_is_not_looked_for():
    house = House()
    guest, stays = house.enter(ALICE, ALICE)
    house.roster.leave(guest)
    house.roster.leave(guest)
    house.tell("key:k1")
    await settled()
    assert (len(guest.errors), len(stays.errors)) == (0, 1)
    house.roster.leave(stays)
    assert len(house.roster) == 0


async def test_leaving_between_the_news_and_the_look_is_in_time():
    house = House()
    (guest,) = house.enter(ALICE)
    house.tell("tenant:acme")
    house.roster.leave(guest)
    await settled()
    assert guest.errors == []


async def test_a_credential_that_is_younger_than_the_revocation_goes_on():
    house = House()
    old, young = house.enter(replace(ALICE, issued_at=999), ALICE)
    house.tell("subject:acme/alice", issued_before=1_000)
    await settled()
    assert (len(old.errors), len(young.errors)) == (1, 0)


async def test_a_lifted_revocation_ends_nothing():
    house = House()
    (guest,) = house.enter(ALICE)
    house.book.apply("key:k1", None)
    house.roster.apply("key:k1", None)
    await settled()
    assert guest.errors == []


async def test_revoking_one_credential_visits_nobody_else():
    house = House()
    house.enter(*(replace(BOB, key_id=f"other{number}") for number in range(50)), ALICE)
    house.asked = 0
    house.tell("key:k1")
    house.tell("key:nobody")
    await settled()
    assert house.asked == 1


async def test_many_revocations_at_once_are_looked_through_once():
    house = House()
    house.enter(*[BOB] * 10)
    house.asked = 0
    for number in range(100):
        house.tell(f"subject:acme/p{number}")
    await settled()
    assert house.asked == 10


async def test_a_guest_may_leave_while_it_is_told():
    house = House()

    class Hasty(Guest):
        def revoke(self, error):
            super().revoke(error)
            house.roster.leave(self)

    guests = [Hasty(ALICE) for _ in range(3)]
    for guest in guests:
        house.roster.enter(guest)
    house.tell("key:k1")
    await settled()
    assert [len(guest.errors) for guest in guests] == [1, 1, 1]
    assert len(house.roster) == 0


CALLERS = st.builds(
    lambda key, tenant, name, client: replace(BOB, key_id=key, tenant=tenant, principal=name, client=client),
    *(st.sampled_from(values) for values in (("k1", "k2", "k3"), ("a", "b"), ("x", "y"), ("", "x", "y"))),
)
MARKS = st.sampled_from(["key:k1", "key:k2", "key:k9", "subject:a/x", "client:b/y", "tenant:a", "tenant:c"])


@given(st.lists(CALLERS, max_size=8), st.lists(MARKS, max_size=3, unique=True))
def test_in_the_end_exactly_the_revoked_were_told(callers, marks):
    async def play():
        house = House()
        guests = house.enter(*callers)
        for mark in marks:
            house.tell(mark)
        await settled()
        return [bool(guest.errors) for guest in guests]

    assert asyncio.run(play()) == [not set(marks).isdisjoint(marks_of(caller)) for caller in callers]
