"""Evaluation by the library in this process, off the event loop. Decides nothing about deadlines but that they pass.

A call into the library cannot be interrupted. So evaluations run in a few threads of their own (a call releases the
GIL), a waiter that gives up leaves its thread behind, and what overran its deadline is contained: its caller gets no
second thread while the first one is taken, and when all are taken nobody waits in vain. Rego always ends, but not
always soon.
"""

import asyncio
import queue
import threading
from dataclasses import dataclass, field
from typing import Final

import structlog

from authz.opa.evaluator import AwayError, BrokenError
from authz.opa.library import Engine, LibraryError
from gateway.clock import Clock

#: Go runs one of them at a time (GOMAXPROCS=1): the others are there for when one does not come back. With two of them
#: taken, Go's scheduler gives the third its turn every 20 ms, which a deadline of 50 ms just bears.
LANES: Final = 3
#: Evaluations that may wait for a lane. At 0.2 ms each, the last one waits 13 ms.
MAX_WAITING: Final = 64

_log: Final = structlog.get_logger(__name__)
#: What the library says when it is not the policy's fault.
_OURS: Final = frozenset({"internal", "closed", "unknown", "missing", "invalid_handle"})


@dataclass(slots=True)
class _Job:
    engine: Engine
    document: bytes = field(repr=False)
    who: tuple[str, str]
    within_s: float
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[object]"
    started_s: float = 0.0


class Lanes:
    """The threads that evaluate. One set a worker, for every policy version; made once and kept."""

    def __init__(self, clock: Clock, *, lanes: int = LANES, max_waiting: int = MAX_WAITING) -> None:
        self._clock = clock
        self._max_waiting = max_waiting
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._running: dict[int, _Job] = {}  # written by the lanes, each its own entry
        # Daemons: an evaluation that never ends must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"opa-{lane}", daemon=True) for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

    async def evaluate(self, engine: Engine, document: bytes, who: tuple[str, str], within_s: float) -> object:
        """Wait for the value. Raises AwayError where waiting would be in vain, LibraryError from the library."""
        self._look(who)
        loop = asyncio.get_running_loop()
        job = _Job(engine, document, who, within_s, loop, loop.create_future())
        self._queue.put(job)
        return await job.answer

    def close(self) -> None:
        """Let every lane end that comes back."""
        for _ in self._threads:
            self._queue.put(None)

    def _look(self, who: tuple[str, str]) -> None:
        now_s = self._clock.monotonic()
        late = [job for job in list(self._running.values()) if now_s - job.started_s > job.within_s]
        if len(late) == len(self._threads):
            raise AwayError("every lane is taken by an evaluation that overran its deadline")
        if any(job.who == who for job in late):
            raise AwayError("an evaluation for this caller overran its deadline and still runs")
        if self._queue.qsize() >= self._max_waiting:
            raise AwayError("too many evaluations wait for a lane")

    def _work(self, lane: int) -> None:
        while (job := self._queue.get()) is not None:
            if job.answer.done():  # nobody waits any more
                continue
            job.started_s = self._clock.monotonic()
            self._running[lane] = job
            value: object = None
            failure: LibraryError | None = None
            try:
                value = job.engine.evaluate(job.document)
            except LibraryError as error:
                failure = error
            except Exception as bug:  # noqa: BLE001  # a lane that died would take its waiter's answer along
                failure = LibraryError("internal", type(bug).__name__)
            del self._running[lane]
            try:
                job.loop.call_soon_threadsafe(_land, job, value, failure)
            except RuntimeError:  # the loop is closed: nobody is left to tell
                return
            del job, value, failure  # or a lane that rests would hold the last request's document


def _land(job: _Job, value: object, failure: LibraryError | None) -> None:
    if job.answer.done():
        _log.warning("opa_evaluation_late", tenant=job.who[0], principal=job.who[1])
    elif failure is not None:
        job.answer.set_exception(failure)
    else:
        job.answer.set_result(value)


class Embedded:
    """`Evaluator` by the library."""

    def __init__(self, engine: Engine, lanes: Lanes, within_s: float) -> None:
        self._engine = engine
        self._lanes = lanes
        self._within_s = within_s

    async def evaluate(self, document: bytes, who: tuple[str, str]) -> object:
        """See `Evaluator`."""
        try:
            return await self._lanes.evaluate(self._engine, document, who, self._within_s)
        except LibraryError as error:
            kind = AwayError if error.code in _OURS else BrokenError
            # Its text may quote input and data: the code alone goes on record.
            raise kind(f"evaluation failed ({error.code[:40]})") from None

    async def close(self) -> None:
        """See `Evaluator`."""
        self._engine.close()
