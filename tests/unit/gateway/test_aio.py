import asyncio
import gc
import socket
import time
import weakref

import pytest
from structlog.testing import capture_logs

from gateway import aio
from ostiary.loop import Loop


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


LOOPS = {"asyncio": asyncio.new_event_loop, "worker": Loop}


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_that_came_while_the_loop_was_held_up_is_in_time(loop):
    async def scenario():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)

            def hold_up():
                theirs.send(b"x")
                time.sleep(0.1)  # the matter of this test: the loop does something else, past the deadline

            asyncio.get_running_loop().call_soon(hold_up)
            async with aio.within(0.02):
                return await asyncio.get_running_loop().sock_recv(ours, 1)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(scenario()) == b"x"


@pytest.mark.parametrize("held_up", [False, True])
async def test_an_answer_that_does_not_come_is_a_timeout(held_up):
    if held_up:
        asyncio.get_running_loop().call_soon(time.sleep, 0.1)
    with pytest.raises(TimeoutError):
        async with aio.within(0.02):
            await asyncio.Event().wait()


async def test_who_is_cancelled_within_a_limit_is_cancelled():
    async def waits():
        async with aio.within(20):
            await asyncio.Event().wait()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
