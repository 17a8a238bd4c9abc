"""One exchange's budget while it runs: keeps what is set aside for it alive, and settles it once. Decides nothing."""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.aio import spawn
from gateway.budgets.model import Amounts, Budgets, Reservation
from gateway.clock import Clock

#: Of the time until a reservation expires: a hold that is extended at its half survives one call that fails.
_HALF: Final = 0.5
_LEAST_S: Final = 0.5  # between two extensions, should the clock jump


class Purse:
    """Holds the reservation of one exchange. For one event loop; whoever made it calls `settle` in the end."""

    __slots__ = ("_budgets", "_clock", "_done", "_extending", "_handle", "_loop", "_reservation", "_spent")

    def __init__(self, budgets: Budgets, reservation: Reservation, spent: Callable[[], Amounts], clock: Clock) -> None:
        """`spent` tells what the exchange has used so far."""
        self._budgets = budgets
        self._reservation = reservation
        self._spent = spent
        self._clock = clock
        self._extending: asyncio.Task[None] | None = None
        self._done = False
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(self._wait_s(), self._extend)

    def settle(self, used: Amounts | None) -> None:
        """Charge what was used; None: nothing went upstream, so all is given back. Only the first call counts."""
        if self._done:
            return
        self._done = True
        self._handle.cancel()
        extending = self._extending
        if extending is None:
            self._end(used)
        else:  # its answer names the hold that is to be settled
            extending.add_done_callback(lambda _: self._end(used))

    def _end(self, used: Amounts | None) -> None:
        if used is None:
            self._budgets.release(self._reservation)
        else:
            self._budgets.settle(self._reservation, used)

    def _extend(self) -> None:
        self._extending = spawn(self._extended(), name="budget-extend")

    async def _extended(self) -> None:
        try:
            self._reservation = await self._budgets.extend(self._reservation, self._spent())
        finally:
            self._extending = None
            if not self._done:
                self._handle = self._loop.call_later(self._wait_s(), self._extend)

    def _wait_s(self) -> float:
        return max((self._reservation.expires_at - self._clock.monotonic()) * _HALF, _LEAST_S)
