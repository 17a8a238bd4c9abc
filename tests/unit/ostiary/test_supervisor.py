"""The supervisor with real processes: trivial Python programs stand for workers."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from ostiary.child import Launch
from ostiary.supervisor import State, Supervisor

STEADY = """
import pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
def drained(*_):
    (place / "drained").touch()
    raise SystemExit(0)
signal.signal(signal.SIGTERM, drained)
signal.signal(signal.SIGHUP, lambda *_: (place / "reloaded").touch())
(place / "ready").touch()
while True:
    time.sleep(60)
"""
STUBBORN = STEADY.replace("drained)", "signal.SIG_IGN)")
CRASHING = "raise SystemExit(3)"


class Clock:
    """Time that stands still: every crash looks like one at start-up."""

    def now(self):
        return 0.0

    def monotonic(self):
        return 0.0


@asynccontextmanager
async def supervised(tmp_path, program, workers=1, drain_s=5.0):
    buried = []

    def launch(index):
        place = tmp_path / str(index)
        place.mkdir(exist_ok=True)
        return Launch(name="w", command=[sys.executable, "-c", program, str(place)], environ={}, log=tmp_path / "log")

    supervisor = Supervisor(
        workers=workers,
        launch=launch,
        drain_s=drain_s,
        clock=Clock(),
        chance=lambda: 0.0,
        restarted=lambda _: None,
        buried=buried.append,
    )
    running = asyncio.get_running_loop().create_task(supervisor.run())
    try:
        yield supervisor, buried
    finally:
        supervisor.stop()
        await asyncio.wait_for(running, 30)


async def until(probe):
    async with asyncio.timeout(20):
        while not probe():
            await asyncio.sleep(0.01)


async def test_stop_lets_every_worker_drain(tmp_path):
    async with supervised(tmp_path, STEADY, workers=2) as (supervisor, buried):
        await until(lambda: all((tmp_path / str(i) / "ready").exists() for i in range(2)))
    assert [(tmp_path / str(i) / "drained").exists() for i in range(2)] == [True, True]
    assert [slot.state for slot in supervisor.slots] == [State.STOPPED] * 2
    assert len(buried) == 2
    assert [slot.restarts for slot in supervisor.slots] == [0, 0]


async def test_a_killed_worker_comes_back_and_its_pid_is_buried(tmp_path):
    async with supervised(tmp_path, STEADY) as (supervisor, buried):
        ready = tmp_path / "0" / "ready"
        await until(ready.exists)
        first = supervisor.slots[0].child.pid
        ready.unlink()
        os.kill(first, signal.SIGKILL)
        await until(ready.exists)
        assert buried == [first]
        assert supervisor.slots[0].child.pid != first
        assert (supervisor.slots[0].restarts, supervisor.slots[0].last_exit) == (1, -signal.SIGKILL)


async def test_a_crash_loop_is_visible_and_stops_at_once_when_told(tmp_path):
    async with supervised(tmp_path, CRASHING) as (supervisor, buried):
        await until(lambda: supervisor.slots and supervisor.slots[0].streak >= 2)
        assert supervisor.slots[0].last_exit == 3
        assert not supervisor.slots[0].looping
        supervisor.slots[0].streak = 100
        assert supervisor.slots[0].looping
    assert len(buried) >= 2


async def test_a_worker_that_will_not_drain_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("ostiary.supervisor._KILL_MARGIN_S", 0.0)
    async with supervised(tmp_path, STUBBORN, drain_s=0.2) as (supervisor, _):
        await until((tmp_path / "0" / "ready").exists)
    assert supervisor.slots[0].last_exit == -signal.SIGKILL


async def test_signals_are_forwarded(tmp_path):
    async with supervised(tmp_path, STEADY) as (supervisor, _):
        await until((tmp_path / "0" / "ready").exists)
        supervisor.tell(signal.SIGHUP)
        await until((tmp_path / "0" / "reloaded").exists)


async def test_a_program_that_is_not_there_is_a_crash_with_a_reason(tmp_path):
    log = tmp_path / "log"
    launch = Launch(name="w", command=["/nonexistent/program"], environ={}, log=log)
    supervisor = Supervisor(
        workers=1,
        launch=lambda _: launch,
        drain_s=1.0,
        clock=Clock(),
        chance=lambda: 0.0,
        restarted=lambda _: None,
        buried=lambda _: None,
    )
    running = asyncio.get_running_loop().create_task(supervisor.run())
    await until(lambda: supervisor.slots and supervisor.slots[0].streak)
    supervisor.stop()
    await asyncio.wait_for(running, 30)
    assert "cannot start /nonexistent/program: No such file" in log.read_text()


async def test_workers_end_when_the_supervisor_is_killed(tmp_path):
    """SIGKILL leaves no chance to clean up: the kernel tells the children."""
    program = f"""
import asyncio, os, sys
from ostiary.child import Launch, start
async def main():
    command = [sys.executable, "-c", {STEADY!r}, {str(tmp_path)!r}]
    child = await start(Launch(name="w", command=command, environ={{}}))
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE
    )
    child = int(await parent.stdout.readline())
    await until((tmp_path / "ready").exists)
    parent.kill()
    await parent.wait()
    await until((tmp_path / "drained").exists)
    await until(lambda: not alive(child))


def alive(pid):
    """Whether the process runs. A zombie that nobody reaps counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
