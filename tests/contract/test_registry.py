"""One suite for every registry and its replicas: memory and a real Valkey promise the same."""

import asyncio
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import valkey_server
from gateway.aio import cancel_and_wait, spawn
from gateway.clock import SystemClock
from gateway.registry.memory import MemoryRegistry
from gateway.registry.model import (
    APPLY_BYTES,
    CHANGES_MAX,
    ID_BYTES,
    VALUE_BYTES,
    Change,
    ConflictError,
    Entry,
    RegistryError,
    Sort,
    Unconditional,
)
from gateway.registry.replica import ValkeyReplica
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from gateway.valkey import connect
from told import Told

SEALS = Seals({"v1": b"p" * 32})
KEY, REVOCATION = Sort.KEY, Sort.REVOCATION


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[valkey_server.Valkey]:
    with valkey_server.running(tmp_path_factory.mktemp("v")) as started:
        yield started


class Rig:
    """A registry, and replicas of it that run until the test ends."""

    def __init__(self, registry, make_replica):
        self.registry = registry
        self._make = make_replica
        self._tasks = []

    async def follow(self, *sorts):
        replica, heard = self._make(), [Told() for _ in sorts]
        for sort, told in zip(sorts, heard, strict=True):
            replica.follow(sort, told.apply)
        self._tasks.append(spawn(replica.run(), "replica"))
        assert await replica.ready(20)
        return replica, *heard

    async def close(self):
        await cancel_and_wait(*self._tasks)


@pytest.fixture(params=["memory", "valkey"])
async def rig(request):
    if request.param == "memory":
        registry = MemoryRegistry()
        rig = Rig(registry, registry.replica)
        yield rig
        await rig.close()
        return
    url = request.getfixturevalue("server").url
    clients = []

    def client():
        clients.append(connect(url, retries=0))
        return clients[-1]

    rig = Rig(
        ValkeyRegistry(client(), SEALS),
        lambda: ValkeyReplica(client(), SEALS, SystemClock(), random.random),
    )
    await clients[0].flushall()
    yield rig
    await rig.close()
    for one in clients:
        await one.aclose()


@pytest.fixture
def registry(rig):
    return rig.registry


# --- what is written is read --------------------------------------------------------------------------------------
async def test_an_entry_is_read_back_and_others_are_none(registry):
    await registry.apply([Change(KEY, "k1", b'{"tenant":"acme"}')])
    assert await registry.get(KEY, "k1") == b'{"tenant":"acme"}'
    assert await registry.get(KEY, "k2") is None
    assert await registry.get(REVOCATION, "k1") is None


async def test_the_epoch_counts_changes(registry):
    assert await registry.apply([Change(KEY, "a", b"1")]) == 1
    assert await registry.apply([Change(KEY, "b", b"2"), Change(REVOCATION, "b", b"{}")]) == 3
    assert await registry.apply([Change(KEY, "a", None)]) == 4


async def test_a_list_is_of_one_sort_and_by_id(registry):
    await registry.apply([Change(KEY, "b", b"2"), Change(KEY, "a", b"1"), Change(REVOCATION, "c", b"{}")])
    assert await registry.list(KEY) == [Entry(KEY, "a", b"1"), Entry(KEY, "b", b"2")]
    assert await registry.list(Sort.ACCOUNT) == []


async def test_a_list_is_whole_beyond_one_page(registry):
    ids = [f"k{number:04}" for number in range(1200)]
    for at in range(0, len(ids), CHANGES_MAX):
        await registry.apply([Change(KEY, one, b"{}") for one in ids[at : at + CHANGES_MAX]])
    assert [entry.id for entry in await registry.list(KEY)] == ids


@pytest.mark.parametrize("value", [b"", b":", b"v1:00:x", "Grüße: 日本".encode(), b'{"a":"\\u0000"}', b"a\x00b"])
async def test_a_value_comes_back_byte_for_byte(rig, value):
    _, told = await rig.follow(KEY)
    await rig.registry.apply([Change(KEY, "k", value, None)])
    assert await rig.registry.get(KEY, "k") == value
    await told.until(lambda view: view.get("k") == value)
    assert await rig.registry.apply([Change(KEY, "k", b"next", value)]) == 2


# --- conditions -------------------------------------------------------------------------------------------------
async def test_nothing_may_stand_there(registry):
    await registry.apply([Change(KEY, "k", b"1", None)])
    with pytest.raises(ConflictError):
        await registry.apply([Change(KEY, "k", b"2", None)])
    assert await registry.get(KEY, "k") == b"1"


@pytest.mark.parametrize("stands", [None, b"1", b"11", b""])
async def test_a_value_must_stand_there(registry, stands):
    if stands is not None:
        await registry.apply([Change(KEY, "k", stands)])
    with pytest.raises(ConflictError):
        await registry.apply([Change(KEY, "k", b"new", b"expected")])
    await registry.apply([Change(KEY, "k", b"expected")])
    await registry.apply([Change(KEY, "k", b"new", b"expected")])
    assert await registry.get(KEY, "k") == b"new"


async def test_a_removal_has_conditions_too(registry):
    await registry.apply([Change(KEY, "k", b"1")])
    with pytest.raises(ConflictError):
        await registry.apply([Change(KEY, "k", None, b"2")])
    await registry.apply([Change(KEY, "k", None, b"1")])
    assert await registry.get(KEY, "k") is None


