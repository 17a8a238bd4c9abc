"""A thousand exchanges over four processes race for one budget, while one of them is killed and Valkey is restarted."""

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import budget_worker
import valkey_server
from budget_worker import CHUNK, KEYED, LIMIT, SUBJECTS, part_of
from gateway.budgets.model import key_of
from gateway.budgets.oracle import Want
from gateway.budgets.store import ValkeyStore
from gateway.budgets.window import meter_of
from gateway.script import Pipe

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")  # what was acknowledged outlives a restart


async def test_spent_stays_within_the_limit_and_equals_what_was_settled(tmp_path_factory):
    directory = tmp_path_factory.mktemp("r")
    journals = [directory / f"journal{n}" for n in range(4)]
    async with AsyncExitStack() as stack:
        first = stack.enter_context(valkey_server.running(directory, *DURABLE))
        workers = [stack.enter_context(_worker(first, n, journals[n])) for n in range(4)]
        await _until(lambda: _lines(journals) > 120)
        workers[0].kill()
        # On a busy machine the limit may be spent, and the others gone, before so much is on record.
        await _until(lambda: _lines(journals) > 200 or all(worker.poll() is not None for worker in workers[1:]))
        first.process.kill()
        first.process.wait()
        with valkey_server.running(directory, *DURABLE) as server:
            for worker in workers[1:]:
                _, errors = await asyncio.to_thread(worker.communicate, None, 120)
                assert worker.returncode == 0, errors[-2000:]
            settled = [one for journal in journals for one in _charges(journal)]
            assert len({one[0] for one in settled}) == len(settled)

            client = server.client()
            stack.push_async_callback(client.aclose)
            store = ValkeyStore(Pipe(client))
            # What the killed one had on record and had not sent; of what it had sent this changes nothing.
            for name, _, _, parts, _ in _charges(journals[0]):
                await store.settle(name, [part_of(part) for part in parts])
            used, held = await _standing(store, LIMIT, SUBJECTS[0])
            assert used == sum(one[1] for one in settled)
            beyond = CHUNK * sum(one[1] > one[2] for one in settled)
            # A hold that has ended is no longer kept free; on a loaded machine some end before their exchanges.
            beyond += sum(one[1] for one in settled if one[4])
            assert LIMIT.amount / 2 < used <= LIMIT.amount + beyond
            for subject in SUBJECTS:
                keyed, _ = await _standing(store, KEYED, subject)
                assert keyed <= KEYED.amount + beyond
            # What the killed one held comes back by itself.
            async with asyncio.timeout(60):
                while held:
                    await asyncio.sleep(0.2)
                    _, held = await _standing(store, LIMIT, SUBJECTS[0])


async def _standing(store, limit, subject):
    answer = await store.reserve([Want(key_of(limit, subject), meter_of(limit), 0, 0)], 1000, lambda _: None)
    return answer.figures[0].used, answer.figures[0].held


def _worker(server, number: int, journal: Path) -> "subprocess.Popen[str]":
    journal.touch()
    command = [sys.executable, budget_worker.__file__, str(server.socket), f"w{number}", "250", str(journal)]
    return _Ended(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


class _Ended(subprocess.Popen):
    """Ends with its block, however the test ended."""

    def __exit__(self, *details):
        self.kill()
        super().__exit__(*details)


def _lines(journals: list[Path]) -> int:
    return sum(journal.read_bytes().count(b"\n") for journal in journals)


def _charges(journal: Path) -> list[list]:
    """The last one of each exchange. The killed process may have left half a line, of what it had not sent."""
    last = {}
    for line in journal.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            one = json.loads(line)
            last[one[0]] = one
    return list(last.values())


async def _until(condition) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.02)
