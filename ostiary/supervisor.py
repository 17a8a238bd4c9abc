"""Keeps N worker processes alive and tells about them over HTTP. Serves no request of the gateway itself."""

import asyncio
import enum
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.aio import spawn
from gateway.clock import Clock
from ostiary import backoff, child
from ostiary.child import Child, Launch

_log: Final = structlog.get_logger(__name__)
_KILL_MARGIN_S: Final = 5.0  # beyond the drain: to flush audit and metrics before SIGKILL


class State(enum.Enum):
    """What a slot is doing."""

    RUNNING = "running"
    WAITING = "waiting"  # crashed, restarts soon
    STOPPED = "stopped"


@dataclass(slots=True)
class Slot:
    """One worker's place: processes come and go, the index and its socket stay."""

    index: int
    state: State = State.STOPPED
    child: Child | None = None
    streak: int = 0  # crashes in a row
    restarts: int = 0
    last_exit: int | None = None

    @property
    def looping(self) -> bool:
        """Whether it crashes again and again: somebody should look."""
        return self.streak >= backoff.LOOP


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """`run` returns when all workers have ended after `stop`."""

    workers: int
    launch: Callable[[int], Launch]
    drain_s: float
    clock: Clock
    chance: Callable[[], float]  # random.random, or a test's own
    restarted: Callable[[int], None]  # told the index of every worker that is started again
    buried: Callable[[int], None]  # told the pid of every process that has ended
    what: str = "worker"  # how the log calls them
    slots: list[Slot] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Start every worker and keep it running until `stop`."""
        self.slots = [Slot(index) for index in range(self.workers)]
        async with asyncio.TaskGroup() as group:
            for slot in self.slots:
                group.create_task(self._keep(slot), name=f"worker-{slot.index}")

    def stop(self) -> None:
        """Let every worker finish what it has begun; none is restarted."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def tell(self, number: int) -> None:
        """Forward a signal to every running worker."""
        for slot in self.slots:
            if slot.child is not None:
                slot.child.tell(number)

    async def _keep(self, slot: Slot) -> None:
        while not self.stopping:
            started = self.clock.monotonic()
            try:
                slot.child = await child.start(self.launch(slot.index))
            except OSError as failure:  # no memory or process left: as bad as a crash, and may pass like one
                _log.error(f"{self.what}_not_started", worker=slot.index, reason=failure.strerror)
            else:
                await self._watch(slot, slot.child)
            if not self.stopping:
                await self._pause(slot, self.clock.monotonic() - started)
        slot.state = State.STOPPED

    async def _watch(self, slot: Slot, process: Child) -> None:
        """Until the process has ended, by itself or because we stop."""
        slot.state = State.RUNNING
        _log.info(f"{self.what}_started", worker=slot.index, pid=process.pid)
        await _first(process.process.wait(), self._stopping.wait())
        if not process.ended:
            await self._drain(slot, process)
        self.buried(process.pid)
        slot.last_exit = process.process.returncode
        slot.child = None

    async def _drain(self, slot: Slot, process: Child) -> None:
        if not await process.end(self.drain_s + _KILL_MARGIN_S):
            _log.error(f"{self.what}_killed", worker=slot.index, pid=process.pid, after_s=self.drain_s + _KILL_MARGIN_S)

    async def _pause(self, slot: Slot, lived_s: float) -> None:
        slot.streak = backoff.streak_after(slot.streak, lived_s)
        slot.restarts += 1
        self.restarted(slot.index)
        slot.state = State.WAITING
        pause_s = backoff.pause_s(slot.streak, self.chance())
        _log.error(
            f"{self.what}_crash_loop" if slot.looping else f"{self.what}_crashed",
            worker=slot.index,
            exit=_exit_name(slot.last_exit),
            lived_s=round(lived_s, 1),
            crashes_in_a_row=slot.streak,
            restart_in_s=round(pause_s, 1),
        )
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return


async def _first(*waits: Awaitable[object]) -> None:
    """Return when the first of `waits` does; the others are cancelled."""
    tasks = [spawn(_awaited(wait), "supervisor-wait") for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _awaited(wait: Awaitable[object]) -> object:
    return await wait


def _exit_name(code: int | None) -> str:
    """A return code as operators know it: negative ones are signals (subprocess, "returncode")."""
    if code is None or code >= 0:
        return str(code)
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
