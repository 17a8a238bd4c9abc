"""How long a revocation takes: from writing it to the refusal by every worker, and to the end of streams that run.

Claims: bench/README.md, "Revocation". The gateway is `ostiary up` with four workers; revocations are written into its
registry as control writes them. Each worker is asked over its own socket, a Check every two milliseconds or so, which
is the resolution. "lost" publishes to a channel that nobody hears, so that only the workers' polls can find it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
import time
import timeit
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from unittest import mock

import grpc.aio
import rig
import uvloop
from gateway_bench import body, ostiary

from control.revocations import Revocations
from extproc.roster import Roster
from gateway import apikey
from gateway.clock import SystemClock
from gateway.errors import GatewayError
from gateway.identity import Caller
from gateway.policy.model import Limits, Policy
from gateway.registry import valkey
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from gateway.revocation import record
from gateway.revocation.book import RevocationBook
from gateway.revocation.mark import What
from gateway.revocation.record import Revocation
from gateway.secrets import reference
from gateway.valkey import connect
from protos.ext_authz_pb2 import CheckRequest, CheckResponse

WORKERS: Final = 4
STREAMS: Final = 40
PACE_MS: Final = 200  # between deltas: 64 of them are longer than a round takes
_BETWEEN_S: Final = 0.001  # between two questions to one worker, so that asking does not fill two cores
_CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"


def check_request(key: str) -> bytes:
    """A Check as Envoy sends it."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path = "POST", "/v1/chat/completions"
    http.header_map.headers.add(key="authorization", raw_value=f"Bearer {key}".encode())
    return message.SerializeToString()


class Worker:
    """One worker's authz, asked directly."""

    def __init__(self, path: Path, key: str) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{path}")
        self._check: Callable[[bytes], Any] = self._channel.unary_unary(_CHECK, None, None)
        self._request = check_request(key)

    async def until(self, *, refused: bool) -> float:
        """The moment at which it answers so."""
        while True:
            answer = CheckResponse.FromString(await self._check(self._request))
            if (answer.WhichOneof("http_response") == "denied_response") is refused:
                return time.perf_counter()
            await asyncio.sleep(_BETWEEN_S)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close(None)


class Stream:
    """One client in the middle of an answer."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._context = ssl.create_default_context(cafile=str(told["ca"]))

    async def open(self) -> None:
        """Ask, and read until the first words are there."""
        port = int(self._told["port"])
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=self._context, server_hostname="localhost"
        )
        data = body(1, stream=True).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._told['key']}\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        self._writer.write(head.encode() + data)
        await self._reader.readuntil(b"word0")

    async def cut(self) -> float:
        """The moment at which the error event was read."""
        await self._reader.readuntil(b"credential_revoked")
        return time.perf_counter()

    def close(self) -> None:
        """Leave."""
        self._writer.close()


async def refusals(workers: Sequence[Worker], operator: Revocations, key_id: str, rounds: int) -> list[float]:
    """Seconds from before the write to each worker's first refusal."""
    took = []
    for _ in range(rounds):
        asked = [asyncio.ensure_future(worker.until(refused=True)) for worker in workers]
        await asyncio.sleep(0.02)  # every worker is being asked when it happens
        began = time.perf_counter()
        entry, _ = await operator.revoke(What.KEY, "", key_id, reason="bench", actor="bench")
        took += [at - began for at in await asyncio.gather(*asked)]
        await operator.lift(entry.mark)
        await asyncio.gather(*(worker.until(refused=False) for worker in workers))
    return took


async def cuts(
    told: dict[str, Any], workers: Sequence[Worker], operator: Revocations, key_id: str, rounds: int
) -> list[float]:
    """Seconds from before the write to the moment each of the open streams was told."""
    took = []
    for _ in range(rounds):
        streams = [Stream(told) for _ in range(STREAMS)]
        await asyncio.gather(*(stream.open() for stream in streams))
        ends = [asyncio.ensure_future(stream.cut()) for stream in streams]
        await asyncio.sleep(0)
        began = time.perf_counter()
        entry, _ = await operator.revoke(What.KEY, "", key_id, reason="bench", actor="bench")
        took += [at - began for at in await asyncio.gather(*ends)]
        for stream in streams:
            stream.close()
        await operator.lift(entry.mark)
        await asyncio.gather(*(worker.until(refused=False) for worker in workers))
    return took


