"""What was seen: once, for as long as asked, by whoever asks. The same questions to memory and to a real Valkey."""

import asyncio
import time

import pytest

import valkey_server
from clocks import ManualClock
from control.oauth.replay import MemorySeen, ReplayError, ValkeySeen
from gateway.clock import SystemClock
from gateway.valkey import connect


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with valkey_server.running(tmp_path_factory.mktemp("v")) as running:
        yield running


@pytest.fixture(params=["memory", "valkey"])
async def seen(request):
    if request.param == "memory":
        yield MemorySeen(ManualClock(now=time.time()))
        return
    client = request.getfixturevalue("server").client()
    await client.flushall()
    yield ValkeySeen(client, SystemClock())
    await client.aclose()


async def test_only_the_first_time_counts(seen):
    until = time.time() + 60
    assert [await seen.first("svc-1", "a", until) for _ in range(3)] == [True, False, False]
    assert await seen.first("svc-1", "b", until)
    assert await seen.first("svc-2", "a", until)


async def test_of_many_at_once_one_counts(seen):
    until = time.time() + 60
    assert sum(await asyncio.gather(*(seen.first("svc-1", "a", until) for _ in range(20)))) == 1


async def test_ids_cannot_be_cut_so_that_two_are_one(seen):
    until = time.time() + 60
    assert [await seen.first(client, jti, until) for client, jti in (("a", "bc"), ("ab", "c"))] == [True, True]


async def test_any_text_is_an_id(seen):
    until = time.time() + 60
    texts = ["", "\ud800", "x" * 10_000, "{tag}", "é\n"]
    assert [await seen.first("svc-1", text, until) for text in texts] == [True] * len(texts)


async def test_valkey_forgets_by_itself_and_not_too_early(server):
    client = server.client()
    until = time.time() + 100.5
    await ValkeySeen(client, SystemClock()).first("svc-1", "forget", until)
    keys = [key async for key in client.scan_iter(match="{ostiary}:assertion:*")]
    ends = [await client.expiretime(key) for key in keys]
    await client.aclose()
    assert max(ends) >= until
    assert -1 not in ends


async def test_an_assertion_counts_once_also_by_a_clock_that_is_behind_the_servers(server):
    client = server.client()
    clock = ManualClock(now=time.time() - 3600)
    seen = ValkeySeen(client, clock)
    assert [await seen.first("svc-1", "behind", clock.now() + 60) for _ in range(2)] == [True, False]
    await client.aclose()


async def test_memory_forgets_in_time():
    clock = ManualClock()
    seen = MemorySeen(clock)
    assert await seen.first("svc-1", "a", clock.now() + 10)
    clock.advance(10)
    assert await seen.first("svc-1", "a", clock.now() + 10)


async def test_a_server_that_is_away_is_an_error_and_not_a_first_time(tmp_path):
    client = connect(f"unix://{tmp_path}/none.sock")
    with pytest.raises(ReplayError):
        await ValkeySeen(client, SystemClock()).first("svc-1", "a", time.time() + 60)
    await client.aclose()
