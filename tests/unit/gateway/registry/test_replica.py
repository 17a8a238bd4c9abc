"""A replica against a real Valkey that loses messages, restarts, is wiped, goes back, or is written to by others."""

import asyncio
import contextlib
import random
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing

import valkey_server
from gateway.aio import cancel_and_wait, spawn
from gateway.clock import SystemClock
from gateway.registry import replica as module
from gateway.registry.model import CHANGES_MAX, Change, RegistryError, Sort
from gateway.registry.replica import ValkeyReplica
from gateway.registry.seal import Seals
from gateway.registry.valkey import CHANNEL, INCARNATION, LOG, LOG_CHANGES, ValkeyRegistry, hash_of
from gateway.valkey import connect
from told import PATIENCE_S, Told

SEALS = Seals({"v1": b"p" * 32})
KEY, REVOCATION = Sort.KEY, Sort.REVOCATION
#: Persisted as `ostiary up` does it, but for `always`: a test that stops the server knows what was written.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with valkey_server.running(tmp_path_factory.mktemp("v")) as started:
        yield started


class Rig:
    """One worker's replica with two listeners, and the registry that `control` writes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clients = []
        self.raw = self.client()
        self.registry = ValkeyRegistry(self.client(), SEALS)
        self.keys, self.revoked = Told(), Told()
        self.task = None

    def client(self, url: str = ""):
        self.clients.append(connect(url or self.url, retries=0))
        return self.clients[-1]

    async def follow(self):
        self.replica = ValkeyReplica(self.client(), SEALS, SystemClock(), random.random)
        self.replica.follow(KEY, self.keys.apply)
        self.replica.follow(REVOCATION, self.revoked.apply)
        self.task = spawn(self.replica.run(), "replica")
        assert await self.replica.ready(PATIENCE_S)

    async def unheard(self, changes):
        """Change the registry by a user who may not publish: as if every message were lost."""
        await self.raw.acl_setuser(
            "mute", enabled=True, nopass=True, keys=["*"], commands=["+@all"], reset_channels=True
        )
        mute = self.url.replace("unix://", "unix://mute:x@")
        return await ValkeyRegistry(self.client(mute), SEALS).apply(changes)

    async def fill(self, number):
        changes = [Change(KEY, f"k{at:05}", b"{}") for at in range(number)]
        for at in range(0, number, CHANGES_MAX):
            await self.registry.apply(changes[at : at + CHANGES_MAX])

    async def known_since(self, moment_s):
        """Until the replica knows that it had missed nothing at `moment_s`."""
        async with asyncio.timeout(PATIENCE_S):
            while SystemClock().monotonic() - self.replica.age_s() < moment_s:
                await asyncio.sleep(0.01)

    async def close(self):
        if self.task is not None:
            await cancel_and_wait(self.task)
        for client in self.clients:
            await client.aclose()


@pytest.fixture
async def rig(shared):
    async with rigged(shared.url) as rig:
        await rig.raw.flushall()
        yield rig


@asynccontextmanager
async def rigged(url):
    rig = Rig(url)
    try:
        yield rig
    finally:
        await rig.close()


# --- messages that do not arrive ------------------------------------------------------------------------------
async def test_a_change_whose_message_was_lost_arrives_by_the_poll(rig):
    await rig.follow()
    await rig.unheard([Change(REVOCATION, "key:k1", b"{}"), Change(KEY, "k1", b"1")])
    await rig.revoked.until(lambda view: "key:k1" in view)
    await rig.unheard([Change(REVOCATION, "key:k1", None)])
    await rig.revoked.until(lambda view: not view)
    assert rig.keys.view == {"k1": b"1"}


async def test_messages_after_a_lost_one_count_too(rig):
    await rig.follow()
    await rig.unheard([Change(KEY, "lost", b"1")])
    await rig.registry.apply([Change(KEY, "heard", b"2")])
    await rig.keys.until(lambda view: view == {"lost": b"1", "heard": b"2"})
    await rig.registry.apply([Change(KEY, "heard", b"3")])
    await rig.keys.until(lambda view: view["heard"] == b"3")


async def test_a_killed_subscription_is_made_anew(rig):
    await rig.follow()
    await rig.raw.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await rig.registry.apply([Change(REVOCATION, "key:k1", b"{}")])
    await rig.revoked.until(lambda view: "key:k1" in view)
    async with asyncio.timeout(PATIENCE_S):
        while (await rig.raw.pubsub_numsub(CHANNEL))[0][1] != 1:
            await asyncio.sleep(0.01)


class Middle:
    """Stands between a replica and Valkey, and can take connections without ever passing on a byte."""

    def __init__(self, server):
        self.server = server
        self.mute = False
        self.open = []

    async def serve(self, reader, writer):
        self.open.append(writer)
        if self.mute:
            return
        there, back = await asyncio.open_unix_connection(str(self.server.socket))
        self.open.append(back)
        await asyncio.gather(self.pass_on(reader, back), self.pass_on(there, writer))

    async def pass_on(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    def break_all(self):
        while self.open:
            self.open.pop().close()


async def test_a_server_that_takes_the_subscription_anew_and_is_silent_is_given_up(shared, tmp_path):
    middle = Middle(shared)
    server = await asyncio.start_unix_server(middle.serve, tmp_path / "m")
    async with server, rigged(shared.url) as rig:
        await rig.raw.flushall()
        rig.url = f"unix://{tmp_path / 'm'}"
        await rig.follow()
        middle.mute = True
        middle.break_all()
        async with asyncio.timeout(PATIENCE_S):
            while not middle.open:  # the subscription is taken up again, and hears nothing
                await asyncio.sleep(0.01)
        middle.mute = False
        await rig.registry.apply([Change(REVOCATION, "key:k1", b"{}")])
        await rig.revoked.until(lambda view: "key:k1" in view)
        middle.break_all()
        await cancel_and_wait(rig.task)


async def test_a_deaf_subscription_is_noticed_and_made_anew(rig, monkeypatch):
    monkeypatch.setattr(module, "CHANNEL", "elsewhere")  # the replica listens where nobody speaks
    with structlog.testing.capture_logs() as logs:
        await rig.follow()
        monkeypatch.undo()
        for number in range(3):  # each found by its own poll
            await rig.registry.apply([Change(KEY, f"k{number}", b"{}")])
            await rig.keys.until(lambda view, number=number: f"k{number}" in view)
    assert [one["event"] for one in logs if one["log_level"] == "warning"] == ["registry_deaf"]
    async with asyncio.timeout(PATIENCE_S):
        while (await rig.raw.pubsub_numsub(CHANNEL))[0][1] != 1:
            await asyncio.sleep(0.01)


async def test_many_lost_changes_are_healed_page_by_page(rig):
    await rig.follow()
    changes = [Change(KEY, f"k{at:04}", b"{}") for at in range(1300)]
    for at in range(0, len(changes), CHANGES_MAX):
        await rig.unheard(changes[at : at + CHANGES_MAX])
    await rig.keys.until(lambda view: len(view) == len(changes))


async def test_a_gap_wider_than_the_log_is_loaded_anew(rig, monkeypatch):
    await rig.fill(30)
    await rig.registry.apply([Change(REVOCATION, "key:old", b"{}")])
    await rig.follow()
    monkeypatch.setattr("gateway.registry.valkey.LOG_CHANGES", 5)
    await rig.raw.xtrim(LOG, 1)
    with structlog.testing.capture_logs() as logs:
        # One apply: no poll can come in between and find the gap still narrow.
        gone = [Change(KEY, f"k{at:05}", None) for at in range(20)]
        await rig.unheard([*gone, Change(REVOCATION, "key:old", None), Change(KEY, "new", b"{}")])
        await rig.revoked.until(lambda view: not view)  # taken back in order: it does not stay
    assert sorted(rig.keys.view) == ["k00020", *(f"k{at:05}" for at in range(21, 30)), "new"]
    assert [one["event"] for one in logs] == ["registry_loaded"]


async def test_the_log_of_changes_is_bounded(rig, monkeypatch):
    assert LOG_CHANGES == 10_000
    monkeypatch.setattr("gateway.registry.valkey.LOG_CHANGES", 50)
    await rig.fill(300)
    assert await rig.raw.xlen(LOG) == 50


async def test_a_message_is_not_believed_that_something_is_gone(rig):
    await rig.registry.apply([Change(REVOCATION, "key:k1", b"{}")])
    await rig.follow()
    (at, fields), *_ = await rig.raw.xrevrange(LOG, count=1)
    before = b"%b %b" % (at.partition(b"-")[0], fields[b"tip"])
    began_s = SystemClock().monotonic()
    await rig.raw.publish(CHANNEL, before + b' forged [["revocation","key:k1",null]]')
    await rig.known_since(began_s)
    assert rig.revoked.story == [("key:k1", b"{}")]


async def test_a_replayed_message_counts_until_the_next_poll_at_most(rig):
    """An older entry of the same id, sealed by us, published by somebody else."""
    stale = SEALS.close(KEY, "k1", b"old").decode()
    await rig.registry.apply([Change(KEY, "k1", b"old")])
    await rig.registry.apply([Change(KEY, "k1", b"disabled"), Change(REVOCATION, "key:k2", b"{}")])
    await rig.follow()
    (at, fields), *_ = await rig.raw.xrevrange(LOG, count=1)
    before = b"%b %b" % (at.partition(b"-")[0], fields[b"tip"])
    await rig.raw.publish(CHANNEL, before + b' forged [["key","k1","%b"]]' % stale.encode())
    await rig.keys.until(lambda view: view["k1"] == b"old")
    await rig.keys.until(lambda view: view["k1"] == b"disabled")
    assert rig.revoked.view == {"key:k2": b"{}"}
    assert ("key:k2", None) not in rig.revoked.story


@pytest.mark.parametrize(
    "message", [b"", b"1 2 3", b"x - t []", b"0 - t {", b"0 - t [1]", b'0 - t [["nosort","k","v"]]', b"\xff" * 9]
)
async def test_a_garbled_message_changes_nothing(rig, message):
    await rig.follow()
    await rig.raw.publish(CHANNEL, message)
    await rig.registry.apply([Change(KEY, "k", b"1")])
    await rig.keys.until(lambda view: view == {"k": b"1"})


# --- entries that somebody else wrote ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "stored",
    [b"{}", b"", b"v1:00:{}", b"v9:" + b"0" * 64 + b":{}", SEALS.close(KEY, "k2", b"{}"), b"\xff" * 70_000],
    ids=["bare", "empty", "short-mac", "unknown-pepper", "moved", "huge"],
)
async def test_an_entry_with_a_wrong_seal_is_absent_named_and_counted(rig, stored):
    await rig.registry.apply([Change(KEY, "good", b"{}")])
    await rig.raw.hset(hash_of(KEY), "k1", stored)
    with structlog.testing.capture_logs() as logs:
        await rig.follow()
    assert rig.keys.view == {"good": b"{}"}
    assert rig.replica.refused == 1
    (line,) = [one for one in logs if one["event"] == "registry_entry_refused"]
    assert line == {"event": "registry_entry_refused", "log_level": "error", "sort": "key", "id": "k1"}


async def test_ids_that_are_no_text_are_refused_too(rig):
    await rig.raw.hset(hash_of(KEY), b"\xff\xfe", SEALS.close(KEY, "x", b"{}"))
    await rig.follow()
    assert (rig.keys.view, rig.replica.refused) == ({}, 1)


async def test_a_spoilt_key_is_forgotten_and_a_spoilt_revocation_is_not(rig):
    await rig.registry.apply([Change(KEY, "k1", b"{}"), Change(REVOCATION, "key:k2", b"{}")])
    await rig.follow()
    await rig.raw.hset(hash_of(KEY), "k1", b"spoilt")
    await rig.raw.hset(hash_of(REVOCATION), "key:k2", b"spoilt")
    await rig.raw.delete(LOG)  # everything is looked at again
    await rig.keys.until(lambda view: not view)
    await rig.registry.apply([Change(KEY, "end", b"{}")])
    await rig.keys.until(lambda view: "end" in view)
    assert rig.revoked.view == {"key:k2": b"{}"}


async def test_a_flood_of_forged_entries_does_not_flood_the_log(rig):
    await rig.raw.hset(hash_of(KEY), mapping={f"k{at}": b"forged" for at in range(400)})
    with structlog.testing.capture_logs() as logs:
        await rig.follow()
    assert rig.replica.refused == 400
    assert sum(one["event"] == "registry_entry_refused" for one in logs) == 20


async def test_a_log_of_another_shape_is_survived(rig):
    await rig.follow()
    await rig.raw.xadd(LOG, {"what": "ever"}, id="1-0")
    with pytest.raises(RegistryError):
        await ValkeyRegistry(rig.client("unix:///nowhere.sock"), SEALS).get(KEY, "k")
    await rig.raw.delete(LOG)
    await rig.registry.apply([Change(KEY, "k", b"1")])
    await rig.keys.until(lambda view: view == {"k": b"1"})


async def test_a_listener_that_raises_keeps_nothing_from_the_others(rig):
    def bad(entry_id, value):
        raise ValueError(value)

    replica = ValkeyReplica(rig.client(), SEALS, SystemClock(), random.random)
    replica.follow(KEY, bad)
    replica.follow(KEY, rig.keys.apply)
    rig.task = spawn(replica.run(), "replica")
    with structlog.testing.capture_logs() as logs:
        await rig.registry.apply([Change(KEY, "k", b"secret-value")])
        await rig.keys.until(lambda view: "k" in view)
    assert "secret-value" not in str(logs)
    assert "registry_listener_failed" in str(logs)


# --- a server that goes away --------------------------------------------------------------------------------------
def running(directory: Path):
    return valkey_server.running(directory, *DURABLE)


async def test_a_restart_loses_nothing(tmp_path):
    async with rigged(f"unix://{tmp_path}/v.sock") as rig:
        with running(tmp_path):
            await rig.registry.apply([Change(KEY, "k", b"1"), Change(REVOCATION, "key:x", b"{}")])
            await rig.follow()
        with structlog.testing.capture_logs() as logs, running(tmp_path):
            await rig.known_since(SystemClock().monotonic())
            assert (await rig.registry.get(KEY, "k"), await rig.registry.apply([Change(KEY, "k2", b"2")])) == (b"1", 3)
            await rig.keys.until(lambda view: "k2" in view)
        assert rig.revoked.story == [("key:x", b"{}")]  # healed by the log, not told again
        assert "registry_lost" in str(logs)


async def test_what_is_known_stays_while_the_server_is_away_and_its_age_tells(tmp_path):
    async with rigged(f"unix://{tmp_path}/v.sock") as rig:
        with running(tmp_path) as server:
            await rig.registry.apply([Change(REVOCATION, "key:x", b"{}")])
            await rig.follow()
            server.process.send_signal(signal.SIGSTOP)  # answers nothing, closes nothing
            began_s = SystemClock().monotonic()
            async with asyncio.timeout(PATIENCE_S):
                while rig.replica.age_s() < 0.5:
                    await asyncio.sleep(0.01)
            assert rig.revoked.view == {"key:x": b"{}"}
            server.process.send_signal(signal.SIGCONT)
            await rig.known_since(began_s)


async def test_a_wiped_registry_is_noticed_and_takes_back_no_revocation(rig):
    await rig.registry.apply([Change(KEY, "k", b"1"), Change(REVOCATION, "key:x", b"{}")])
    await rig.follow()
    with structlog.testing.capture_logs() as logs:
        await rig.raw.flushall()
        await rig.keys.until(lambda view: not view)
        await rig.registry.apply([Change(KEY, "k3", b"3"), Change(REVOCATION, "key:y", b"{}")])
        await rig.keys.until(lambda view: view == {"k3": b"3"})
    assert set(rig.revoked.view) == {"key:x", "key:y"}
    assert {"event": "registry_went_back", "kept_revocations": 1}.items() <= next(
        one for one in logs if one["event"] == "registry_went_back"
    ).items()
    # Taken back by name, it goes.
    await rig.registry.apply([Change(REVOCATION, "key:x", None)])
    await rig.revoked.until(lambda view: set(view) == {"key:y"})


async def test_an_epoch_reached_twice_is_not_taken_for_the_same(rig):
    """The server came back without its last second, and as many other changes followed before anybody looked."""
    await rig.registry.apply([Change(KEY, "a", b"1")])
    saved = {key: await rig.raw.dump(key) for key in (LOG, INCARNATION, hash_of(KEY))}
    await rig.registry.apply([Change(KEY, "lost", b"2"), Change(REVOCATION, "key:lost", b"{}")])
    await rig.follow()
    async with rig.raw.pipeline(transaction=True) as together:
        together.delete(hash_of(REVOCATION))
        for key, dumped in saved.items():
            together.restore(key, 0, dumped, replace=True)
        together.hset(hash_of(KEY), "other", SEALS.close(KEY, "other", b"3"))
        together.hset(hash_of(KEY), "a", SEALS.close(KEY, "a", b"4"))
        for number in (2, 3):
            together.xadd(LOG, {"tip": "another", "hash": hash_of(KEY), "id": "other"}, id=f"{number}-0")
        await together.execute()
    await rig.keys.until(lambda view: view == {"a": b"4", "other": b"3"})
    assert rig.revoked.view == {"key:lost": b"{}"}


async def test_a_replica_without_a_server_is_not_ready_and_infinitely_old(tmp_path):
    async with rigged(f"unix://{tmp_path}/nobody.sock") as rig:
        replica = ValkeyReplica(rig.client(), SEALS, SystemClock(), random.random)
        rig.task = spawn(replica.run(), "replica")
        assert not await replica.ready(0.05)
        assert replica.age_s() == float("inf")
        with pytest.raises(RuntimeError, match="before run"):
            replica.follow(KEY, rig.keys.apply)


async def test_a_change_during_a_load_is_not_lost(rig):
    """Changes of every page that the load reads, while it reads."""
    await rig.fill(1500)
    clock = SystemClock()
    replica = ValkeyReplica(rig.client(), SEALS, clock, random.random)
    at = 0

    def apply(entry_id, value):
        rig.keys.apply(entry_id, value)
        nonlocal at
        if at < 40 and len(rig.keys.story) % 30 == 0:
            at += 1
            spawn(rig.registry.apply([Change(KEY, f"k{at * 37:05}", b"%d" % at)]), "change")

    replica.follow(KEY, apply)
    rig.task = spawn(replica.run(), "replica")
    assert await replica.ready(PATIENCE_S)
    await rig.keys.until(lambda view: at == 40 and all(view.get(f"k{n * 37:05}") == b"%d" % n for n in range(1, 41)))
