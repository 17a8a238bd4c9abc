"""The index of questions: what was put there is found again there, nowhere else, and only so much of it."""

import tracemalloc

import pytest

np = pytest.importorskip("numpy", reason="only with `make analysis`")

from analysis.neighbours import NEAR, Kept, Neighbours  # noqa: E402 -- after it is known to be there

LATER = 1e9
MANY = 1000


def unit(numbers):
    return numbers / np.linalg.norm(numbers, axis=-1, keepdims=True)


@pytest.fixture
def drawn():
    return np.random.default_rng(20261122)


@pytest.fixture
def vectors(drawn):
    """Of some questions that have nothing to do with each other."""
    return unit(drawn.standard_normal((200, 2, 384)).astype(np.float32))


def kept(number, ends_s=LATER):
    return Kept(f"{number:064x}", f"question {number}", ends_s)


def names(found):
    return [int(each.kept.name, 16) for each in found]


def filled(vectors, tenant="acme", place="p", most=MANY):
    index = Neighbours()
    for number, each in enumerate(vectors):
        index.put(tenant, place, kept(number), each, most)
    return index


def test_the_nearest_are_found_nearest_first(vectors, drawn):
    index = filled(vectors)
    for number in (0, 17, 199):
        about = unit(vectors[number, 0] + 0.02 * drawn.standard_normal(384).astype(np.float32))
        found = index.near("acme", "p", about, 0, 3)
        assert names(found)[0] == number
        assert abs(found[0].cosine - float(about @ vectors[number, 0])) < 0.01
        assert np.abs(found[0].vectors - vectors[number]).max() < 0.002
        cosines = [each.cosine for each in found]
        assert cosines == sorted(cosines, reverse=True)
        assert min(cosines) >= NEAR


def test_signs_lose_none_that_is_near(drawn):
    """Against every pair by every number: of those that are near, all but one in a thousand are found."""
    base = unit(drawn.standard_normal((300, 384)).astype(np.float32))
    noise = drawn.uniform(0.5, 1.0, (300, 1)) * unit(drawn.standard_normal((300, 384)))
    asked = unit(base + noise.astype(np.float32)).astype(np.float32)
    index = filled(np.stack([base, base], axis=1))
    near = [number for number in range(300) if base[number] @ asked[number] >= NEAR + 0.01]
    assert len(near) > 200
    assert [number for number in near if number not in names(index.near("acme", "p", asked[number], 0, 3))] == []


def test_places_and_tenants_are_apart(vectors):
    index = filled(vectors[:5])
    index.put("shop", "p", kept(7), vectors[0], MANY)
    index.put("acme", "q", kept(8), vectors[0], MANY)
    about = vectors[0, 0]
    assert names(index.near("acme", "p", about, 0, 9)) == [0]
    assert names(index.near("acme", "q", about, 0, 9)) == [8]
    assert names(index.near("shop", "p", about, 0, 9)) == [7]
    assert index.near("shop", "q", about, 0, 9) == []
    assert index.near("other", "p", about, 0, 9) == []
    assert index.holds("acme", "q")
    assert not index.holds("shop", "q")


def test_what_is_dropped_or_has_ended_is_not_found(vectors):
    index = filled(vectors[:50])
    index.drop("acme", "p", kept(3).name)
    index.drop("acme", "p", kept(3).name)
    index.drop("acme", "q", kept(4).name)
    index.drop("shop", "p", kept(4).name)
    assert len(index) == 49
    assert index.near("acme", "p", vectors[3, 0], 0, 3) == []
    assert all(
        names(index.near("acme", "p", vectors[number, 0], 0, 1)) == [number] for number in range(50) if number != 3
    )
    index.put("acme", "p", kept(3, ends_s=100), vectors[3], MANY)
    assert names(index.near("acme", "p", vectors[3, 0], 99, 3)) == [3]
    assert index.near("acme", "p", vectors[3, 0], 100, 3) == []
    assert len(index) == 49


def test_a_question_that_is_put_again_is_there_once(vectors):
    index = filled(vectors[:2])
    index.put("acme", "p", kept(0), vectors[1], MANY)
    assert len(index) == 2
    assert index.near("acme", "p", vectors[0, 0], 0, 3) == []
    assert sorted(names(index.near("acme", "p", vectors[1, 0], 0, 3))) == [0, 1]


def test_beyond_a_tenants_bound_the_oldest_goes(vectors):
    index = filled(vectors[:20], most=5)
    assert len(index) == 5
    there = [number for number in range(20) if index.near("acme", "p", vectors[number, 0], 0, 1)]
    assert there == [15, 16, 17, 18, 19]


def test_of_several_places_the_one_that_nobody_asks_gives_way(vectors):
    index = Neighbours()
    for number in range(4):
        index.put("acme", f"p{number % 2}", kept(number), vectors[number], 4)
    index.near("acme", "p0", vectors[0, 0], 0, 1)
    for number in (4, 5):
        index.put("acme", "p2", kept(number), vectors[number], 4)
    assert not index.holds("acme", "p1")
    assert names(index.near("acme", "p0", vectors[0, 0], 0, 1)) == [0]


def test_a_tenant_that_asks_much_pushes_out_itself(vectors):
    index = Neighbours(most=20)
    index.put("small", "p", kept(0), vectors[0], MANY)
    for number in range(1, 200):
        index.put("large", "p", kept(number), vectors[number], MANY)
    assert len(index) == 20
    assert names(index.near("small", "p", vectors[0, 0], 0, 1)) == [0]
    assert names(index.near("large", "p", vectors[199, 0], 0, 1)) == [199]


def test_places_of_one_question_take_little_more_than_questions_of_one_place(drawn):
    """Whoever writes another prompt before each question must not make the index many times as large."""
    two = unit(drawn.standard_normal((2, 384)).astype(np.float32))

    def size_bytes(places):
        tracemalloc.start()
        index = Neighbours()
        for number in range(512):
            index.put("acme", f"p{number % places}", kept(number), two, MANY)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size

    assert size_bytes(places=512) < 3 * size_bytes(places=1)


def test_whatever_is_put_and_dropped_the_rows_stay_in_step(vectors, drawn):
    index, there = Neighbours(), {}
    for _ in range(2000):
        number = int(drawn.integers(200))
        if drawn.random() < 0.45:
            index.drop("acme", "p", kept(number).name)
            there.pop(number, None)
        else:
            index.put("acme", "p", kept(number), vectors[number], MANY)
            there[number] = True
    assert len(index) == len(there)
    for number in range(200):
        assert names(index.near("acme", "p", vectors[number, 0], 0, 1)) == ([number] if number in there else [])
