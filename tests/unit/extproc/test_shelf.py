"""The way to the cache: one of several same requests fetches for all, and every failure is a miss."""

import asyncio
import json
import secrets
from dataclasses import replace

import pytest

from extproc.core.heard import Heard
from extproc.core.questions import Alike, Entry, Failed, Hit, Look, Missed
from extproc.shelf import Shelf
from gateway.cache.seal import CacheSeals
from gateway.cache.store import Looked, State
from gateway.policy.kept import Cache, Scope, Similar
from gateway.script import ScriptError
from gateway.similar import SCHEMA, Near
from worlds import FakeClock

BODY = json.dumps({"choices": [{"index": 0, "message": {"content": "A tower."}, "finish_reason": "stop"}]}).encode()
HEARD = Heard("/v1/chat/completions", streamed=False, parts=(BODY,), tokens_in=5, tokens_out=2, tools=False, sieve=None)
CACHE = Cache(wait_ms=30_000)
LOOK = Look(CACHE, "acme", (b"prompt",), ("model:m",), 300)
SEALS = CacheSeals(secrets.token_bytes(32))


class MemoryStore:
    """What the script does, in memory; its clock stands still."""

    def __init__(self):
        self.entries, self.flights, self.looks, self.polls, self.failing = {}, {}, 0, 0, None
        self.stayed, self.gate = [], None

    def _found(self, tenant, name):
        entry = self.entries.get((tenant, name))
        return None if entry is None else Looked(State.FOUND, 2000, *entry)

    async def look(self, tenant, name, tags, token, wait_ms):
        self.looks += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        if found := self._found(tenant, name):
            return found
        if not wait_ms:
            return Looked(State.NOTHING, 2000)
        mine = self.flights.setdefault((tenant, name), token) == token
        return Looked(State.YOURS if mine else State.AWAITED, 2000)

    async def poll(self, tenant, name, tags):
        self.polls += 1
        waits = (tenant, name) in self.flights
        return self._found(tenant, name) or Looked(State.AWAITED if waits else State.NOTHING, 2000)

    async def keep(self, tenant, name, sealed, how):
        if self.failing is not None:
            raise self.failing
        self.flights.pop((tenant, name), None)
        self.entries[tenant, name] = (sealed, how.since_ms)
        self.stayed.append(how.stays)
        return True

    async def drop(self, tenant, name, token):
        self.flights.pop((tenant, name), None)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def shelf(store):
    return Shelf(store, SEALS, FakeClock())


async def settled(shelf):
    while shelf._keeping:
        await asyncio.sleep(0)


async def test_what_is_kept_is_found(shelf, store):
    first = await shelf.ask(LOOK)
    assert isinstance(first, Missed)
    shelf.keep(first.ticket, HEARD)
    await settled(shelf)
    found = await shelf.ask(LOOK)
    assert found == Hit(Entry(BODY, 1_000_000.0, 5, 2), replace(first.ticket, asked_ms=2000, token=""))
    assert store.stayed == [False]


async def test_of_a_crowd_one_fetches_and_all_get_its_answer(shelf, store):
    asking = [asyncio.create_task(shelf.ask(LOOK)) for _ in range(200)]
    leader, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    (first,) = [task.result() for task in leader]
    shelf.keep(first.ticket, HEARD)
    told = await asyncio.gather(*asking)
    assert [type(each) for each in told].count(Missed) == 1
    assert {each.entry.body for each in told if isinstance(each, Hit)} == {BODY}
    assert store.looks == 1


@pytest.mark.parametrize("how", ["dropped", "not keepable"])
async def test_where_the_one_brings_nothing_the_others_go_themselves(shelf, store, how):
    asking = [asyncio.create_task(shelf.ask(LOOK)) for _ in range(5)]
    leader, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    (first,) = [task.result() for task in leader]
    if how == "dropped":
        shelf.drop(first.ticket)
    else:
        shelf.keep(first.ticket, replace(HEARD, parts=(b"{}",)))
    told = await asyncio.gather(*asking)
    assert [each for each in told if each is not first] == [Missed()] * 4
    await settled(shelf)
    assert not store.flights
    assert not store.entries