async def test_what_is_not_there_may_be_removed(registry):
    assert await registry.apply([Change(KEY, "k", None)]) == 1


async def test_one_failed_condition_makes_nothing(rig):
    _, keys, revoked = await rig.follow(KEY, REVOCATION)
    await rig.registry.apply([Change(KEY, "k", b"1")])
    with pytest.raises(ConflictError):
        await rig.registry.apply(
            [
                Change(KEY, "a", b"2"),
                Change(KEY, "k", None),
                Change(REVOCATION, "r", b"{}"),
                Change(KEY, "k2", b"", b""),
            ]
        )
    assert await rig.registry.get(KEY, "a") is None
    assert await rig.registry.apply([Change(KEY, "end", b"")]) == 2
    await keys.until(lambda view: "end" in view)
    assert keys.view == {"k": b"1", "end": b""}
    assert revoked.story == []


async def test_of_many_who_want_the_same_one_wins(registry):
    results = await asyncio.gather(
        *(registry.apply([Change(KEY, "k", b"%d" % number, None)]) for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, int) for one in results) == 1
    assert sum(isinstance(one, ConflictError) for one in results) == 7


# --- what no registry takes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes",
    [
        [],
        [Change(KEY, f"k{number}", b"") for number in range(CHANGES_MAX + 1)],
        [Change(KEY, "k", b"1"), Change(KEY, "k", b"2")],
        [Change(KEY, "", b"1")],
        [Change(KEY, "a\nb", b"1")],
        [Change(KEY, "\ud800", b"1")],
        [Change(KEY, "é" * (ID_BYTES // 2 + 1), b"1")],
        [Change(KEY, "k", b"x" * (VALUE_BYTES + 1))],
        [Change(KEY, f"k{number}", b"x" * VALUE_BYTES) for number in range(APPLY_BYTES // VALUE_BYTES + 1)],
        [Change(KEY, "k", b"\xff")],
    ],
    ids=["none", "many", "twice", "no-id", "line-break", "surrogate", "long-id", "long", "long-together", "not-utf-8"],
)
async def test_it_is_refused_and_nothing_is_written(registry, changes):
    with pytest.raises(RegistryError) as refused:
        await registry.apply(changes)
    assert not isinstance(refused.value, ConflictError)
    assert await registry.list(KEY) == []


async def test_the_largest_is_taken(rig):
    _, told = await rig.follow(KEY)
    name, value = "é" * (ID_BYTES // 2), b"x" * VALUE_BYTES
    others = [Change(KEY, f"k{number}", value) for number in range(APPLY_BYTES // VALUE_BYTES - 1)]
    await rig.registry.apply([Change(KEY, name, value), *others])
    await told.until(lambda view: len(view) == len(others) + 1)
    assert told.view[name] == value


# --- replicas -----------------------------------------------------------------------------------------------------
async def test_a_replica_is_told_of_what_stands_and_then_of_changes_in_order(rig):
    await rig.registry.apply([Change(KEY, "old", b"0"), Change(REVOCATION, "r", b"{}")])
    replica, keys = await rig.follow(KEY)
    assert keys.view == {"old": b"0"}
    for number in range(50):
        await rig.registry.apply([Change(KEY, "k", b"%d" % number), Change(REVOCATION, "r2", b"%d" % number)])
    await rig.registry.apply([Change(KEY, "old", None)])
    await keys.until(lambda view: view == {"k": b"49"})
    values = [int(value) for name, value in keys.story if name == "k" and value is not None]
    assert values == sorted(values)
    assert replica.age_s() < 20


async def test_listeners_of_one_sort_are_all_told(rig):
    _, one, other = await rig.follow(KEY, KEY)
    await rig.registry.apply([Change(KEY, "k", b"1")])
    await one.until(lambda view: view == {"k": b"1"})
    await other.until(lambda view: view == {"k": b"1"})


async def test_an_empty_registry_is_ready(rig):
    _, keys = await rig.follow(KEY)
    assert keys.story == []


steps = st.lists(
    st.lists(
        st.builds(
            Change,
            st.sampled_from([KEY, REVOCATION]),
            st.sampled_from("abcd"),
            st.sampled_from([None, b"1", b"2"]),
            st.sampled_from([Unconditional.ANY, Unconditional.ANY, None, b"1", b"2"]),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda change: (change.sort, change.id),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_any_story_ends_alike_in_memory_in_valkey_and_in_a_replica(server, story):
    client, follower = connect(server.url, retries=0), connect(server.url, retries=0)
    await client.flushall()
    memory, valkey = MemoryRegistry(), ValkeyRegistry(client, SEALS)
    replica = ValkeyReplica(follower, SEALS, SystemClock(), random.random)
    told = {KEY: Told(), REVOCATION: Told()}
    for sort, one in told.items():
        replica.follow(sort, one.apply)
    task = spawn(replica.run(), "replica")
    assert await replica.ready(20)
    for changes in story:
        outcomes = []
        for registry in (memory, valkey):
            try:
                outcomes.append(await registry.apply(changes))
            except ConflictError as conflict:
                outcomes.append(str(conflict))
        assert outcomes[0] == outcomes[1]
    for sort, one in told.items():
        expected = await memory.list(sort)
        assert await valkey.list(sort) == expected
        await one.until(lambda view, expected=expected: view == {entry.id: entry.value for entry in expected})
    await cancel_and_wait(task)
    await client.aclose()
    await follower.aclose()
