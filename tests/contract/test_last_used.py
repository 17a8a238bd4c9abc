"""When keys were last used: memory and a real Valkey promise the same."""

from collections.abc import Iterator

import pytest

import valkey_server
from gateway.registry.last_used import NAME, MemoryLastUsed, ValkeyLastUsed
from gateway.registry.model import RegistryError
from gateway.valkey import connect

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[valkey_server.Valkey]:
    with valkey_server.running(tmp_path_factory.mktemp("v")) as started:
        yield started


@pytest.fixture
async def client(server):
    made = server.client()
    await made.flushall()
    yield made
    await made.aclose()


@pytest.fixture(params=["memory", "valkey"])
def times(request, client):
    return MemoryLastUsed() if request.param == "memory" else ValkeyLastUsed(client)


async def test_what_was_noted_is_read_and_the_last_word_counts(times):
    await times.note({"a": NOW, "b": NOW + 1})
    await times.note({"a": NOW + 2})
    assert await times.read(["a", "b", "c"]) == {"a": NOW + 2, "b": NOW + 1}


async def test_more_than_one_command_takes(times):
    many = {f"k{number}": NOW + number for number in range(2_500)}
    await times.note(many)
    assert await times.read(list(many)) == many


async def test_what_is_forgotten_is_gone(times):
    await times.note({"a": NOW, "b": NOW})
    await times.forget("a")
    await times.forget("a")
    assert await times.read(["a", "b"]) == {"b": NOW}


async def test_nothing_is_asked_about_nothing(times):
    await times.note({})
    assert await times.read([]) == {}


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"1.5", b"9" * 5000, b"999999999999", "٣".encode()])
async def test_what_somebody_else_wrote_is_no_time(client, value):
    await client.hset(NAME, "a", value)
    assert await ValkeyLastUsed(client).read(["a"]) == {}


@pytest.mark.parametrize("call", [lambda it: it.note({"a": NOW}), lambda it: it.read(["a"]), lambda it: it.forget("a")])
async def test_a_server_that_is_away_is_told_without_its_address(tmp_path, call):
    client = connect(f"unix://{tmp_path}/none.sock")
    with pytest.raises(RegistryError) as caught:
        await call(ValkeyLastUsed(client))
    assert "none.sock" not in str(caught.value)
    await client.aclose()