async def test_the_answer_that_another_worker_fetches_is_waited_for(shelf, store):
    other = Shelf(store, SEALS, FakeClock())
    first = await other.ask(LOOK)
    asking = [asyncio.create_task(shelf.ask(LOOK)) for _ in range(5)]
    while not store.polls:
        await asyncio.sleep(0)
    other.keep(first.ticket, HEARD)
    told = await asyncio.gather(*asking)
    assert {type(each) for each in told} == {Hit}
    assert store.looks == 2


async def test_a_leader_that_leaves_lets_the_others_go(shelf, store):
    store.gate = asyncio.Event()
    leader = asyncio.create_task(shelf.ask(LOOK))
    await asyncio.sleep(0)
    others = [asyncio.create_task(shelf.ask(LOOK)) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    assert await asyncio.gather(*others) == [Missed()] * 3
    store.gate.set()
    assert isinstance(await shelf.ask(LOOK), Missed)


async def test_who_waits_long_enough_goes_itself(shelf):
    short = replace(LOOK, cache=replace(CACHE, wait_ms=1))
    first = await shelf.ask(short)
    assert first.ticket.token
    assert await shelf.ask(short) == Missed()


async def test_a_fresh_answer_is_fetched_and_kept(shelf):
    first = await shelf.ask(LOOK)
    shelf.keep(first.ticket, HEARD)
    await settled(shelf)
    fresh = await shelf.ask(replace(LOOK, max_age_s=0))
    assert fresh == Missed(replace(first.ticket, token=""))
    shelf.keep(fresh.ticket, replace(HEARD, parts=(BODY.replace(b"tower", b"lamp"),)))
    await settled(shelf)
    assert b"lamp" in (await shelf.ask(LOOK)).entry.body


async def test_an_answer_that_is_too_old_is_no_answer(store):
    clock = FakeClock()
    shelf = Shelf(store, SEALS, clock)
    shelf.keep((await shelf.ask(LOOK)).ticket, HEARD)
    await settled(shelf)
    clock.at += 100
    assert isinstance(await shelf.ask(replace(LOOK, max_age_s=100)), Hit)
    assert isinstance(await shelf.ask(replace(LOOK, max_age_s=99)), Missed)


async def test_an_entry_of_another_place_is_refused(shelf, store):
    first = await shelf.ask(LOOK)
    shelf.keep(first.ticket, HEARD)
    await settled(shelf)
    mine = store.entries["acme", first.ticket.name]
    other = replace(LOOK, parts=(b"other prompt",))
    name = SEALS.name("acme", other.parts)
    store.entries["acme", name] = mine
    store.entries["beta", SEALS.name("beta", LOOK.parts)] = mine
    assert isinstance(await shelf.ask(other), Missed)
    assert isinstance(await shelf.ask(replace(LOOK, tenant="beta")), Missed)


async def test_what_a_whole_tenant_reads_stays_as_it_was_first(shelf, store):
    shared = replace(LOOK, cache=replace(CACHE, scope=Scope.TENANT))
    shelf.keep((await shelf.ask(shared)).ticket, HEARD)
    await settled(shelf)
    assert store.stayed == [True]


async def test_what_was_forged_does_not_stay(shelf, store):
    shared = replace(LOOK, cache=replace(CACHE, scope=Scope.TENANT))
    store.entries["acme", SEALS.name("acme", shared.parts)] = (b"x", 0)
    shelf.keep((await shelf.ask(shared)).ticket, HEARD)
    await settled(shelf)
    assert store.stayed == [False]
    assert isinstance(await shelf.ask(shared), Hit)


async def test_a_cache_that_is_away_is_a_miss_and_soon_not_asked(shelf, store):
    store.failing = ScriptError("gone")
    told = [await shelf.ask(replace(LOOK, parts=(b"%d" % at,))) for at in range(8)]
    assert {type(each) for each in told} == {Failed}
    assert store.looks == 5


async def test_a_store_that_does_not_keep_harms_nobody(shelf, store):
    first = await shelf.ask(LOOK)
    waiting = asyncio.create_task(shelf.ask(LOOK))
    await asyncio.sleep(0)
    store.failing = ScriptError("gone")
    shelf.keep(first.ticket, HEARD)
    assert isinstance(await waiting, Hit)
    await settled(shelf)


async def test_closing_waits_for_what_is_being_kept(shelf, store):
    shelf.keep((await shelf.ask(LOOK)).ticket, HEARD)
    await shelf.close()
    assert store.entries


# --- questions in other words -------------------------------------------------------------------------------
async def test_a_defect_is_a_miss_too_and_leaves_no_probe_without_an_end(store):
    clock = FakeClock()
    shelf = Shelf(store, SEALS, clock)
    store.failing = ScriptError("gone")
    for _ in range(5):
        await shelf.ask(LOOK)
    clock.at += 60
    store.failing = ValueError("of a kind that nobody expects")
    assert isinstance(await shelf.ask(LOOK), Failed)
    clock.at += 60
    store.failing = None
    assert isinstance(await shelf.ask(LOOK), Missed)


def said(text, place=b"place", prompt=None, **changes):
    alike = Alike(Similar(), (place,), text)
    return replace(LOOK, parts=(prompt or text.encode(),), alike=alike, **changes)


class Index:
    """Calls two questions one where they begin with the same letter; what was told last is near."""

    def __init__(self):
        self.kept, self.dropped, self.finds, self.gate, self.forced, self.closed = [], [], 0, None, None, False

    async def find(self, tenant, partition, alike):
        self.finds += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.forced is not None:
            return self.forced
        for each in reversed(self.kept):
            if each[:2] == (tenant, partition) and each[3][0] == alike.text[0]:
                return Near(schema=SCHEMA, name=each[2], likeness=0.93)
        return None

    def put(self, tenant, partition, name, alike, life_s):
        self.kept.append((tenant, partition, name, alike.text, life_s))

    def drop(self, tenant, partition, name):
        self.dropped.append((tenant, partition, name))

    async def close(self):
        self.closed = True


@pytest.fixture
def index():
    return Index()


@pytest.fixture
def comparing(store, index):
    return Shelf(store, SEALS, FakeClock(), index)


async def put(shelf, look, heard=HEARD):
    first = await shelf.ask(look)
    shelf.keep(first.ticket, heard)
    await settled(shelf)
    return first.ticket


async def test_a_question_in_other_words_gets_the_answer(comparing, index, store):
    first = await put(comparing, said("a tower?"))
    assert index.kept == [("acme", SEALS.name("acme", (b"place",)), first.name, "a tower?", CACHE.ttl_s)]
    found = await comparing.ask(said("about towers"))
    assert (found.entry.body, found.likeness) == (BODY, 0.93)
    assert found.ticket.name == SEALS.name("acme", (b"about towers",))
    await settled(comparing)
    assert not store.flights
    assert (await comparing.ask(said("a tower?"))).likeness is None
    assert isinstance(await comparing.ask(said("lamps")), Missed)


@pytest.mark.parametrize("other", [said("about", b"other place"), replace(said("about"), tenant="beta")])
async def test_other_places_and_tenants_get_nothing(comparing, other):
    await put(comparing, said("a tower?"))
    assert isinstance(await comparing.ask(other), Missed)


@pytest.mark.parametrize("kept_in", [said("a tower?", b"other place"), LOOK], ids=["of another place", "of no place"])
async def test_an_index_that_lies_gives_nothing_away(comparing, index, kept_in):
    """Whatever name it tells: what lies there must say itself that it belongs where it was looked for."""
    victim = await put(comparing, kept_in)
    index.forced = Near(schema=SCHEMA, name=victim.name, likeness=1.0)
    assert isinstance(await comparing.ask(said("about towers")), Missed)
    assert isinstance(await comparing.ask(replace(said("about towers"), tenant="beta")), Missed)


async def test_an_entry_that_was_planted_is_no_answer(comparing, index, store):
    index.forced = Near(schema=SCHEMA, name="f" * 64, likeness=1.0)
    store.entries["acme", "f" * 64] = (b"anything at all", 1000)
    assert isinstance(await comparing.ask(said("about towers")), Missed)


async def test_what_was_thrown_away_is_forgotten_by_the_index_too(comparing, index, store):
    first = await put(comparing, said("a tower?"))
    store.entries.clear()
    missed = await comparing.ask(said("about towers"))
    assert isinstance(missed, Missed)
    assert missed.ticket.token
    assert index.dropped == [("acme", SEALS.name("acme", (b"place",)), first.name)]


async def test_an_old_answer_is_none_to_other_words_either(store, index):
    clock = FakeClock()
    shelf = Shelf(store, SEALS, clock, index)
    await put(shelf, said("a tower?"))
    clock.at += 100
    assert isinstance(await shelf.ask(said("about", max_age_s=99)), Missed)
    assert isinstance(await shelf.ask(said("anything", max_age_s=100)), Hit)


async def test_who_wants_a_fresh_answer_is_compared_with_nobody(comparing, index):
    await put(comparing, said("a tower?"))
    before = index.finds
    assert isinstance(await comparing.ask(said("about", max_age_s=0)), Missed)
    assert index.finds == before


async def test_an_answer_that_may_not_be_kept_is_not_told_to_the_index(comparing, index):
    await put(comparing, said("a tower?"), replace(HEARD, parts=(b"{}",)))
    assert index.kept == []


async def test_a_crowd_in_other_words_asks_the_index_once_and_nobody_else(comparing, index, store):
    await put(comparing, said("a tower?"))
    before, index.gate = index.finds, asyncio.Event()
    asking = [asyncio.create_task(comparing.ask(said("about towers"))) for _ in range(200)]
    while index.finds == before:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    index.gate.set()
    told = await asyncio.gather(*asking)
    assert {type(each) for each in told} == {Hit}
    assert {(each.entry.body, each.likeness) for each in told} == {(BODY, 0.93)}
    assert index.finds == before + 1
    await settled(comparing)
    assert not store.flights


async def test_who_leaves_while_the_index_thinks_lets_the_others_go(comparing, index, store):
    index.gate = asyncio.Event()
    leader = asyncio.create_task(comparing.ask(said("about")))
    while not index.finds:
        await asyncio.sleep(0)
    follower = asyncio.create_task(comparing.ask(said("about")))
    await asyncio.sleep(0)
    leader.cancel()
    assert await follower == Missed()
    await settled(comparing)
    assert not store.flights


async def test_a_store_that_fails_at_the_second_look_leaves_a_place_to_keep(comparing, index, store):
    async def fails(tenant, name, tags):
        raise ScriptError("gone")

    await put(comparing, said("a tower?"))
    store.poll = fails
    missed = await comparing.ask(said("about towers"))
    assert isinstance(missed, Missed)
    assert missed.ticket.token


async def test_a_defect_while_it_compares_keeps_nobody_waiting(comparing, index, store):
    async def breaks(tenant, partition, alike):
        raise ValueError("of a kind that nobody expects")

    index.find = breaks
    assert isinstance(await comparing.ask(said("about towers")), Failed)
    await settled(comparing)
    assert not store.flights


async def test_closing_hangs_up_on_the_index(comparing, index):
    await comparing.close()
    assert index.closed
