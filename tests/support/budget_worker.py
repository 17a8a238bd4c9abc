"""One of the processes that race for a budget: many exchanges at once, some of which are left or cut; keeps a journal.

Run as a program: budget_worker.py SOCKET NAME EXCHANGES JOURNAL. Each line of the journal is a charge, written before it is
sent, as an audit record is: whatever becomes of this process, the last one of an exchange can be sent again.
"""

import asyncio
import json
import random
import sys
from pathlib import Path

from gateway.budgets.exact import ExactBudgets, parts_of
from gateway.budgets.model import PER_MONTH, Amounts, Ask, Dimension, Limit, Reservation, Reserved, Resource, Subject
from gateway.budgets.oracle import Part
from gateway.budgets.share import LocalShare
from gateway.budgets.store import ValkeyStore
from gateway.budgets.window import Meter
from gateway.clock import SystemClock
from gateway.script import Pipe
from gateway.valkey import connect

LIMIT = Limit("race", (Dimension.TENANT,), Resource.TOKENS, 100_000, PER_MONTH)
KEYED = Limit("each", (Dimension.KEY,), Resource.TOKENS, 60_000, PER_MONTH)
SUBJECTS = [Subject("acme", key=f"k{n}") for n in range(3)]
ASKED = 500
CHUNK = 20  # most tokens of a chunk
HOLD_S = 6.0
LATE_S = 3.0  # so near its end a hold may be gone before its settlement arrives


def part_of(fields: list) -> Part:
    """Out of a journal."""
    key, meter, *numbers = fields
    return Part(key, Meter(*meter), *numbers)


async def main(socket: str, name: str, exchanges: int, journal: Path) -> None:
    clock, client, chance = SystemClock(), connect(f"unix://{socket}"), random.Random(name)  # noqa: S311 -- no secret
    share = LocalShare(lambda: int(clock.now() * 1000), workers=4)
    store = ValkeyStore(Pipe(client))
    budgets = ExactBudgets(store, share, clock, name, chance.random, deadline_s=10.0, hold_s=HOLD_S, first_open_s=0.05)
    with journal.open("a", buffering=1) as lines:

        def write(reservation: Reservation, used: int, granted: int) -> None:
            parts = parts_of(reservation, Amounts(0, used, 0))
            late = clock.monotonic() > reservation.expires_at - LATE_S
            lines.write(json.dumps([reservation.id, used, granted, parts, late]) + "\n")

        async def exchange() -> None:
            ask = Ask(chance.choice(SUBJECTS), (LIMIT, KEYED), Amounts(0, ASKED, 0), Amounts(0, 50, 0))
            got = None
            for attempt in range(1, 31):  # some 14 s: what the killed one held has come back by then, and is spent
                await asyncio.sleep(chance.random() * min(0.2 * attempt, 1.0))
                got = await budgets.reserve(ask)
                if isinstance(got, Reserved):
                    break
            if not isinstance(got, Reserved):
                return
            reservation, used = got.reservation, 0
            granted = min(hold.granted for hold in reservation.holds)
            wanted = chance.randrange(10, 2 * ASKED)
            try:
                while used < wanted and used < granted:  # cut at the limit, one chunk beyond it at most
                    await asyncio.sleep(chance.random() * 0.03)
                    used += chance.randrange(1, CHUNK)
                    if chance.random() < 0.01:
                        write(reservation, used, granted)
                        reservation = await budgets.extend(reservation, Amounts(0, used, 0))
                    if chance.random() < 0.01:
                        break  # the client has gone
            finally:
                write(reservation, used, granted)
                budgets.settle(reservation, Amounts(0, used, 0))

        async def left(task: "asyncio.Task[None]") -> None:
            """Some clients leave while they wait for admission."""
            await asyncio.sleep(chance.random() * 0.1)
            if chance.random() < 0.1:
                task.cancel()

        async with asyncio.TaskGroup() as group:
            for _ in range(exchanges):
                group.create_task(left(group.create_task(exchange())))
        lost = await budgets.close(60)
    await client.aclose()
    if lost:
        raise SystemExit(f"{lost} settlements are lost")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
