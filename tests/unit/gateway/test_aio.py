import asyncio
import gc
import weakref

import pytest
from structlog.testing import capture_logs

from gateway import aio


async def test_a_spawned_task_survives_garbage_collection_without_a_holder():
    gate = asyncio.Event()
    ended = asyncio.Event()

    async def work():
        await gate.wait()
        ended.set()

    reference = weakref.ref(aio.spawn(work(), "work"))
    await asyncio.sleep(0)
    gc.collect()
    assert reference() is not None
    gate.set()
    async with asyncio.timeout(5):
        await ended.wait()


async def test_an_ended_task_is_let_go():
    task = aio.spawn(asyncio.sleep(0), "short")
    await task
    await asyncio.sleep(0)
    assert task not in aio._alive


async def test_a_crash_is_logged_with_the_task_name_and_told_to_the_caller():
    crashes = []

    async def crash():
        raise LookupError("gone")

    with capture_logs() as logs:
        task = aio.spawn(crash(), "doomed", on_crash=crashes.append)
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [(line["event"], line["task"], line["log_level"]) for line in logs] == [
        ("task_crashed", "doomed", "error"),
    ]
    assert [type(crash) for crash in crashes] == [LookupError]


async def test_cancellation_is_no_crash():
    crashes = []
    with capture_logs() as logs:
        task = aio.spawn(asyncio.Event().wait(), "waiting", on_crash=crashes.append)
        assert await aio.cancel_and_wait(task)
        await asyncio.sleep(0)
    assert task.cancelled()
    assert (logs, crashes) == ([], [])


async def test_cancel_and_wait_lets_tasks_finish_their_clean_up_and_keeps_their_crash_to_itself():
    steps = []
    started = asyncio.Event()

    async def tidy():
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("closed")
            raise OSError("while closing")

    with capture_logs():
        task = aio.spawn(tidy(), "tidy")
        await started.wait()
        assert await aio.cancel_and_wait(task)
    assert steps == ["closed"]


async def test_cancel_and_wait_reports_a_task_that_refuses_to_end():
    release = asyncio.Event()
    started = asyncio.Event()

    async def stubborn():
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = aio.spawn(stubborn(), "stubborn")
    await started.wait()
    assert not await aio.cancel_and_wait(task, within_s=0)
    release.set()
    await task


async def test_a_cancelled_caller_of_cancel_and_wait_is_really_cancelled():
    release = asyncio.Event()
    started = asyncio.Event()

    async def slow_to_end():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    task = aio.spawn(slow_to_end(), "slow")
    await started.wait()
    caller = aio.spawn(aio.cancel_and_wait(task), "caller")
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    await asyncio.wait([task])


async def test_nothing_to_cancel_is_fine():
    assert await aio.cancel_and_wait()
