"""The index in vector sets of a real Redis 8: what lies there, how it ends, and what a stranger who writes there can do."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

np = pytest.importorskip("numpy", reason="only with `make analysis`")

import redis8_server  # noqa: E402 -- after it is known to be there
import valkey_server  # noqa: E402
from analysis.neighbours import Kept  # noqa: E402
from analysis.vectorset import VectorSet, VectorSetError, probe  # noqa: E402
from analysis.veil import Veil  # noqa: E402
from clocks import ManualClock  # noqa: E402
from gateway.script import Pipe  # noqa: E402
from gateway.valkey import connect  # noqa: E402

pytestmark = redis8_server.needs_redis8
PLACE, OTHER = "a" * 64, "b" * 64
PATIENT_S = 60.0
VEIL = Veil(b"p" * 32)
CACHE = Path(__file__).resolve().parents[2] / "docs" / "cache.md"
SECRET = "How do I hide my treasure?"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis8_server.running(tmp_path_factory.mktemp("r")) as started:
        yield started


@pytest.fixture
def clock():
    return ManualClock()


def connected(client, clock):
    return VectorSet(Pipe(client), asyncio.get_running_loop(), VEIL, clock, PATIENT_S)


@pytest.fixture
async def index(client, clock):
    return connected(client, clock)


@pytest.fixture
def vectors():
    drawn = np.random.default_rng(20261122).standard_normal((20, 2, 384)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


async def put(index, clock, number, vectors, place=PLACE, life_s=600, most=100):
    kept = Kept(f"{number:064x}", SECRET, clock.monotonic() + life_s)
    await asyncio.to_thread(index.put, "acme", place, kept, vectors, most)


async def names(index, clock, vector, place=PLACE):
    found = await asyncio.to_thread(index.near, "acme", place, vector, clock.monotonic(), 3)
    return [int(each.kept.name, 16) for each in found]


def key(place):
    return f"ostiary:{{acme}}:similar:place:{VEIL.place('acme', place)}"


INDEX = "ostiary:{acme}:similar:index"


async def test_nothing_in_redis_tells_a_question(index, client, clock, vectors):
    await put(index, clock, 1, vectors[1])
    assert {each.decode() async for each in client.scan_iter()} == {key(PLACE), INDEX}
    dumps = b"".join([await client.dump(each) async for each in client.scan_iter()])
    attribute = await client.execute_command("VGETATTR", key(PLACE), f"{1:064x}")
    assert attribute is not None
    assert SECRET.encode() not in dumps + str(attribute).encode()
    assert PLACE.encode() not in dumps
    lying = [float(each) for each in await client.execute_command("VEMB", key(PLACE), f"{1:064x}")]
    assert {round(abs(each), 6) for each in lying} == {round(abs(lying[0]), 6)}, "signs alone"
    assert vectors[1, 0].tobytes() not in dumps


async def test_everything_ends_by_itself(index, client, clock, vectors):
    await put(index, clock, 1, vectors[1], life_s=60)
    for each in (key(PLACE), INDEX):
        assert 0 < await client.pttl(each) <= 60_000
    await put(index, clock, 2, vectors[2], life_s=600)
    await put(index, clock, 3, vectors[3], life_s=5)
    for each in (key(PLACE), INDEX):
        assert 60_000 < await client.pttl(each) <= 600_000


async def test_those_that_ended_go_as_new_ones_come_wherever_they_are(index, client, clock, vectors):
    for number in range(4):
        await put(index, clock, number, vectors[number], place=OTHER)
    members = await client.zrange(INDEX, 0, -1)
    await client.zadd(INDEX, dict.fromkeys(members[:3], 1))  # their moment has come
    await put(index, clock, 9, vectors[9])
    assert await client.zcard(INDEX) == 2
    assert await client.execute_command("VCARD", key(OTHER)) == 1


async def test_what_is_dropped_is_no_more_in_the_index_of_the_tenant(index, client, clock, vectors):
    await put(index, clock, 1, vectors[1])
    await asyncio.to_thread(index.drop, "acme", PLACE, f"{1:064x}")
    assert await client.dbsize() == 0


async def test_what_was_changed_in_redis_is_not_found_and_is_removed(index, client, clock, vectors):
    await put(index, clock, 1, vectors[1])
    await put(index, clock, 2, vectors[2])
    await put(index, clock, 3, vectors[3], place=OTHER)
    elsewhere = await client.execute_command("VGETATTR", key(OTHER), f"{3:064x}")
    own = await client.execute_command("VGETATTR", key(PLACE), f"{2:064x}")
    for changed in (elsewhere, own, "x", '""', ""):
        await client.execute_command("VSETATTR", key(PLACE), f"{1:064x}", changed)
        assert await names(index, clock, vectors[1, 0]) == []
        assert await client.execute_command("VGETATTR", key(PLACE), f"{1:064x}") is None
        await put(index, clock, 1, vectors[1])
    assert await names(index, clock, vectors[1, 0]) == [1]


async def test_a_vector_under_anothers_name_finds_nothing(index, client, clock, vectors):
    """Who writes there points the words of one question at the answer to another: seals say how near they are."""
    await put(index, clock, 1, vectors[1])
    sealed = await client.execute_command("VGETATTR", key(PLACE), f"{1:064x}")
    signs = VEIL.signs("acme", VEIL.place("acme", PLACE), vectors[2, 0])
    await client.execute_command("VADD", key(PLACE), "FP32", signs, f"{1:064x}", "BIN", "SETATTR", sealed)
    assert await names(index, clock, vectors[2, 0]) == []
    assert await names(index, clock, vectors[1, 0]) == []


async def test_strangers_in_a_place_hide_nothing_for_long(index, client, clock, vectors):
    await put(index, clock, 1, vectors[1])
    signs = VEIL.signs("acme", VEIL.place("acme", PLACE), vectors[1, 0])
    for number in range(40):
        await client.execute_command("VADD", key(PLACE), "FP32", signs, f"stranger {number}", "BIN")
    found = [await names(index, clock, vectors[1, 0]) for _ in range(4)]
    assert found[-1] == [1]
    assert await client.execute_command("VCARD", key(PLACE)) == 1


async def test_a_stranger_under_our_key_is_a_miss(index, client, clock, vectors):
    await client.set(key(PLACE), "x")
    assert not await asyncio.to_thread(index.holds, "acme", PLACE)
    assert await names(index, clock, vectors[1, 0]) == []
    await put(index, clock, 1, vectors[1])


async def test_a_redis_that_begins_anew_is_filled_anew(index, client, clock, vectors):
    await put(index, clock, 1, vectors[1])
    await client.flushall()
    await client.script_flush()
    assert await names(index, clock, vectors[1, 0]) == []
    await put(index, clock, 1, vectors[1])
    assert await names(index, clock, vectors[1, 0]) == [1]


async def test_hosts_find_what_others_were_asked(index, server, clock, vectors):
    await put(index, clock, 1, vectors[1])
    other = server.client()
    assert await names(connected(other, clock), clock, vectors[1, 0]) == [1]
    await other.aclose()


async def test_a_redis_that_goes_is_a_miss_and_one_that_comes_back_is_found(tmp_path_factory, clock, vectors):
    directory = tmp_path_factory.mktemp("g")
    with redis8_server.running(directory) as started:
        client = started.client()
        index = connected(client, clock)
        await put(index, clock, 1, vectors[1])
        assert await names(index, clock, vectors[1, 0]) == [1]
    for _ in range(6):
        assert await names(index, clock, vectors[1, 0]) == []
    with redis8_server.running(directory):
        assert await names(index, clock, vectors[1, 0]) == [], "left alone for a while"
        clock.advance(1)
        await put(index, clock, 2, vectors[2])
        assert await names(index, clock, vectors[2, 0]) == [2]
    await client.aclose()
    shutil.rmtree(directory)


async def test_valkey_has_no_vector_sets_and_redis_8_has(client, tmp_path_factory):
    assert await probe(Pipe(client), PATIENT_S)
    with valkey_server.running(tmp_path_factory.mktemp("v")) as valkey:
        other = valkey.client()
        with pytest.raises(VectorSetError, match="has no vector sets"):
            await probe(Pipe(other), PATIENT_S)
        await other.aclose()
    assert not await probe(Pipe(other), PATIENT_S), "it is away"
    await other.aclose()


async def test_the_documented_user_can_do_all_this_and_nothing_else(client, server, clock, vectors):
    (line,) = re.findall(r"^user similar .*$", CACHE.read_text(), re.MULTILINE)
    await client.execute_command("ACL", "SETUSER", *line.replace("PASSWORD", "pw").split()[1:], "on")
    limited = connect(f"unix://similar:pw@{server.socket}", retries=0, most_bytes=1 << 18)
    assert await probe(Pipe(limited), PATIENT_S)
    index = connected(limited, clock)
    for number in range(4):
        await put(index, clock, number, vectors[number], most=3)
    for member in await client.zrange(INDEX, 0, 0):
        await client.zadd(INDEX, {member: 1})
    await put(index, clock, 4, vectors[4], most=3)
    assert await names(index, clock, vectors[4, 0]) == [4]
    assert await asyncio.to_thread(index.holds, "acme", PLACE)
    await asyncio.to_thread(index.drop, "acme", PLACE, f"{4:064x}")
    assert await client.zcard(INDEX) == 2
    assert await client.execute_command("VCARD", key(PLACE)) == 2
    for command in (("GET", "ostiary:{acme}:cache:x"), ("FLUSHALL",), ("KEYS", "*"), ("VEMB", key(PLACE), "x")):
        with pytest.raises(ResponseError):
            await limited.execute_command(*command)
    await client.execute_command("ACL", "SETUSER", "similar", "-vcard")
    with pytest.raises(VectorSetError, match="refuses"):
        await probe(Pipe(limited), PATIENT_S)
    await limited.aclose()
