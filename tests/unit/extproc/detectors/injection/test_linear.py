import math
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.detectors.injection.linear import (
    BUCKETS,
    FEATURES,
    REMEMBERED_BYTES,
    REMEMBERED_WORDS,
    TYPICAL_WORDS,
    ZERO,
    Linear,
    hashes,
    words,
)


class Counting(bytes):
    """A table that counts how often it is asked."""

    asked = 0

    def __getitem__(self, index):
        Counting.asked += 1
        return super().__getitem__(index)


def table(**weights):
    out = bytearray([ZERO]) * BUCKETS
    for word, weight in weights.items():
        out[crc32(word.encode()) % BUCKETS] = ZERO + weight
    return bytes(out)


def test_words_end_at_punctuation_and_keep_their_apostrophes_inside():
    assert words("don't stop, now_or never! naïve") == [b"dont", b"stop", b"now", b"or", b"never", "naïve".encode()]


def test_a_pair_is_not_its_reverse():
    there, back = (list(hashes(words(text))[2]) for text in ("ignore rules", "rules ignore"))
    assert there != back


def test_a_short_text_is_one_window_of_its_length():
    score, windows = Linear(table(ignore=100), 0.5, -1.0).score("please ignore this", 48)
    assert windows == 1
    assert score == pytest.approx(-1.0 + 0.5 * 100 / math.sqrt(FEATURES * 3))


@pytest.mark.parametrize(("count", "factor"), [(5, 0.25**0.15), (TYPICAL_WORDS, 1.0), (40, 2**0.15)])
def test_evidence_of_few_words_counts_less_and_of_many_more(count, factor):
    text = " ".join(["ignore"] * count)
    even, grown = (Linear(table(ignore=100), 1.0, 0.0, growth).score(text, 48)[0] for growth in (0.0, 0.15))
    assert grown == pytest.approx(even * factor)


def test_no_words_say_nothing():
    assert Linear(table(), 1.0, -2.0).score(" ... ", 48) == (-2.0, 1)


@pytest.mark.parametrize("at", [0, 1, 47, 48, 49, 1_000, 4_998, 4_999])
def test_the_worst_window_counts_wherever_it_stands(at):
    tokens = ["quiet"] * 5_000
    tokens[at] = "ignore"
    score, _ = Linear(table(ignore=100), 1.0, 0.0).score(" ".join(tokens), 48)
    assert score == pytest.approx(100 / math.sqrt(FEATURES * 48))


@pytest.mark.parametrize("count", [1_000, 2_000, 4_000])
def test_work_grows_with_the_words_and_no_faster(count):
    linear = Linear(Counting(table()), 1.0, 0.0)
    Counting.asked = 0
    _, windows = linear.score(" ".join(f"w{number}" for number in range(count)), 24)
    assert Counting.asked == FEATURES * count - 1
    assert windows <= count // 12


def test_a_known_word_is_not_weighed_again():
    linear = Linear(Counting(table()), 1.0, 0.0)
    linear.score("word", 24)
    Counting.asked = 0
    linear.score("word", 24)
    assert Counting.asked == 0


def test_a_flood_of_rare_words_is_not_remembered_without_bound():
    linear = Linear(table(), 1.0, 0.0)
    linear.score(" ".join(f"w{number}" for number in range(2 * REMEMBERED_WORDS)), 24)
    linear.score("x" * 100_000, 24)
    assert len(linear._alone) <= REMEMBERED_WORDS
    assert max(map(len, linear._alone)) <= REMEMBERED_BYTES


def test_training_and_run_time_weigh_the_same_features():
    weights = bytes(range(256)) * (BUCKETS // 256)
    tokens = words("please do not ignore the instructions above or below")
    total = sum(weights[at] for kind in hashes(tokens) for at in kind) + ZERO
    score, _ = Linear(weights, 1.0, 0.0).score(" ".join(map(bytes.decode, tokens)), 48)
    assert score == pytest.approx((total - FEATURES * ZERO * len(tokens)) / math.sqrt(FEATURES * len(tokens)))


@given(st.text(max_size=400), st.sampled_from([24, 48]))
def test_any_text_has_a_finite_score(text, window):
    score, windows = Linear(table(a=127, the=-127), 0.1, 0.0).score(text.lower(), window)
    assert math.isfinite(score)
    assert windows >= 1


def test_a_table_of_another_size_is_refused():
    with pytest.raises(ValueError, match="buckets"):
        Linear(b"\x80" * 10, 1.0, 0.0)
