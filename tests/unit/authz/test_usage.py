"""When keys were last used: noted in memory, written now and then, lost rather than waited for."""

import asyncio

import pytest
from structlog.testing import capture_logs

from authz import usage
from authz.usage import LastUse
from clocks import ManualClock
from gateway.registry.last_used import MemoryLastUsed
from gateway.registry.model import RegistryError

NOW = 1_800_000_000
A, B = "aaaa00000001", "bbbb00000001"


class Failing(MemoryLastUsed):
    """Fails so many times, then works."""

    def __init__(self, times: int, failure: Exception) -> None:
        super().__init__()
        self.left, self.failure, self.calls = times, failure, 0

    async def note(self, times):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.failure
        await super().note(times)


def last_use(writer, holds=lambda _: True) -> tuple[LastUse, ManualClock]:
    clock = ManualClock(now=NOW + 0.7)
    return LastUse(writer, holds, clock), clock


async def test_the_last_time_counts():
    writer = MemoryLastUsed()
    noted, clock = last_use(writer)
    noted.used(A)
    clock.advance(5)
    noted.used(A)
    noted.used(B)
    await noted.flush()
    assert writer.times == {A: NOW + 5, B: NOW + 5}


async def test_nothing_is_kept_of_keys_of_the_policy():
    writer = MemoryLastUsed()
    noted, _ = last_use(writer, lambda key_id: key_id == A)
    noted.used(A)
    noted.used(B)
    await noted.flush()
    assert writer.times == {A: NOW}


async def test_nothing_new_is_not_written():
    writer = Failing(0, RegistryError("away"))
    noted, _ = last_use(writer)
    await noted.flush()
    noted.used(A)
    await noted.flush()
    await noted.flush()
    assert writer.calls == 1


@pytest.mark.parametrize("failure", [RegistryError("away"), TimeoutError()])
async def test_what_could_not_be_written_is_written_the_next_time(failure):
    writer = Failing(1, failure)
    noted, clock = last_use(writer)
    noted.used(A)
    noted.used(B)
    with capture_logs() as told:
        await noted.flush()
    assert [line["event"] for line in told] == ["last_used_not_written"]
    clock.advance(5)
    noted.used(B)
    await noted.flush()
    assert writer.times == {A: NOW, B: NOW + 5}


async def test_memory_is_bounded_and_known_keys_are_still_noted(monkeypatch):
    monkeypatch.setattr(usage, "_MOST", 1)
    writer = MemoryLastUsed()
    noted, clock = last_use(writer)
    noted.used(A)
    noted.used(B)
    clock.advance(5)
    noted.used(A)
    await noted.flush()
    assert writer.times == {A: NOW + 5}


async def test_the_task_writes_again_and_again(monkeypatch):
    monkeypatch.setattr(usage, "_PAUSE_S", 0)
    writer = MemoryLastUsed()
    noted, _ = last_use(writer)
    task = asyncio.get_running_loop().create_task(noted.run())
    for key_id in (A, B):
        noted.used(key_id)
        async with asyncio.timeout(5):
            while key_id not in writer.times:
                await asyncio.sleep(0)
    task.cancel()


async def test_what_is_cut_off_by_the_end_is_written_by_the_last_flush():
    class Slow(MemoryLastUsed):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.let = asyncio.Event(), asyncio.Event()

        async def note(self, times):
            self.begun.set()
            await self.let.wait()
            await super().note(times)

    writer = Slow()
    noted, _ = last_use(writer)
    noted.used(A)
    task = asyncio.get_running_loop().create_task(noted.flush())
    await writer.begun.wait()
    task.cancel()
    await asyncio.wait([task])
    writer.let.set()
    await noted.flush()
    assert writer.times == {A: NOW}
