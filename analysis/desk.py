"""A bounded queue before one engine's thread: takes questions on the event loop, judges them off it. Speaks no HTTP.

The event loop only appends and waits. The thread takes what has gathered, leaves out what nobody waits for any more,
and hands each verdict back as soon as the engine has it.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from analysis.engine import Engine, Item, Verdict
from gateway.advice import Text
from gateway.clock import Clock

_log: Final = structlog.get_logger(__name__)

#: Questions that may wait. Each takes some 10 ms: more than this many would wait longer than any request can.
WAITING_MAX: Final = 64
#: Characters of texts that may wait, of all questions together: 64 questions of 4 MB each would be 256 MB.
WAITING_CHARS: Final = 16 * 1024 * 1024
#: Questions that the engine sees together, so that it can begin with the short ones.
BATCH: Final = 8


class FullError(Exception):
    """As many wait as may: ask later, or do without."""


class LateError(Exception):
    """The deadline passed before anybody looked at the question."""


class BrokenError(Exception):
    """The engine failed at this question, or is shut down."""


@dataclass(slots=True)
class Tally:
    """What became of the questions so far. Written by one thread at a time, read by any."""

    answered: int = 0
    full: int = 0
    late: int = 0
    left: int = 0  # the asker went away first
    failed: int = 0
    partial: int = 0  # of the answered
    busy_s: float = 0.0  # the thread was at work


@dataclass(slots=True, eq=False)
class _Ticket:
    item: Item
    chars: int
    settle: Callable[[Verdict | Exception], None]
    left: bool = False


@dataclass(slots=True, kw_only=True)
class Desk:
    """One engine with its queue. `start` on the loop that asks, `close` when done."""

    engine: Engine
    clock: Clock
    waiting_max: int = WAITING_MAX
    waiting_chars: int = WAITING_CHARS
    batch: int = BATCH
    tally: Tally = field(default_factory=Tally)
    _waiting: deque[_Ticket] = field(default_factory=deque)
    _chars: int = 0
    _closing: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Questions that nobody has begun with."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether somebody works here."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to work."""
        # A daemon: an engine that hangs in foreign code must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=f"engine-{self.engine.name}", daemon=True)
        self._thread.start()

    async def ask(self, texts: tuple[Text, ...], within_s: float) -> Verdict:
        """The engine's verdict on some texts. Raises like `take`."""
        return await self.take(Item(texts, self.clock.monotonic() + within_s), sum(len(each.text) for each in texts))

    async def take(self, item: Item, chars: int) -> Verdict:
        """The engine's verdict. Whoever is cancelled while waiting is left out.

        Raises:
            FullError: nobody can take the question now.
            LateError: its deadline passed first.
            BrokenError: the engine failed, or is shut down.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Verdict] = loop.create_future()
        settle = partial(_hand_over, loop, answered)
        ticket = _Ticket(item, chars, settle)
        with self._changed:
            if self._closing or not self.alive:
                raise BrokenError
            beyond = self._chars + ticket.chars > self.waiting_chars
            if len(self._waiting) >= self.waiting_max or (beyond and self._waiting):
                self.tally.full += 1
                raise FullError
            self._waiting.append(ticket)
            self._chars += ticket.chars
            self._changed.notify()
        try:
            return await answered
        except asyncio.CancelledError:
            self._leave(ticket)
            raise

    def _leave(self, ticket: _Ticket) -> None:
        """Give a place in the queue back: those who are gone must not keep others out."""
        with self._changed:
            ticket.left = True
            if any(each is ticket for each in self._waiting):
                self._waiting = deque([each for each in self._waiting if each is not ticket])
                self._chars -= ticket.chars
                self.tally.left += 1

    async def close(self, within_s: float) -> bool:
        """Judge what waits, then end. False: the engine is still at work, and was left to it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            return True
        await asyncio.to_thread(self._thread.join, within_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while tickets := self._take():
            began = self.clock.monotonic()
            fit = [ticket for ticket in tickets if self._fits(ticket, began)]
            if fit:
                self._judge(fit)
            self.tally.busy_s += self.clock.monotonic() - began

    def _take(self) -> list[_Ticket]:
        """What to do next; nothing when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            taken = [self._waiting.popleft() for _ in range(min(self.batch, len(self._waiting)))]
            self._chars -= sum(ticket.chars for ticket in taken)
            return taken

    def _fits(self, ticket: _Ticket, now_s: float) -> bool:
        """Whether anybody still wants to know."""
        if ticket.left:
            self.tally.left += 1
            return False
        if now_s >= ticket.item.due_s:
            self.tally.late += 1
            ticket.settle(LateError())
            return False
        return True

    def _judge(self, tickets: Sequence[_Ticket]) -> None:
        open_ = dict(enumerate(tickets))
        try:
            for number, verdict in self.engine.judge([ticket.item for ticket in tickets]):
                self.tally.answered += 1  # first: whoever has the answer finds it counted
                self.tally.partial += bool(verdict.partial)
                open_.pop(number).settle(verdict)
        except Exception as bug:  # noqa: BLE001 -- one bad text must not end the thread; its message may quote the text
            _log.error("engine_failed", engine=self.engine.name, cause=type(bug).__name__)
        for ticket in open_.values():
            self.tally.failed += 1
            ticket.settle(BrokenError())


def _hand_over(
    loop: asyncio.AbstractEventLoop, answered: "asyncio.Future[Verdict]", outcome: Verdict | Exception
) -> None:
    """From the engine's thread to whoever waits. A loop that is closed has nobody waiting."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, answered, outcome)


def _settle(answered: "asyncio.Future[Verdict]", outcome: Verdict | Exception) -> None:
    if answered.done():
        return
    if isinstance(outcome, Verdict):
        answered.set_result(outcome)
    else:
        answered.set_exception(outcome)
