"""API keys end to end, on a real Valkey: what control does, each worker's book knows; nobody is asked."""

import asyncio
import random
import secrets
from dataclasses import replace

import pytest

import authz_case
import valkey_server
from authz.apikey import Fault, Rejected, check
from authz.decide import Allowed, Refused, decide
from authz.keybook import KeyBook
from authz.means import Means
from authz.tokens import Tokens
from authz.usage import LastUse
from clocks import ManualClock
from control.keys import OVERLAP_S, Keys
from gateway.aio import cancel_and_wait, spawn
from gateway.clock import SystemClock
from gateway.errors import Kind
from gateway.policy.model import Key
from gateway.registry.last_used import ValkeyLastUsed
from gateway.registry.model import Sort
from gateway.registry.replica import ValkeyReplica
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry, hash_of

NOW = 1_800_000_000
DEADLINE_S = 20.0  # for news to arrive on a machine that is busy; it takes milliseconds
POLICY = replace(authz_case.POLICY, keys={})
WISH = {"tenant": "acme", "principal": "ci"}


class World:
    """One control and two workers."""

    def __init__(self, client, books: list[KeyBook], clock: ManualClock) -> None:
        self.client, self.books, self.clock = client, books, clock
        self.last_used = ValkeyLastUsed(client)
        self.keys = Keys(
            registry=ValkeyRegistry(client, Seals(authz_case.PEPPERS.secrets)),
            peppers=authz_case.PEPPERS,
            policy=lambda: POLICY,
            clock=clock,
            random=secrets.token_bytes,
            last_used=self.last_used,
        )

    async def until(self, text: str, meets) -> None:
        """Wait until each worker's answer about the key is what `meets` wants."""
        async with asyncio.timeout(DEADLINE_S):
            while not all(meets(check(text, book.of(POLICY), authz_case.PEPPERS)) for book in self.books):
                await asyncio.sleep(0.005)

    def decisions(self, text: str) -> list[Allowed | Refused]:
        """What each worker says to a request with the key."""
        ask = authz_case.ask(authz_case.bearer(text))
        means = [Means(authz_case.PEPPERS, Tokens(authz_case.NoKeys()), keys=book) for book in self.books]
        return [decide(ask, POLICY, one, now_s=self.clock.now(), random=secrets.token_bytes) for one in means]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with valkey_server.running(tmp_path_factory.mktemp("v")) as started:
        yield started


def following(client) -> tuple[ValkeyReplica, KeyBook]:
    replica = ValkeyReplica(client, Seals(authz_case.PEPPERS.secrets), SystemClock(), random.random)
    book = KeyBook(replica.age_s)
    replica.follow(Sort.KEY, book.apply)
    return replica, book


@pytest.fixture
async def world(server):
    client, books, tasks = server.client(), [], []
    await client.flushall()
    for _ in range(2):
        replica, book = following(client)
        books.append(book)
        tasks.append(spawn(replica.run(), "replica"))
        assert await replica.ready(DEADLINE_S)
    yield World(client, books, ManualClock(now=NOW))
    await cancel_and_wait(*tasks)
    await client.aclose()


def is_key(found) -> bool:
    return isinstance(found, Key)


async def test_a_created_key_opens_every_worker_until_it_is_disabled(world):
    made = await world.keys.create(WISH, "alice")
    await world.until(made["key"], is_key)
    assert all(isinstance(one, Allowed) for one in world.decisions(made["key"]))
    await world.keys.disable(made["id"])
    await world.until(made["key"], lambda found: found == Rejected(Fault.DISABLED, made["id"]))
    assert {one.error.kind for one in world.decisions(made["key"])} == {Kind.CREDENTIAL_INVALID}
    await world.keys.enable(made["id"])
    await world.until(made["key"], is_key)
    await world.keys.delete(made["id"])
    await world.until(made["key"], lambda found: found == Rejected(Fault.UNKNOWN, made["id"]))


async def test_after_a_rotation_both_keys_count_until_the_overlap_ends(world):
    old = await world.keys.create({**WISH, "scopes": ["chat"]}, "alice")
    new = await world.keys.rotate(old["id"], {}, "bob")
    await world.until(old["key"], lambda found: is_key(found) and found.expires_at == NOW + OVERLAP_S)
    await world.until(new["key"], is_key)
    assert all(isinstance(one, Allowed) for one in world.decisions(old["key"]) + world.decisions(new["key"]))
    world.clock.advance(OVERLAP_S)
    assert {one.error.kind for one in world.decisions(old["key"])} == {Kind.CREDENTIAL_EXPIRED}
    assert {one.caller.scopes for one in world.decisions(new["key"])} == {("chat",)}


async def test_of_many_rotations_at_once_exactly_one_is_made(world):
    old = await world.keys.create(WISH, "alice")
    results = await asyncio.gather(
        *(world.keys.rotate(old["id"], {}, f"op{n}") for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, dict) for one in results) == 1
    assert {getattr(one, "status", 409) for one in results} == {409}
    assert len((await world.keys.list()).keys) == 2


async def test_a_key_that_was_put_into_valkey_by_somebody_else_opens_nothing(world):
    made = await world.keys.create(WISH, "alice")
    await world.until(made["key"], is_key)
    name = hash_of(Sort.KEY)
    sealed = await world.client.hget(name, made["id"])
    forged = sealed.replace(b'"principal":"ci"', b'"principal":"xx"')
    assert forged != sealed
    await world.client.hset(name, made["id"], forged)
    replica, late = following(world.client)
    task = spawn(replica.run(), "replica")
    assert await replica.ready(DEADLINE_S)
    assert check(made["key"], late.of(POLICY), authz_case.PEPPERS) == Rejected(Fault.UNKNOWN, made["id"])
    await cancel_and_wait(task)


async def test_last_use_reaches_the_operators_list(world):
    made = await world.keys.create(WISH, "alice")
    await world.until(made["key"], is_key)
    noted = LastUse(world.last_used, world.books[0].holds, world.clock)
    noted.used(made["id"])
    noted.used("alice0000001")
    await noted.flush()
    assert (await world.keys.show(made["id"]))["last_used_at"] == NOW
    assert await world.last_used.read(["alice0000001"]) == {}
    await world.keys.delete(made["id"])
    assert await world.last_used.read([made["id"]]) == {}
