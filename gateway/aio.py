"""Tasks that cannot vanish: started with a reference, ended with a wait. Holds no queue and no pool.

asyncio keeps only weak references to tasks, so one that nobody holds may be collected while it runs, and an
exception in it is told only then, if ever (Python documentation, "asyncio.create_task", note).
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Final, TypeVar

import structlog

_T = TypeVar("_T")
_log: Final = structlog.get_logger(__name__)
_alive: Final[set["asyncio.Task[Any]"]] = set()

_LATE_S: Final = 0.01  # a timer that comes so late found the loop at other work
_GRACE_S: Final = 0.05  # for what came in meanwhile: a round of reading, and the work that had piled up


def spawn(
    coro: Coroutine[Any, Any, _T],
    name: str,
    *,
    on_crash: Callable[[BaseException], None] | None = None,
) -> "asyncio.Task[_T]":
    """Start `coro` on the running loop, hold it until it ends, and log it if it crashes.

    `on_crash` is for tasks whose end must end something else, such as the worker. Cancellation is no crash.
    """
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _alive.add(task)
    task.add_done_callback(partial(_ended, on_crash))
    return task


def _ended(on_crash: Callable[[BaseException], None] | None, task: "asyncio.Task[Any]") -> None:
    _alive.discard(task)
    if task.cancelled():
        return
    crash = task.exception()
    if crash is None:
        return
    _log.error("task_crashed", task=task.get_name(), exc_info=crash)
    if on_crash is not None:
        on_crash(crash)


async def cancel_and_wait(*tasks: "asyncio.Task[Any]", within_s: float | None = None) -> bool:
    """Cancel `tasks` and wait until each has ended. False when some still run after `within_s`.

    Their exceptions are not raised here (`spawn` logs them); a cancellation of the caller is never swallowed.
    """
    for task in tasks:
        task.cancel()
    if not tasks:
        return True
    _, pending = await asyncio.wait(tasks, timeout=within_s)
    return not pending


class within:  # noqa: N801  # reads as a word in `async with`, like asyncio.timeout
    """`asyncio.timeout` for others' answers: what this loop itself was late is not counted against them.

    A loop that was held up, by a large body or a busy machine, runs its timers before it reads its sockets. Everybody
    who waited would be told that nobody answered, while the answers lie there.
    """

    __slots__ = ("_due_s", "_handle", "_limit", "_loop", "_within_s")

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s

    async def __aenter__(self) -> None:
        """Start the clock. Raises TimeoutError out of the block when the time is over."""
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self._due_s = self._loop.time() + self._within_s
        self._handle = self._loop.call_at(self._due_s, self._over)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._handle.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _over(self) -> None:
        now_s = self._loop.time()
        self._limit.reschedule(now_s + _GRACE_S if now_s - self._due_s > _LATE_S else now_s)
