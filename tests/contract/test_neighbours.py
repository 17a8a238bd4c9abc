"""Every index of questions: in memory, and in vector sets of a real Redis 8. What is put there is found there alone."""

import asyncio

import pytest

np = pytest.importorskip("numpy", reason="only with `make analysis`")

import redis8_server  # noqa: E402 -- after it is known to be there
from analysis.neighbours import NEAR, Kept, Neighbours  # noqa: E402
from analysis.vectorset import VectorSet  # noqa: E402
from analysis.veil import Veil  # noqa: E402
from clocks import ManualClock  # noqa: E402
from gateway.script import Pipe  # noqa: E402

MANY = 1000
LIFE_S = 600.0
PLACE, OTHER = "a" * 64, "b" * 64
PATIENT_S = 60.0  # a loaded machine is late, and no test here is about that
VEIL = Veil(b"p" * 32)


@pytest.fixture(scope="module")
def redis8(tmp_path_factory):
    with redis8_server.running(tmp_path_factory.mktemp("r")) as started:
        yield started


@pytest.fixture
def clock():
    return ManualClock()


class Beside:
    """An index, called on another thread as the engine does."""

    def __init__(self, index, clock):
        self._index, self._clock = index, clock

    async def put(self, number, vectors, tenant="acme", place=PLACE, most=MANY, life_s=LIFE_S):
        ends_s = self._clock.monotonic() + life_s
        await asyncio.to_thread(
            self._index.put, tenant, place, Kept(f"{number:064x}", f"question {number}", ends_s), vectors, most
        )

    async def drop(self, number, tenant="acme", place=PLACE):
        await asyncio.to_thread(self._index.drop, tenant, place, f"{number:064x}")

    async def near(self, vector, most=3, tenant="acme", place=PLACE):
        return await asyncio.to_thread(self._index.near, tenant, place, vector, self._clock.monotonic(), most)

    async def names(self, vector, most=3, **where):
        return [int(each.kept.name, 16) for each in await self.near(vector, most, **where)]

    async def holds(self, tenant="acme", place=PLACE):
        return await asyncio.to_thread(self._index.holds, tenant, place)


@pytest.fixture(params=["memory", pytest.param("vector sets", marks=redis8_server.needs_redis8)])
async def index(request, clock):
    if request.param == "memory":
        yield Beside(Neighbours(), clock)
        return
    client = request.getfixturevalue("redis8").client()
    await client.flushall()
    yield Beside(VectorSet(Pipe(client), asyncio.get_running_loop(), VEIL, clock, PATIENT_S), clock)
    await client.aclose()


@pytest.fixture
def drawn():
    return np.random.default_rng(20261122)


def unit(numbers):
    return (numbers / np.linalg.norm(numbers, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def vectors(drawn):
    """Of some questions that have nothing to do with each other."""
    return unit(drawn.standard_normal((100, 2, 384)))


async def test_the_nearest_are_found_nearest_first(index, vectors, drawn):
    for number, each in enumerate(vectors):
        await index.put(number, each)
    about = unit(vectors[7, 0] + 0.01 * drawn.standard_normal(384))
    for number, share in ((200, 0.1), (201, 0.3), (202, 0.5)):
        away = unit(about * (1 - share) + share * vectors[number - 190, 0])
        await index.put(number, np.stack([away, vectors[0, 1]]))
    found = await index.near(about, 3)
    assert [int(each.kept.name, 16) for each in found] == [200, 7, 201]
    cosines = [each.cosine for each in found]
    assert cosines == sorted(cosines, reverse=True)
    assert min(cosines) >= NEAR
    assert found[1].kept.text == "question 7"
    assert abs(found[1].cosine - float(about @ vectors[7, 0])) < 0.01
    assert np.abs(found[1].vectors - vectors[7]).max() < 0.002
    assert await index.names(about, 1) == [200]


async def test_none_that_is_near_is_lost(index, drawn):
    """Against every pair by every number."""
    base = unit(drawn.standard_normal((200, 384)))
    noise = drawn.uniform(0.4, 0.9, (200, 1)) * unit(drawn.standard_normal((200, 384)))
    asked = unit(base + noise)
    for number, each in enumerate(base):
        await index.put(number, np.stack([each, each]))
    near = [number for number in range(200) if base[number] @ asked[number] >= NEAR + 0.01]
    assert len(near) > 150
    assert [number for number in near if number not in await index.names(asked[number])] == []


async def test_places_and_tenants_are_apart(index, vectors):
    await index.put(0, vectors[0])
    await index.put(7, vectors[0], tenant="shop")
    await index.put(8, vectors[0], place=OTHER)
    about = vectors[0, 0]
    assert await index.names(about) == [0]
    assert await index.names(about, place=OTHER) == [8]
    assert await index.names(about, tenant="shop") == [7]
    assert await index.names(about, tenant="shop", place=OTHER) == []
    assert await index.names(about, tenant="other") == []
    assert [await index.holds(), await index.holds(place=OTHER), await index.holds(tenant="shop")] == [True] * 3
    assert not await index.holds(tenant="shop", place=OTHER)
    assert not await index.holds(tenant="other")


async def test_what_is_dropped_is_not_found_and_the_others_are(index, vectors):
    for number in range(20):
        await index.put(number, vectors[number])
    for where in ({}, {}, {"place": OTHER}, {"tenant": "shop"}):
        await index.drop(3, **where)
    await index.drop(4, place=OTHER)
    await index.drop(5, tenant="shop")
    assert await index.names(vectors[3, 0]) == []
    assert [await index.names(vectors[number, 0]) for number in (2, 4, 5)] == [[2], [4], [5]]
    for number in range(20):
        await index.drop(number)
    assert not await index.holds()


async def test_what_has_ended_is_not_found_and_is_forgotten(index, vectors, clock):
    await index.put(1, vectors[1], life_s=LIFE_S)
    clock.advance(LIFE_S - 0.5)
    assert await index.names(vectors[1, 0]) == [1]
    clock.advance(0.5)
    assert await index.holds()
    assert await index.names(vectors[1, 0]) == []
    assert not await index.holds()


async def test_a_question_that_is_put_again_is_there_once(index, vectors):
    await index.put(0, vectors[0])
    await index.put(1, vectors[1])
    await index.put(0, vectors[1])
    assert await index.names(vectors[0, 0]) == []
    assert sorted(await index.names(vectors[1, 0])) == [0, 1]


async def test_beyond_a_tenants_bound_the_oldest_go(index, vectors):
    await index.put(99, vectors[99], tenant="shop")
    for number in range(20):
        await index.put(number, vectors[number], most=5)
    assert [number for number in range(20) if await index.names(vectors[number, 0], 1)] == [15, 16, 17, 18, 19]
    assert await index.names(vectors[99, 0], tenant="shop") == [99]


async def test_the_bound_is_that_of_all_places_of_the_tenant(index, vectors):
    """Whoever writes another prompt before each question makes a place of each."""
    for number in range(12):
        await index.put(number, vectors[number], place=f"{number:064x}", most=4)
    assert [number for number in range(12) if await index.holds(place=f"{number:064x}")] == [8, 9, 10, 11]


async def test_whatever_is_put_and_dropped_the_rest_is_there(index, vectors, drawn):
    there = set()
    for _ in range(300):
        number = int(drawn.integers(40))
        if drawn.random() < 0.45:
            await index.drop(number)
            there.discard(number)
        else:
            await index.put(number, vectors[number])
            there.add(number)
    assert {number for number in range(40) if await index.names(vectors[number, 0], 1) == [number]} == there
