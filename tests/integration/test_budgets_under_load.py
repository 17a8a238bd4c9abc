"""Many exchanges race for one budget through four workers; some are left by their clients, one worker dies.

Never more is spent than the limit and a chunk for each running stream, and the ledger is the sum of the records.
"""

import asyncio
import contextlib
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import provider
from gateway.budgets.model import PER_DAY, Dimension, Limit, Resource, Subject, key_of
from gateway.budgets.store import ValkeyStore
from gateway.budgets.window import meter_of
from gateway.topology import reach
from rawhttp import request_bytes
from stack import Options, Stack, until

CHAT = "/v1/chat/completions"
EXCHANGES, AT_ONCE = 400, 40
CHUNK_TOKENS = 15  # ten words of a model whose tokenizer is not known


@pytest.fixture
def start(short_dir, upstreams):
    """Starts a gateway of four workers with its own ledger: tests come in any order, and a spent limit stays spent."""
    with contextlib.ExitStack() as gateways:

        def begin(limit):
            def write(directory):
                tenants = json.loads((directory / "tenants.yaml").read_text())
                tenants["acme"]["budgets"] = {"limits": {"day": {"tokens_out": limit.amount, "per": "day"}}}
                (directory / "tenants.yaml").write_text(json.dumps(tenants))

            options = Options(policy=write, control=True, workers=4)
            return gateways.enter_context(Stack(short_dir(), upstreams, options))

        yield begin


#: So slow that each chunk goes through alone: one that Envoy makes of two would be beyond the limit as a whole.
PACE_S = 0.03


def day(amount):
    return Limit("day", (Dimension.TENANT,), Resource.TOKENS_OUT, amount, PER_DAY)


async def talk(call):
    """Thirty chunks of ten words, whatever cap it was told."""
    await call.head(200, (("content-type", "text/event-stream"),))
    try:
        for _ in range(30):
            await call.chunk(provider.event(provider.delta("word " * 10)))
            await asyncio.sleep(PACE_S)
        await call.chunk(b"data: [DONE]\n\n")
        await call.end()
    except (ConnectionError, OSError):
        pass


def exchange(stack, upstream, chance):
    body = {
        "model": "gpt-test",
        "stream": True,
        "max_tokens": chance.choice([30, 200, 1000]),
        "messages": [{"role": "user", "content": upstream.script(talk)}],
    }
    client = stack.client()
    with client.open() as conn:
        headers = [*client.headers, ("content-type", "application/json")]
        conn.send(request_bytes("POST", CHAT, headers, json.dumps(body).encode()))
        head = conn.head()
        if head.status != 200:
            return head.status
        if chance.random() < 0.25:
            conn.wait_for(b"word", 30)
            conn.abort()
            return 0
        conn.rest(head)
        return 200


def used(stack, limit):
    """What the ledger has charged and holds."""

    async def ask():
        reached = reach(stack.worker_settings.valkey_url)
        try:
            (figures,) = await ValkeyStore(reached.runner).look([(key_of(limit, Subject("acme")), meter_of(limit))])
        finally:
            await reached.close()
        return figures.used, figures.held

    return asyncio.run(ask())


def recorded(stack):
    return [record for record in stack.audit() if record["tenant"] == "acme" and record.get("usage")]


def test_the_limit_holds_and_the_ledger_is_the_sum_of_the_records(start, upstream):
    limit = day(20_000)
    gateway = start(limit)
    chances = [random.Random(seed) for seed in range(EXCHANGES)]  # noqa: S311 - a scenario, not a secret
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda chance: exchange(gateway, upstream, chance), chances))
    assert {200, 0, 429} <= set(statuses)
    # How many of them were refused while others held what they did not need is chance: the rest goes on one by one.
    rest = random.Random(EXCHANGES)  # noqa: S311 - a scenario, not a secret
    while statuses[-1] != 429 or len(statuses) == EXCHANGES:
        until("every settlement", lambda: used(gateway, limit)[1] == 0)
        statuses.append(exchange(gateway, upstream, rest))
    answered = sum(status in {0, 200} for status in statuses)
    until("every record", lambda: len(recorded(gateway)) >= answered)
    until("every settlement", lambda: used(gateway, limit)[1] == 0)
    charged, _ = used(gateway, limit)
    spent = sum(record["usage"]["output_tokens"] for record in recorded(gateway))
    assert charged == spent
    assert spent <= limit.amount + CHUNK_TOKENS * AT_ONCE
    assert spent > limit.amount * 0.9  # what is reserved and not used comes back, and is spent by others


def test_a_worker_that_dies_with_its_streams_lets_nobody_spend_more(start, upstream):
    """What the dead worker held stays held: nobody else may have it until it ends by itself."""
    limit = day(2_000)
    gateway = start(limit)
    threads = [
        threading.Thread(target=exchange, args=(gateway, upstream, random.Random(seed)))  # noqa: S311
        for seed in range(40)
    ]
    for thread in threads:
        thread.start()
    until("streams", lambda: used(gateway, limit)[1] > 0)
    gateway.kill_worker(0)
    for thread in threads:
        thread.join(60)
    # Settlements and records come after answers; a worker that ends in good order has sent all of both.
    assert all(worker.end() for index, worker in gateway.workers.items() if index)
    charged, held = used(gateway, limit)
    spent = sum(record["usage"]["output_tokens"] for record in recorded(gateway))
    # Of the dead one's exchanges either may be out without the other, its record or its settlement: then it is held.
    assert 0 < spent <= charged + held
    assert charged + held <= limit.amount + CHUNK_TOKENS * len(threads)