async def measure(told: dict[str, Any], state: Path, rounds: int) -> dict[str, list[float]]:
    """Every figure of the running gateway."""
    client = connect(f"unix://{state / 'run' / 'valkey.sock'}", retries=0)
    registry = ValkeyRegistry(client, Seals(reference.peppers(state / "secrets" / "peppers")))
    operator = Revocations(registry, SystemClock())
    form = apikey.FORM.fullmatch(told["key"])
    assert form is not None
    key_id = form.group(1)
    workers = [Worker(state / "run" / f"worker-{index}.sock", told["key"]) for index in range(WORKERS)]
    await asyncio.gather(*(worker.until(refused=False) for worker in workers))
    found = {"first refusal by each worker": await refusals(workers, operator, key_id, rounds)}
    found[f"end of {STREAMS} open streams"] = await cuts(told, workers, operator, key_id, max(3, rounds // 10))
    with mock.patch.object(valkey, "CHANNEL", "nobody listens here"):
        lost = await refusals(workers, operator, key_id, max(3, rounds // 4))
    found["first refusal, message lost"] = lost
    for worker in workers:
        await worker.close()
    await client.aclose()
    return found


# --- in one process ----
_CALLER: Final = Caller(
    tenant="acme", principal="alice", key_id="k1", scopes=(), policy="p", request_id="r", client="batch",
    certificate="ab" * 32, issued_at=1_000,
)  # fmt: skip


class Guest:
    """An exchange that hears of nothing."""

    __slots__ = ("caller",)

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def revoke(self, error: GatewayError) -> None:
        """See `extproc.roster.Guest`."""


def book_figures() -> dict[str, float]:
    """Microseconds and MiB of the worker's own parts."""
    clock = SystemClock()
    book = RevocationBook(clock, lambda: clock.monotonic() * 0)
    policy = Policy(version="p", name="p", tenants={}, keys={}, models={}, backends={}, limits=Limits())
    found = {"judge, nothing revoked, µs": _us(lambda: book.judge(_CALLER, policy))}
    roster = Roster(book.revoked)
    guests = [Guest(_CALLER) for _ in range(1000)]
    for guest in guests[1:]:
        roster.enter(guest)

    def pass_through() -> None:
        roster.enter(guests[0])
        roster.leave(guests[0])

    found["roster, in and out, µs"] = _us(pass_through)
    marks = [f"key:jwt:{number:016x}" for number in range(10_000)]
    entries = [(mark, _written(mark)) for mark in marks]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for mark, value in entries:
        book.apply(mark, value)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    found["10,000 revocations in the book, MiB"] = (after - before) / 2**20
    found["judge, 10,000 tokens revoked, µs"] = _us(lambda: book.judge(_CALLER, policy))
    for mark in ("tenant:x", "subject:x/y", "client:x/y", f"certificate:{'cd' * 32}"):
        book.apply(mark, _written(mark))
    found["judge, every kind of mark revoked, µs"] = _us(lambda: book.judge(_CALLER, policy))
    found["looking through 1,000 open exchanges, µs"] = _us(lambda: [book.revoked(one.caller) for one in guests], 200)
    return found


def _written(mark: str) -> bytes:
    return record.write(Revocation(mark=mark, reason="token in a build log, ticket 4711", actor="ada (uid:1000)", at=1))


def _us(call: Callable[[], object], times: int = 100_000) -> float:
    return min(timeit.repeat(call, number=times, repeat=5)) / times * 1e6


# --- the table ----
def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def table(found: dict[str, list[float]], alone: dict[str, float]) -> Iterator[str]:
    """Two Markdown tables."""
    yield f"| from the write to | p50 ms | p99 ms | most ms | samples |\n{'|---' * 5}|"
    for name, values in found.items():
        p50, p99, most = (
            f"{value * 1000:.1f}" for value in (percentile(values, 0.5), percentile(values, 0.99), max(values))
        )
        yield f"| {name} | {p50} | {p99} | {most} | {len(values)} |"
    yield f"\n| within a worker | measured |\n{'|---' * 2}|"
    for name, value in alone.items():
        yield f"| {name} | {value:.2f} |"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also every sample")
    options = parser.parse_args()
    alone = book_figures()
    with tempfile.TemporaryDirectory(prefix="ostm") as name, contextlib.ExitStack() as stack:
        work = Path(name)
        port = rig.free_port()
        upstream = [sys.executable, str(rig.HERE / "upstream.py"), str(port), str(PACE_MS)]
        stack.enter_context(rig.process(upstream, work / "upstream.log"))
        rig.wait_port(port)
        told = stack.enter_context(ostiary(work / "s", port, WORKERS))
        found = uvloop.run(measure(told, work / "s", options.rounds))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {WORKERS} workers, "
          f"commit {commit.stdout.strip()}\n")  # fmt: skip
    print("\n".join(table(found, alone)))
    if options.json:
        options.json.write_text(json.dumps({"seconds": found, "alone": alone}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
