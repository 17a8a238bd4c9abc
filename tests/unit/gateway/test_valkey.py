"""Connections as the settings describe them, to a real Valkey: users of an ACL, and what the documented ACL allows."""

import asyncio
import random
import re
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError, NoPermissionError  # noqa: A004 -- theirs is not the built-in

import valkey_server
from control.oauth.replay import ValkeySeen
from gateway.aio import cancel_and_wait, spawn
from gateway.budgets import oracle as budgets
from gateway.budgets.board import Notice, ValkeyBoard
from gateway.budgets.store import ValkeyStore
from gateway.budgets.window import Meter
from gateway.cache.store import Putting, State, Store
from gateway.clock import SystemClock
from gateway.limits.bucket import Bucket
from gateway.limits.ledger import ValkeyLedger, Want
from gateway.registry.last_used import ValkeyLastUsed
from gateway.registry.model import Change, RegistryError, Sort
from gateway.registry.replica import ValkeyReplica
from gateway.registry.seal import Seals
from gateway.registry.valkey import LOG, ValkeyRegistry, hash_of
from gateway.script import Pipe
from gateway.settings import Settings
from gateway.tls import HopError, HopFiles
from gateway.valkey import client, connect
from told import Told

SEALS = Seals({"v1": b"p" * 32})
PASSWORD = "a/b:c@d%"  # as a vault makes them
ENCODED = "a%2Fb%3Ac%40d%25"
OPERATIONS = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with the users of docs/operations.md, and `admin` for the tests."""
    directory = tmp_path_factory.mktemp("v")
    lines = re.findall(r"^user .*$", OPERATIONS.read_text(), re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["default", "control", "worker"]
    acl = directory / "users.acl"
    acl.write_text("\n".join(lines).replace("PASSWORD", PASSWORD) + "\nuser admin on nopass ~* &* +@all\n")
    with valkey_server.running(directory, "--aclfile", str(acl)) as started:
        yield started


@pytest.fixture
async def as_user(server):
    clients = []

    def make(user, password=ENCODED):
        clients.append(connect(f"unix://{user}:{password}@{server.socket}", retries=0))
        return clients[-1]

    await make("admin", "x").flushall()
    yield make
    for one in clients:
        await one.aclose()


async def test_user_and_password_of_the_url_are_used(as_user):
    assert await as_user("admin", "x").acl_whoami() == "admin"
    with pytest.raises(ConnectionError, match="invalid username-password"):
        await as_user("worker", "wrong").get("{ostiary}:registry:log")


async def test_the_documented_users_can_do_their_work(as_user):
    registry = ValkeyRegistry(as_user("control"), SEALS)
    await registry.apply([Change(Sort.KEY, "old", b"0"), Change(Sort.KEY, "gone", b"0")])
    replica, told = ValkeyReplica(as_user("worker"), SEALS, SystemClock(), random.random), Told()
    replica.follow(Sort.KEY, told.apply)
    task = spawn(replica.run(), "replica")
    assert await replica.ready(20)
    await registry.apply([Change(Sort.KEY, "k", b"1", None)])
    await registry.apply([Change(Sort.KEY, "gone", None, b"0")])
    await told.until(lambda view: view == {"old": b"0", "k": b"1"})
    assert await registry.get(Sort.KEY, "k") == b"1"
    assert len(await registry.list(Sort.KEY)) == 2
    grant = await ValkeyLedger(as_user("worker")).lease([Want(Bucket("acme", "tenant", 5, 60), 1)])
    assert grant[0].granted == 1
    await _use_budgets(as_user("worker"))
    await _tell_of_budgets(as_user("worker"), as_user("control"))
    await _use_cache(as_user("worker"), as_user("control"))
    await cancel_and_wait(task)
    await ValkeyLastUsed(as_user("worker")).note({"k": 1_700_000_000})
    assert await ValkeyLastUsed(as_user("control")).read(["k"]) == {"k": 1_700_000_000}
    await ValkeyLastUsed(as_user("control")).forget("k")
    assert [await ValkeySeen(as_user("control"), SystemClock()).first("c", "jti", 4e9) for _ in range(2)] == [
        True,
        False,
    ]
    assert await as_user("control").ping()


async def _use_budgets(client):
    """All operations, and whatever the script does when time has passed or has run backwards."""
    now = [1_700_000_000_000]
    store = ValkeyStore(Pipe(client), lambda: now[0])
    key, meter = "ostiary:{acme}:budget:x", Meter("S", 1000, 5, soft=False, once=False)
    for step in (0, 1, 700_000, -5_000):
        now[0] += step
        reserved = await store.reserve([budgets.Want(key, meter, 2, 2)], 10_000, print)
        part = budgets.Part(key, meter, 2, reserved.figures[0].until, 1)
        assert (await store.extend(f"{key}:r{now}", [part], 10_000)).done
        await store.settle(f"{key}:r{now}", [part])
        assert not (await store.reserve([budgets.Want(key, meter, 9, 9)], 10_000, print)).done
    await store.lease([f"{key}:w"], [budgets.Slice(key, meter, 0, 0, 0, 0, 0, 1, 1)], 10_000)


async def _use_cache(worker, control):
    """One fetches, keeps and takes more than there is room for; the other throws it away."""
    store = Store(Pipe(worker))
    for name in ("n1", "n2"):
        looked = await store.look("acme", name, ["faq"], "t", 5000)
        how = Putting(since_ms=looked.now_ms, life_ms=60_000, most=1, stays=True, token="t")
        assert await store.keep("acme", name, b"sealed", how)
    assert (await store.poll("acme", "n2", ["faq"])).state is State.FOUND
    await Store(Pipe(control)).mark("acme", ["faq"])
    assert (await store.look("acme", "n2", ["faq"], "t", 5000)).state is State.YOURS
    await store.drop("acme", "n2", "t")


async def _tell_of_budgets(worker, control):
    """What one puts up, the other takes down; and it looks at limits."""
    board, taker = ValkeyBoard(Pipe(worker)), ValkeyBoard(Pipe(control))
    notice = Notice(
        id="a",
        key="k",
        tenant="acme",
        limit="day",
        resource="tokens",
        subject={},
        percent=50,
        used=5,
        amount=10,
        hard=True,
        at_s=1.0,
        ends_s=9.0,
    )
    assert await board.tell(notice, 60_000)
    await board.seen("acme", ["k"])
    assert await taker.take(0, 1) == [notice]
    await taker.later(notice, 0)
    await taker.done(notice)
    assert await taker.subjects("acme") == ["k"]
    meter = Meter("S", 1000, 5, soft=False, once=False)
    assert len(await ValkeyStore(Pipe(control)).look([("ostiary:{acme}:budget:x", meter)])) == 1


async def test_a_worker_may_not_write_the_registry(as_user):
    worker = as_user("worker")
    with pytest.raises(RegistryError, match="NoPermission"):
        await ValkeyRegistry(worker, SEALS).apply([Change(Sort.KEY, "k", b"1")])
    for command in (
        ("SET", LOG, "x"),
        ("HDEL", hash_of(Sort.KEY), "k"),
        ("HSET", hash_of(Sort.KEY), "k", "x"),
        ("DEL", LOG),
        ("FLUSHALL",),
        ("KEYS", "*"),
    ):
        with pytest.raises(NoPermissionError):
            await worker.execute_command(*command)
    assert await as_user("admin", "x").exists(LOG) == 0


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("DEL", LOG),
        ("GET", "ostiary:{a}:rate:x"),
        ("HSET", "ostiary:{a}:budget:x", "s", "0"),
        ("HDEL", "ostiary:{a}:budget:x", "s"),
        ("ZADD", "ostiary:{a}:subjects", "1", "k"),
    ],
)
async def test_control_may_do_nothing_else(as_user, command):
    with pytest.raises(NoPermissionError):
        await as_user("control").execute_command(*command)


async def test_settings_without_a_server_give_no_client():
    assert client(Settings()) is None


async def test_settings_give_the_client(as_user, server):
    made = client(Settings(valkey_url=f"unix://worker:{ENCODED}@{server.socket}"))
    assert await made.get("{ostiary}:registry:incarnation") is None
    await made.aclose()


def test_certificates_that_cannot_be_used_are_told_before_anything_connects(tmp_path):
    with pytest.raises(HopError):
        connect("rediss://valkey.example:6380", HopFiles(ca_file=tmp_path / "absent.pem"))


async def test_a_cancelled_command_ends_although_its_sending_just_ended(as_user):
    """With a socket timeout the library loses such a cancellation; see `connect`."""
    worker = as_user("admin", "x")
    await worker.get("k")
    for turns in range(12):
        task = spawn(worker.blpop("nothing"), "waiting")
        for _ in range(turns):
            await asyncio.sleep(0)
        # Below the library's own 5 s, at whose end a task that lost its cancellation would end after all.
        assert await cancel_and_wait(task, within_s=4)
