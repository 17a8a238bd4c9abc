"""Tasks that cannot vanish: started with a reference, ended with a wait. Holds no queue and no pool.

asyncio keeps only weak references to tasks, so one that nobody holds may be collected while it runs, and an
exception in it is told only then, if ever (Python documentation, "asyncio.create_task", note).
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

import structlog

_T = TypeVar("_T")
_log: Final = structlog.get_logger(__name__)
_alive: Final[set["asyncio.Task[Any]"]] = set()


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
