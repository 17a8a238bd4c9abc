"""Selectors through real Envoy: the fastest gets most, one that fails is left alone, the hard goes to the big one."""

import asyncio
from collections import Counter

import orjson
import pytest

import provider
from asking import CHAT, chat
from stack import Options, Stack, until

POOLS = {
    "pool-fast": {"backends": ["main", "other"], "select": "lowest_latency", "tell": True},
    "pool-hard": {"backends": ["main", "other"], "select": "complexity", "from_score": {"other": 20}, "tell": True},
}
SLOW_S = 1.0  # beside milliseconds of the other, also on a busy host
ENOUGH = 20  # answers in a row that show who is asked
MOST = 300  # requests until then; both workers need a few each to learn


def _pools(directory):
    file = directory / "models.yaml"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | POOLS))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=2, policy=_pools, control=True)) as running:
        yield running


async def _fast(call):
    await call.sse(provider.stream(["Here I am."]))


async def _slow(call):
    await asyncio.sleep(SLOW_S)
    await call.sse(provider.stream(["Here I am, too."]))


async def _busy(call):
    await call.json({"error": {"message": "too many requests"}}, 429)


def _answered(gateway, upstreams, main, other, leader):
    """Ask until `leader` has answered nearly all of the last requests; the selectors' words, and the last answer."""
    marker = upstreams["main"].script(main)
    upstreams["other"].script(other, marker)
    client, backends, words = gateway.client(), [], Counter()
    for _ in range(MOST):
        answer = client.post(CHAT, chat(f"Hello {marker}", model="pool-fast", stream=True), timeout_s=30)
        assert answer.status == 200
        backends.append(answer.header("x-ostiary-backend"))
        words[answer.header("x-ostiary-select")] += 1
        if backends[-ENOUGH:].count(leader) >= ENOUGH - 2:
            return words, answer
    raise AssertionError(f"{leader} is not the one: {Counter(backends)}")


def test_the_fastest_gets_most_and_that_changes_with_the_backends(gateway, upstreams):
    words, answer = _answered(gateway, upstreams, _slow, _fast, "other")
    assert set(words) <= {"lowest_latency", "lowest_latency;explored"}
    assert words["lowest_latency"] > ENOUGH / 2
    assert gateway.record(answer)["details"]["select"] == answer.header("x-ostiary-select")
    # It says 429: the other is asked for its sake by Envoy, and soon at once.
    _, answer = _answered(gateway, upstreams, _fast, _busy, "main")
    until("a first attempt that answers", lambda: _first_attempt(gateway, upstreams) == "1" or None)


def _first_attempt(gateway, upstreams):
    marker = upstreams["main"].script(_fast)
    upstreams["other"].script(_busy, marker)
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="pool-fast", stream=True), timeout_s=30)
    return answer.header("x-ostiary-attempts")


def test_a_hard_request_goes_to_the_big_one_and_an_easy_one_does_not(gateway, upstreams):
    for text, backend, select in (
        ("Hello", "main", "complexity;score=0"),
        ("Prove step by step that there is no largest prime.", "other", "complexity;score=20"),
    ):
        marker = upstreams["main"].script(None)
        upstreams["other"].script(None, marker)
        answer = gateway.client().post(CHAT, chat(f"{text} {marker}", model="pool-hard"))
        assert (answer.status, answer.header("x-ostiary-backend")) == (200, backend)
        assert answer.header("x-ostiary-select") == select
        assert gateway.record(answer)["details"]["select"] == select
