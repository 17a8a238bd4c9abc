"""What two questions share: the same numbers whichever comes first, and a veto where an answer would be another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="only with `make analysis`")

from analysis.pair import Reading, Words, features, vetoed, wide  # noqa: E402 -- after it is known to be there

drawn = np.random.default_rng(7)
WORDS = Words.of(drawn.standard_normal((3000, 384)).astype(np.float32))


def read(text):
    seeds = np.random.default_rng(len(text))
    vectors = seeds.standard_normal((2, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([1000 + sum(map(ord, word)) % 2000 for word in text.split()], dtype=np.int64)
    return Reading(text, ids, vectors)


TEXTS = st.text(alphabet="abcn't ?!.,0123456789AB'\u2019éß\n", max_size=60)


@given(TEXTS, TEXTS)
def test_which_comes_first_does_not_matter(one, other):
    a, b = features(read(one), read(other), WORDS), features(read(other), read(one), WORDS)
    assert np.allclose(a, b, atol=1e-4)
    assert np.allclose(wide(read(one), read(other), WORDS), wide(read(other), read(one), WORDS))
    assert np.isfinite(a).all()
    assert vetoed(read(one), read(other)) == vetoed(read(other), read(one))


@given(TEXTS)
def test_a_question_is_like_itself(text):
    assert not vetoed(read(text), read(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What does John 14:6 mean?", "What does John 14:16 mean?"),
        ("Can I take 2 tablets a day?", "Can I take 20 tablets a day?"),
        ("Why do people worry about it?", "Why don't people worry about it?"),
        ("Why do people worry about it?", "Why don\u2019t people worry about it?"),
        ("May I travel with a visa?", "May I travel without a visa?"),
        ("How do I start in 2016?", "How do I start?"),
    ],
)
def test_numbers_and_denials_tell_questions_apart(one, other):
    assert vetoed(read(one), read(other))


def test_the_order_of_numbers_does_not():
    assert not vetoed(read("Is 3 more than 2?"), read("Is it true that 2 is less than 3?"))
