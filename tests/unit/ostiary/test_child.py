"""Child processes: environment, log, end."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from ostiary.child import Launch, start, tail


def launch(program, log, **environ):
    return Launch(name="c", command=[sys.executable, "-c", program], environ=environ, log=log)


async def until(probe):
    async with asyncio.timeout(20):
        while not probe():
            await asyncio.sleep(0.01)


async def test_it_gets_the_environment_it_was_given_and_nothing_else(tmp_path):
    log = tmp_path / "log"
    child = await start(launch("import os; print(sorted(os.environ))", log, ONLY="1"))
    await child.process.wait()
    assert "'ONLY'" in child.tail()
    assert "'PATH'" not in child.tail()
    assert log.stat().st_mode & 0o777 == 0o600


async def test_it_has_a_session_and_a_strict_umask_of_its_own(tmp_path):
    child = await start(launch("import os; print(os.getsid(0), os.umask(0))", tmp_path / "log"))
    await child.process.wait()
    assert child.tail() == f"{child.pid} {0o077}"


@pytest.mark.parametrize(
    ("program", "asked"), [("pass", True), ("import signal; signal.signal(15, signal.SIG_IGN)", False)]
)
async def test_end_asks_and_then_insists(tmp_path, program, asked):
    child = await start(launch(f"{program}\nprint(1, flush=True)\nimport time\ntime.sleep(60)", tmp_path / "log"))
    await until(child.tail)
    assert await child.end(5.0 if asked else 0.1) is asked
    assert child.ended
    assert child.process.returncode == (-signal.SIGTERM if asked else -signal.SIGKILL)


async def test_insisting_reaches_what_the_child_started(tmp_path):
    program = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""
    child = await start(launch(program, tmp_path / "log"))
    await until(child.tail)
    await child.end(0.1)
    grandchild = int(child.tail())
    await until(lambda: ended(grandchild))


def ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_ending_twice_is_no_error(tmp_path):
    child = await start(launch("pass", tmp_path / "log"))
    await child.process.wait()
    assert await child.end(1.0)
    child.tell(signal.SIGHUP)


def test_the_tail_is_the_end_of_the_log(tmp_path):
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_bytes(b"x" * 10_000 + os.linesep.encode() + b"last \xff words\n")
    assert tail(log).endswith("last \N{REPLACEMENT CHARACTER} words")
    assert len(tail(log)) < 5000
