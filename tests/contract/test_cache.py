"""The cache's script on a real Valkey: flights, entries, bounds, marks."""

import asyncio

import pytest

from gateway.cache.store import ALL, Putting, State, Store
from gateway.script import Pipe, ScriptError

TAGS = ("model:m", "faq")


@pytest.fixture
def store(client):
    return Store(Pipe(client))


def putting(looked, **how):
    return Putting(**{"since_ms": looked.now_ms, "life_ms": 60_000, "most": 100, "stays": False, "token": "", **how})


async def look(store, name="n", tenant="acme", token="t1", wait_ms=60_000, tags=TAGS):
    return await store.look(tenant, name, tags, token, wait_ms)


async def test_the_first_is_to_fetch_and_the_others_wait_until_the_answer_is_there(store):
    first = await look(store)
    assert first.state is State.YOURS
    assert (await look(store, token="t2")).state is State.AWAITED
    assert (await store.poll("acme", "n", TAGS)).state is State.AWAITED
    assert await store.keep("acme", "n", b"sealed", putting(first, token="t1"))
    found = await store.poll("acme", "n", TAGS)
    assert (found.state, found.sealed, found.since_ms) == (State.FOUND, b"sealed", first.now_ms)
    assert (await look(store)).state is State.FOUND


async def test_of_a_crowd_one_is_to_fetch(store):
    looks = await asyncio.gather(*[look(store, token=f"t{number}") for number in range(200)])
    assert sorted(each.state for each in looks) == [State.YOURS] + [State.AWAITED] * 199


async def test_without_a_flight_nobody_waits(store):
    assert (await look(store, wait_ms=0)).state is State.NOTHING
    assert (await look(store, token="t2")).state is State.YOURS


async def test_a_flight_that_brought_nothing_ends_for_all(store):
    await look(store)
    await store.drop("acme", "n", "of somebody else")
    assert (await store.poll("acme", "n", TAGS)).state is State.AWAITED
    await store.drop("acme", "n", "t1")
    assert (await store.poll("acme", "n", TAGS)).state is State.NOTHING


async def test_a_flight_whose_worker_died_ends_by_itself(store, client):
    await look(store, wait_ms=40_000)
    (flight,) = [name async for name in client.scan_iter(match="*:flight:*")]
    assert 0 < await client.pttl(flight) <= 40_000


async def test_tenants_and_names_are_apart(store):
    for tenant, name in (("acme", "n"), ("acme", "m"), ("other", "n")):
        first = await look(store, name, tenant)
        assert first.state is State.YOURS
        await store.keep(tenant, name, f"{tenant} {name}".encode(), putting(first, token="t1"))
    assert (await look(store, "n", "other")).sealed == b"other n"
    assert (await look(store, "m")).sealed == b"acme m"


@pytest.mark.parametrize(("tags", "gone"), [((ALL,), True), (("faq",), True), (("model:m",), True), (("x",), False)])
async def test_what_carries_a_tag_is_thrown_away(store, tags, gone):
    first = await look(store)
    await store.keep("acme", "n", b"sealed", putting(first, token="t1"))
    await store.mark("other", [ALL])
    await store.mark("acme", tags)
    assert (await look(store)).state is (State.YOURS if gone else State.FOUND)


async def test_an_answer_that_was_asked_for_before_is_thrown_away_too(store):
    """What a provider said before the change is as old as what was kept before it."""
    first = await look(store)
    await store.mark("acme", ["faq"])
    await store.keep("acme", "n", b"old", putting(first, token="t1"))
    assert (await look(store)).state is State.YOURS


async def test_marks_end_when_nothing_is_left_that_they_could_concern(store, client):
    await store.mark("acme", ["faq"])
    (marks,) = [name async for name in client.scan_iter(match="*:marks")]
    assert 0 < await client.pttl(marks) <= 7 * 86_400_000


async def test_an_entry_stays_where_it_shall(store):
    first = await look(store)
    await store.keep("acme", "n", b"first", putting(first, token="t1"))
    assert not await store.keep("acme", "n", b"second", putting(first, stays=True))
    assert (await look(store)).sealed == b"first"
    assert await store.keep("acme", "n", b"third", putting(first))
    assert (await look(store)).sealed == b"third"


async def test_a_tenant_keeps_so_many_and_those_that_end_first_go(store, client):
    for number in range(12):
        first = await look(store, f"n{number}", token="t")
        await store.keep("acme", f"n{number}", b"x", putting(first, most=10, life_ms=60_000 + number, token="t"))
    kept = {name async for name in client.scan_iter(match="*:entry:*")}
    assert kept == {f"ostiary:{{acme}}:cache:entry:n{number}".encode() for number in range(2, 12)}


async def test_entries_and_index_end(store, client):
    first = await look(store)
    await store.keep("acme", "n", b"x", putting(first, life_ms=30_000, token="t1"))
    names = [name async for name in client.scan_iter(match="*")]
    assert len(names) == 2
    assert all([0 < await client.pttl(name) <= 30_000 for name in names])


@pytest.mark.parametrize("raw", [b"x", b"", b"-000000000001sealed", b"not 13 digits, but more than 13 bytes"])
async def test_bytes_of_a_stranger_are_found_and_count_since_no_moment(store, client, raw):
    await client.set("ostiary:{acme}:cache:entry:n", raw)
    found = await look(store)
    assert (found.state, found.since_ms, found.sealed) == (State.FOUND, 0, raw[13:])


async def test_a_stranger_under_our_name_is_an_error_not_an_answer(store, client):
    await client.lpush("ostiary:{acme}:cache:entry:n", b"x")
    with pytest.raises(ScriptError):
        await look(store)
