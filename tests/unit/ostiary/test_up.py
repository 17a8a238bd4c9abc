"""Parts of `ostiary up` that need no Envoy; tests/integration/test_up.py runs the whole."""

import asyncio
import socket
import sys

import pytest

from ostiary import up
from ostiary.child import Launch
from ostiary.problem import Problem


class Clock:
    def now(self):
        return 0.0

    def monotonic(self):
        return 0.0


def wishes(tmp_path, **changes):
    default = {"state": tmp_path, "port": 0, "workers": 1, "backend": None, "credential_file": None, "demo": True}
    return up.Wishes(**default, check=False, as_json=False, **changes)


def launch(program, tmp_path):
    return Launch(name="part", command=[sys.executable, "-c", program], environ={}, log=tmp_path / "log")


async def whole(tmp_path, program, ready):
    running = up.Up(wishes(tmp_path), Clock())
    try:
        await running.part(launch(program, tmp_path), ready)
        await running.watch()
    finally:
        await running.end()
        assert all(part.ended for part in running.parts)


async def at_once():
    return "ready"


async def never():
    raise ConnectionRefusedError


async def test_a_part_that_dies_before_it_is_ready_is_told_with_its_last_words(tmp_path):
    with pytest.raises(Problem, match=r"part ended \(exit 3\)[\s\S]*the reason") as failure:
        await whole(tmp_path, "import sys; print('the reason'); sys.exit(3)", never)
    assert failure.value.hint == f"The whole log: {tmp_path / 'log'}"


async def test_a_part_that_dies_later_is_told_as_well(tmp_path):
    with pytest.raises(Problem, match=r"part ended \(exit 4\)"):
        await whole(tmp_path, "import sys; sys.stdin.read(); sys.exit(4)", at_once)


async def test_a_part_that_never_gets_ready_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(up, "_PATIENCE_S", 0.1)
    with pytest.raises(Problem, match="part is not ready after 0 s"):
        await whole(tmp_path, "import time; time.sleep(60)", never)


async def test_a_stop_while_waiting_is_an_interrupt(tmp_path):
    running = up.Up(wishes(tmp_path), Clock())
    running.stop.set()
    with pytest.raises(up.Interrupted):
        await running.part(launch("import time; time.sleep(60)", tmp_path), never)
    await running.end()


async def test_stop_ends_the_watch_quietly(tmp_path):
    running = up.Up(wishes(tmp_path), Clock())
    await running.part(launch("import time; time.sleep(60)", tmp_path), at_once)
    asyncio.get_running_loop().call_soon(running.stop.set)
    await running.watch()
    await running.end()
    assert running.parts[0].ended


def test_a_free_port_is_found_and_a_taken_one_told():
    assert up.reserve(0) > 0
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Problem, match="already in use") as failure:
        up.reserve(taken.getsockname()[1])
    assert "--port 0" in failure.value.hint


@pytest.mark.parametrize(
    ("began_on_one", "has_one", "follows", "edited"),
    [
        (True, True, True, True),  # somebody has edited the policy
        (True, False, True, False),  # the terminal was closed
        (False, False, True, True),  # there never was one
        (True, True, False, False),  # not everything is up yet
    ],
)
def test_a_hangup_is_an_edit_unless_the_terminal_is_gone(tmp_path, monkeypatch, began_on_one, has_one, follows, edited):
    monkeypatch.setattr(up, "_has_terminal", lambda: has_one)
    running = up.Up(wishes(tmp_path), Clock(), on_terminal=began_on_one, follows=follows)
    running.hung_up()
    assert (running.edited.is_set(), running.stop.is_set()) == (edited, not edited)
