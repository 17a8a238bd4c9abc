"""Similar questions through real Envoy with the index in a real Redis 8: it outlives the process, and hosts share it."""

import asyncio
import importlib.util
import json
import sys
from dataclasses import replace

import pytest

import provider
import redis8_server
import valkey_server
from asking import CHAT
from gateway import contract, settings
from ostiary import engines
from stack import START_S, Options, Stack, until

pytestmark = [
    pytest.mark.slow,
    redis8_server.needs_redis8,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in engines.NEEDS["similar"]),
        reason="the models come with `make analysis`",
    ),
]
PATIENT = {"wait_ms": 0, "deadline_ms": 5000, "similar": {"likeness": "usual", "deadline_ms": 5000}}
ASKED, LIKE = "What are the best ways to learn Python?", "What is the best way to learn Python?"
SIMILAR, MISS = "similar", "miss"


def started(stack, url, socket):
    command = [sys.executable, "-m", "ostiary.cli", "analyse", "--engines", "similar", "--socket", str(socket)]
    environ = {name: value for name, value in stack._environ(0).items() if not name.startswith("OSTIARY_")}
    environ |= settings.for_analysis(replace(stack.worker_settings, similar_url=url))
    return stack._spawn("analysis", command, environ)


def analysing(stack, url):
    socket = stack.run_dir / contract.ANALYSIS_SOCKET
    child = started(stack, url, socket)
    until("analysis", socket.exists, START_S)
    return child


@pytest.fixture(scope="module")
def redis8(short_dir):
    with redis8_server.running(short_dir()) as started:
        yield started


@pytest.fixture(scope="module")
def comparing(short_dir, upstreams, redis8):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        tenants["acme"] = {"models": ["*"], "routes": ["*"], "cache": PATIENT}
        (directory / "tenants.yaml").write_text(json.dumps(tenants))

    with Stack(short_dir(), upstreams, Options(policy=write, control=True, workers=1)) as running:
        running.index = analysing(running, redis8.url)
        yield running
        assert running.index.end()
        assert "Traceback" not in running.logs()
        assert "task_crashed" not in running.logs()


@pytest.fixture
def place(upstream):
    """A system prompt of this test alone. What is asked in other words is never kept: it is cut."""

    async def answer(call):
        await call.json(provider.chat(finish="length" if LIKE.encode() in call.seen.body else "stop"))

    return upstream.script(answer)


def status(stack, text, place, *headers):
    said = [{"role": "system", "content": f"Be brief. {place}"}, {"role": "user", "content": text}]
    answer = stack.client("acme").post(CHAT, {"model": "gpt-test", "messages": said}, headers=headers)
    assert answer.status == 200, answer.body
    return answer.header(contract.CACHE_HEADER)


def known(stack, place):
    """Keep an answer until the index knows of it: Redis is told once of each, and on a loaded machine may miss it."""

    def found():
        assert status(stack, ASKED, place, ("cache-control", "no-cache")) == MISS
        return status(stack, LIKE, place) == SIMILAR

    until("the index", found)


def test_another_process_finds_what_the_first_was_asked(comparing, redis8, place):
    """A host that starts, or starts again, and knows at once what others know; here of one worker, that asks both."""
    known(comparing, place)
    assert comparing.index.end()
    assert status(comparing, LIKE, place) == MISS, "nobody is there to ask"
    comparing.index = analysing(comparing, redis8.url)
    until("the other process", lambda: status(comparing, LIKE, place) == SIMILAR)
    log = comparing.index.log.read_text()
    assert "similar_index_away" not in log
    assert "Python" not in log
    lying = asyncio.run(dumped(redis8))
    assert b"ostiary:{acme}:similar:index" in lying
    assert b"Python" not in lying
    assert comparing.bundle.peppers.read_text().split()[1].encode() not in lying


async def dumped(redis8):
    """All that lies there."""
    client = redis8.client()
    try:
        keys = [key async for key in client.scan_iter()]
        return b"".join([key + await client.dump(key) for key in keys])
    finally:
        await client.aclose()


async def emptied(redis8):
    client = redis8.client()
    await client.flushall()
    await client.aclose()


def test_a_redis_that_forgets_is_a_miss(comparing, redis8, place):
    known(comparing, place)

    def forgotten():
        asyncio.run(emptied(redis8))
        return status(comparing, LIKE, place) == MISS

    until("its loss", forgotten)  # it may still be told of what was asked before


def test_a_server_without_vector_sets_ends_the_process_with_a_sentence(comparing, short_dir):
    with valkey_server.running(short_dir()) as valkey:
        child = started(comparing, valkey.url, short_dir() / "s")
        until("its end", lambda: not child.alive, START_S)
    told = child.log.read_text()
    assert "OSTIARY_SIMILAR_URL has no vector sets" in told
    assert "Valkey" in told
    assert valkey.url not in told
