"""A reservation is kept alive while its exchange runs, and ends once, whatever happens at the same moment."""

import asyncio
from dataclasses import replace

from extproc.purse import Purse
from gateway.budgets.model import Amounts, Reservation
from gateway.clock import SystemClock


class Ledger:
    """Remembers what it was told; extensions can be held back."""

    def __init__(self):
        self.settled, self.released, self.extended = [], [], []
        self.let = asyncio.Event()
        self.let.set()

    async def extend(self, reservation, so_far):
        self.extended.append((reservation.id, so_far))
        await self.let.wait()
        return replace(reservation, id=f"{reservation.id}+", expires_at=SystemClock().monotonic() + 60)

    def settle(self, reservation, used):
        self.settled.append((reservation.id, used))

    def release(self, reservation):
        self.released.append(reservation.id)


def purse(ledger, expires_in_s=60.0):
    reservation = Reservation("r", "acme", (), SystemClock().monotonic() + expires_in_s)
    return Purse(ledger, reservation, lambda: Amounts(1, 2, 3), SystemClock())


async def test_what_was_used_is_settled_once():
    ledger = Ledger()
    one = purse(ledger)
    one.settle(Amounts(5, 6, 7))
    one.settle(None)
    assert ledger.settled == [("r", Amounts(5, 6, 7))]
    assert ledger.released == []


async def test_an_exchange_that_sent_nothing_gives_all_back():
    ledger = Ledger()
    purse(ledger).settle(None)
    assert ledger.released == ["r"]


async def test_before_it_expires_it_is_extended_with_what_was_used_so_far():
    ledger = Ledger()
    one = purse(ledger, expires_in_s=0)
    while not ledger.extended:
        await asyncio.sleep(0.05)
    assert ledger.extended == [("r", Amounts(1, 2, 3))]
    await asyncio.sleep(0)
    one.settle(Amounts(9))
    assert ledger.settled == [("r+", Amounts(9))]


async def test_a_settlement_waits_for_an_extension_that_is_under_way():
    ledger = Ledger()
    ledger.let.clear()
    one = purse(ledger, expires_in_s=0)
    while not ledger.extended:
        await asyncio.sleep(0.05)
    one.settle(Amounts(9))
    assert ledger.settled == []
    ledger.let.set()
    while not ledger.settled:
        await asyncio.sleep(0)
    assert ledger.settled == [("r+", Amounts(9))]
