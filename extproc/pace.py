"""Shares one event loop between the judging of many streams. Knows no stream and judges nothing.

gRPC takes up one new call for each round of the loop, so Checks, health checks and new exchanges come through only as
fast as rounds do. A few hundred streams whose upstream is faster than the worker made rounds of 0.2 s: five new calls a
second. What is judged in one round is therefore bounded; the rest waits, first come, first served, and while new calls
come in it waits some rounds more.
"""

import asyncio
from collections import deque
from typing import Final

#: Bytes judged in one round. At 30 MB/s (bench/README.md, "Slow readers") that is about half a millisecond.
ROUND_BYTES: Final = 16 * 1024
#: What an event costs whatever its size: a delta of some words takes 60 us, as long as 2 KiB of a large chunk.
EVENT_BYTES: Final = 2 * 1024
#: Rounds without judging after a new call, by which the next one, if there is one, has been taken up.
COURTESY_ROUNDS: Final = 3
#: Most of them in a row: however many calls come in, streams that are open go on.
COURTESY_MOST: Final = 24


class Pace:
    """The turns of one event loop."""

    __slots__ = ("_armed", "_courtesy", "_left", "_loop", "_skipped", "_waiting")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left = ROUND_BYTES
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._armed = False
        self._courtesy = self._skipped = 0

    def newcomer(self) -> None:
        """A new call was taken up: others may wait behind it, and gRPC takes them up one by one."""
        self._courtesy = COURTESY_ROUNDS

    def take(self, size_bytes: int) -> asyncio.Future[None] | None:
        """The next turn: None where it is now, otherwise what has to be awaited before judging."""
        if self._left > 0 and not self._waiting:
            self._spend(size_bytes)
            return None
        if self._loop is None:  # only after `_spend` can a turn have to be waited for
            raise RuntimeError("no round was begun")
        turn = self._loop.create_future()
        self._waiting.append((turn, size_bytes))
        return turn

    def _spend(self, size_bytes: int) -> None:
        self._left -= size_bytes + EVENT_BYTES
        self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop = asyncio.get_running_loop()
            # What is called soon is called in the next round, after the loop has looked for what arrived.
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        self._armed = False
        if self._courtesy and self._waiting and self._skipped < COURTESY_MOST:
            self._courtesy -= 1
            self._skipped += 1
            self._arm()
            return
        self._courtesy = self._skipped = 0
        # No debt: what was too large for one round has had its cost, and the loop has looked around since.
        self._left = ROUND_BYTES
        while self._waiting and self._left > 0:
            turn, size_bytes = self._waiting.popleft()
            if turn.done():  # its stream has ended
                continue
            self._spend(size_bytes)
            turn.set_result(None)
