"""Many exchanges race for one budget through four workers; some are left by their clients, one worker dies.

Never more is spent than the limit and a chunk for each running stream, and the ledger is the sum of the records.
"""

import asyncio
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import provider
from gateway.budgets.model import PER_DAY, Amounts, Ask, Dimension, Limit, Resource, Subject
from gateway.clock import SystemClock
from gateway.settings import Settings
from ostiary import budgeting
from rawhttp import request_bytes
from stack import Options, Stack, until

CHAT = "/v1/chat/completions"
AMOUNT = 20_000
DAY = Limit("day", (Dimension.TENANT,), Resource.TOKENS_OUT, AMOUNT, PER_DAY)
EXCHANGES, AT_ONCE = 400, 40
CHUNK_TOKENS = 15  # ten words of a model whose tokenizer is not known


@pytest.fixture(scope="module")
def raced(short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        tenants["acme"]["budgets"] = {"limits": {"day": {"tokens_out": AMOUNT, "per": "day"}}}
        (directory / "tenants.yaml").write_text(json.dumps(tenants))

    with Stack(short_dir(), upstreams, Options(policy=write, control=True, workers=4)) as running:
        yield running


async def talk(call):
    """Thirty chunks of ten words, whatever cap it was told."""
    await call.head(200, (("content-type", "text/event-stream"),))
    try:
        for _ in range(30):
            await call.chunk(provider.event(provider.delta("word " * 10)))
            await asyncio.sleep(0.002)
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


def used(stack):
    """What the ledger has charged and holds, as a worker would see it."""

    async def ask():
        settings = Settings(policy_dir=stack.root, peppers_file=stack.root, valkey_url=stack.worker_settings.valkey_url)
        ledger = budgeting.ledger(settings, SystemClock())
        outcome = await ledger.budgets.reserve(Ask(Subject("acme"), (DAY,), Amounts()))
        (standing,) = outcome.verdict.standings
        ledger.budgets.release(outcome.reservation)
        await ledger.close()
        return standing.used, standing.held

    return asyncio.run(ask())


def recorded(stack):
    return [record for record in stack.audit() if record["tenant"] == "acme" and record.get("usage")]


def test_the_limit_holds_and_the_ledger_is_the_sum_of_the_records(raced, upstream):
    chances = [random.Random(seed) for seed in range(EXCHANGES)]  # noqa: S311 - a scenario, not a secret
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda chance: exchange(raced, upstream, chance), chances))
    assert {200, 0, 429} <= set(statuses)
    answered = sum(status in {0, 200} for status in statuses)
    until("every record", lambda: len(recorded(raced)) >= answered)
    until("every settlement", lambda: used(raced)[1] == 0)
    charged, _ = used(raced)
    spent = sum(record["usage"]["output_tokens"] for record in recorded(raced))
    assert charged == spent
    assert spent <= AMOUNT + CHUNK_TOKENS * AT_ONCE
    assert spent > AMOUNT * 0.9  # what is reserved and not used comes back, and is spent by others


def test_a_worker_that_dies_with_its_streams_lets_nobody_spend_more(raced, upstream):
    """The limit is spent by now: whatever runs while a worker dies must not open it again."""
    threads = [
        threading.Thread(target=exchange, args=(raced, upstream, random.Random(seed)))  # noqa: S311
        for seed in range(20)
    ]
    for thread in threads:
        thread.start()
    raced.kill_worker(0)
    for thread in threads:
        thread.join(60)
    charged, held = used(raced)
    spent = sum(record["usage"]["output_tokens"] for record in recorded(raced))
    assert charged >= spent  # a settlement may be out whose record died with the worker's queue
    assert charged + held <= AMOUNT + CHUNK_TOKENS * AT_ONCE
