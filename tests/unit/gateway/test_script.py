"""Calls of scripts: gathered in one write, told apart in their answers, and what a server that fails does to them."""

import asyncio

import pytest

import valkey_server
from gateway.script import Pipe, Script, ScriptError
from gateway.valkey import connect


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with valkey_server.running(tmp_path_factory.mktemp("v")) as started:
        yield started


@pytest.fixture
async def client(server):
    client = server.client()
    await client.flushall()
    await client.script_flush()
    await client.config_resetstat()
    yield client
    await client.aclose()


@pytest.fixture
def count(tmp_path):
    path = tmp_path / "count.lua"
    path.write_text("if ARGV[1] == 'x' then return redis.error_reply('ERR x') end return redis.call('INCR', KEYS[1])")
    return Script(path)


async def test_calls_of_one_turn_are_one_round_trip_and_keep_their_order(client, count):
    pipe = Pipe(client)
    await pipe.start(count, ["a"], [b"1"])  # loads the script
    before = pipe.batches
    answers = await asyncio.gather(*(pipe.start(count, ["a"], [b"1"]) for _ in range(100)))
    assert answers == list(range(2, 102))
    assert pipe.batches == before + 1


async def test_a_server_without_the_script_gets_it_once(client, count):
    pipe = Pipe(client)
    assert await asyncio.gather(*(pipe.start(count, ["a"], [b"1"]) for _ in range(5))) == [1, 2, 3, 4, 5]
    stats = await client.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] == 1


async def test_one_call_that_is_refused_spoils_no_other(client, count):
    pipe = Pipe(client)
    calls = [pipe.start(count, ["a"], [word]) for word in (b"1", b"x", b"1")]
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, third) == (1, 2)
    assert isinstance(second, ScriptError)
    assert second.refused is not None


async def test_a_caller_that_leaves_takes_nobodys_answer(client, count):
    pipe = Pipe(client)
    calls = [pipe.start(count, ["a"], [b"1"]) for _ in range(3)]
    calls[1].cancel()
    assert await calls[0] == 1
    assert await calls[2] == 3


async def test_a_server_that_is_away_fails_all_that_wait_without_its_address(tmp_path, count):
    client = connect(f"unix://{tmp_path}/nobody.sock")
    pipe = Pipe(client)
    told = await asyncio.gather(*(pipe.start(count, ["a"], [b"1"]) for _ in range(3)), return_exceptions=True)
    await client.aclose()
    assert all(isinstance(one, ScriptError) and one.refused is None for one in told)
    assert "nobody.sock" not in repr(told)


async def test_a_server_that_hangs_is_given_up_and_asked_anew(tmp_path, count, client, server):
    hung = asyncio.Event()

    async def swallow(reader, writer):
        hung.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_unix_server(swallow, str(tmp_path / "s.sock"))
    lame = connect(f"unix://{tmp_path}/s.sock")
    with pytest.raises(ScriptError, match="TimeoutError"):
        await Pipe(lame, deadline_s=0.05).start(count, ["a"], [b"1"])
    assert hung.is_set()
    await lame.aclose()
    silent.close()
    assert await Pipe(client).start(count, ["a"], [b"1"]) == 1
