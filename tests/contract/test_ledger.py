"""One suite for every ledger: memory and a real Valkey behave alike, and both as the pure functions say."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import valkey_server
from clocks import ManualClock
from gateway.clock import SystemClock
from gateway.limits import gcra
from gateway.limits.bucket import Bucket
from gateway.limits.door import LeasedLimiter
from gateway.limits.ledger import Grant, Ledger, LedgerError, MemoryLedger, ValkeyLedger, Want
from gateway.limits.local import LocalLimiter
from gateway.valkey import connect

# Intervals are seconds, so that no key of a real server ends by its own clock while a test's clock stands still.
TENANT = Bucket("acme", "tenant", 5, 60)
KEY = Bucket("acme", "key:k1", 2, 60)
START_US = 1_700_000_000_000_000


@dataclass(slots=True)
class Rig:
    """A ledger and the clock that it believes."""

    ledger: Ledger
    now_us: int = START_US

    async def one(self, bucket: Bucket, most: int = 1) -> Grant:
        return (await self.ledger.lease([Want(bucket, most)]))[0]


@pytest.fixture(params=["memory", "valkey"])
async def rig(request) -> AsyncIterator[Rig]:
    rig = Rig.__new__(Rig)
    rig.now_us = START_US
    if request.param == "memory":
        rig.ledger = MemoryLedger(lambda: rig.now_us)
        yield rig
        return
    client = request.getfixturevalue("server").client()
    await client.flushall()
    rig.ledger = ValkeyLedger(client, lambda: rig.now_us)
    yield rig
    await client.aclose()


async def test_a_burst_is_granted_then_one_each_interval(rig):
    assert [(await rig.one(TENANT)).granted for _ in range(6)] == [1] * 5 + [0]
    rig.now_us += 11_999_999
    assert (await rig.one(TENANT)).granted == 0
    rig.now_us += 1
    assert (await rig.one(TENANT)).granted == 1


async def test_a_lease_grants_what_is_left(rig):
    assert await rig.one(TENANT, 3) == Grant(3, 2, 0, 36_000_000)
    assert await rig.one(TENANT, 3) == Grant(2, 0, 0, 60_000_000)


async def test_a_refusal_tells_when_to_come_again_and_costs_nothing(rig):
    await rig.one(TENANT, 5)
    rig.now_us += 2_000_000
    for _ in range(3):
        assert await rig.one(TENANT) == Grant(0, 0, 10_000_000, 58_000_000)


async def test_several_limits_are_spent_together_or_not_at_all(rig):
    await rig.one(KEY, 2)
    refused = await rig.ledger.lease([Want(KEY, 1), Want(TENANT, 4)])
    assert refused == (Grant(0, 0, 30_000_000, 60_000_000), Grant(0, 5, 0, 0))
    rig.now_us += 30_000_000
    granted = await rig.ledger.lease([Want(KEY, 4), Want(TENANT, 4)])
    assert [grant.granted for grant in granted] == [1, 4]


async def test_tenants_and_scopes_do_not_touch_each_other(rig):
    await rig.one(TENANT, 5)
    assert (await rig.one(TENANT._replace(tenant="globex"))).granted == 1
    assert (await rig.one(TENANT._replace(scope="key:other"))).granted == 1


async def test_a_lowered_limit_and_a_clock_set_back_lock_nobody_out(rig):
    await rig.one(Bucket("acme", "tenant", 10, 86_400), 10)
    refused = await rig.one(TENANT)
    assert refused == Grant(0, 0, 12_000_000, 60_000_000)
    rig.now_us += 12_000_000
    assert (await rig.one(TENANT)).granted == 1
    rig.now_us -= 3_600_000_000
    assert (await rig.one(TENANT)).granted == 0
    rig.now_us += 12_000_000
    assert (await rig.one(TENANT)).granted == 1


async def test_one_bucket_twice_in_a_lease_is_a_mistake_of_the_caller(rig):
    with pytest.raises(ValueError, match="twice"):
        await rig.ledger.lease([Want(TENANT, 1), Want(TENANT._replace(requests=9), 1)])


async def test_no_wants_are_no_grants(rig):
    assert await rig.ledger.lease([]) == ()


BUCKETS = (TENANT, KEY, Bucket("acme", "key:k2", 7, 120), Bucket("acme", "key:k3", 1, 60))
wants = st.lists(
    st.tuples(st.sampled_from(BUCKETS), st.integers(0, 9)), min_size=1, max_size=4, unique_by=lambda w: w[0]
)
moves = st.one_of(st.integers(0, 40_000_000), st.integers(-5_000_000, 0))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(moves, wants), min_size=1, max_size=25))
def test_the_script_and_the_memory_ledger_do_what_the_pure_function_says(server, steps):
    async def play() -> None:
        client = server.client()
        now = START_US
        try:
            await client.flushall()
            shared = ValkeyLedger(client, lambda: now)
            memory = MemoryLedger(lambda: now)
            tats: dict[str, int] = {}
            for move, chosen in steps:
                now += move
                asked = [Want(bucket, most) for bucket, most in chosen]
                decisions = gcra.draw(now, [(tats.get(b.key, 0), b.limit, most) for b, most in asked])
                tats.update({want.bucket.key: one.tat for want, one in zip(asked, decisions, strict=True)})
                expected = tuple(Grant(d.granted, d.remaining, d.retry_after_us, d.reset_us) for d in decisions)
                assert await memory.lease(asked) == expected
                assert await shared.lease(asked) == expected
        finally:
            await client.aclose()

    asyncio.run(play())


async def test_keys_share_the_tenants_slot_and_end_by_themselves(client):
    await ValkeyLedger(client).lease([Want(TENANT, 1), Want(KEY, 1)])
    assert sorted(await client.keys("*")) == [b"ostiary:{acme}:rate:key:k1", b"ostiary:{acme}:rate:tenant"]
    assert 11_000 < await client.pttl(TENANT.key) <= 12_000


async def test_without_a_clock_of_ours_the_servers_counts(client):
    ledger = ValkeyLedger(client)
    await ledger.lease([Want(TENANT, 1)])
    seconds, _ = await client.time()
    assert abs(int(await client.get(TENANT.key)) / 1_000_000 - 12 - seconds) < 60


async def test_a_server_that_lost_the_script_gets_it_again(client):
    ledger = ValkeyLedger(client, lambda: START_US)
    await ledger.lease([Want(TENANT, 1)])
    await client.script_flush()
    assert (await ledger.lease([Want(TENANT, 1)]))[0].remaining == 3
    # The reload must not leave the next call without it.
    assert (await ledger.lease([Want(TENANT, 1)]))[0].remaining == 2


@pytest.mark.parametrize("spoiled", ["text", "list"])
async def test_a_key_that_somebody_spoiled_is_an_error_and_not_a_free_pass(client, spoiled):
    if spoiled == "text":
        await client.set(TENANT.key, "soon")
    else:
        await client.rpush(TENANT.key, "1")
    with pytest.raises(LedgerError):
        await ValkeyLedger(client).lease([Want(KEY, 1), Want(TENANT, 1)])
    assert await client.get(KEY.key) is None


async def test_a_server_that_is_away_is_told_without_its_address(tmp_path):
    client = connect(f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(LedgerError) as caught:
        await ValkeyLedger(client).lease([Want(TENANT, 1)])
    await client.aclose()
    assert "nobody.sock" not in repr(caught.value)
    assert caught.value.__cause__ is None


async def test_two_hundred_requests_over_four_workers_get_exactly_the_limit(server):
    clients = [server.client() for _ in range(4)]
    await clients[0].flushall()
    limit = Bucket("acme", "tenant", 50, 3600)
    own = Bucket("acme", "key:k1", 1000, 3600)
    doors = [
        LeasedLimiter(ValkeyLedger(client), LocalLimiter(SystemClock(), workers=4), SystemClock(), deadline_s=30.0)
        for client in clients
    ]
    verdicts = await asyncio.gather(*(doors[n % 4].spend([limit, own]) for n in range(200)))
    for client in clients:
        await client.aclose()
    assert sum(verdict.allowed for verdict in verdicts) == 50
    assert {verdict.which for verdict in verdicts if not verdict.allowed} == {"tenant"}
    assert sum(door.failures for door in doors) == 0


async def test_a_server_that_dies_leaves_the_local_share(tmp_path_factory):
    clock = ManualClock()
    with valkey_server.running(tmp_path_factory.mktemp("d")) as doomed:
        client = doomed.client()
        door = LeasedLimiter(ValkeyLedger(client), LocalLimiter(clock, workers=2), clock, deadline_s=30.0)
        assert (await door.spend([TENANT])).allowed
    verdicts = [await door.spend([TENANT]) for _ in range(5)]
    await client.aclose()
    # A share of 5 requests for two workers is 2; the one that the ledger granted counts.
    assert [verdict.allowed for verdict in verdicts] == [True, False, False, False, False]
    assert door.failures == 1


# --- connections ----
async def test_more_leases_at_once_than_connections_wait_for_one(server):
    client = connect(server.url, connections=2)
    await client.flushall()
    ledger = ValkeyLedger(client, lambda: START_US)
    buckets = [Bucket("acme", f"key:{number}", 5, 60) for number in range(40)]
    async with asyncio.timeout(20):
        grants = await asyncio.gather(*(ledger.lease([Want(bucket, 1)]) for bucket in buckets))
    assert grants == [(Grant(1, 4, 0, 12_000_000),)] * 40
    await client.aclose()


async def test_connections_that_the_server_has_dropped_are_replaced(server, client):
    ledger = ValkeyLedger(client, lambda: START_US)
    other = server.client()
    for left in (4, 3, 2):
        assert await ledger.lease([Want(TENANT, 1)]) == (Grant(1, left, 0, (5 - left) * 12_000_000),)
        await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await other.aclose()


async def test_a_lease_that_was_given_up_leaves_no_answer_to_the_next(client):
    ledger = ValkeyLedger(client, lambda: START_US)
    await ledger.lease([Want(TENANT, 1)])
    for _ in range(20):
        given_up = asyncio.ensure_future(ledger.lease([Want(KEY, 1), Want(TENANT._replace(scope="other"), 1)]))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
    assert await ledger.lease([Want(TENANT, 1)]) == (Grant(1, 3, 0, 24_000_000),)


async def test_an_error_of_the_server_costs_no_connection(client):
    ledger = ValkeyLedger(client, lambda: START_US)
    await client.set(KEY.key, "spoiled")
    before = (await client.info("stats"))["total_connections_received"]
    for _ in range(10):
        with pytest.raises(LedgerError):
            await ledger.lease([Want(KEY, 1)])
    assert (await client.info("stats"))["total_connections_received"] <= before + 1
