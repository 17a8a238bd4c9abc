import hashlib
import json

import pytest

np = pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
pytest.importorskip("sklearn")
# ruff: noqa: E402 - what is tested imports both

from analysis.pair import Reading, Words
from analysis.verdict import Verdict
from tools.train.pairs import Fitted, artefact, at_rate, groups, prepared, threshold

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.0])
SAME = np.array([1, 1, 0, 1, 0, 1])


def test_questions_that_anything_connects_are_one_group():
    found = groups([("a", "b"), ("c", "d"), ("b", "c"), ("e", "f")])
    assert found[0] == found[1] == found[2] != found[3]


def test_a_threshold_lets_so_many_wrong_ones_in():
    assert threshold(SCORES, SAME, 0.0) == 0.8
    assert threshold(SCORES, SAME, 0.25) == 0.6
    assert threshold(SCORES, SAME, 0.9) == 0.5  # what is vetoed is never let in
    assert threshold(SCORES, np.zeros(6), 0.1) == 1.0
    assert at_rate(SCORES, SAME, 0.5) == 0.7


@pytest.fixture(scope="module")
def pairs():
    """Questions of two words; the same where the vectors are near."""
    drawn = np.random.default_rng(5)
    words = Words.of(drawn.standard_normal((1200, 384)).astype(np.float32))
    rows, read = [], []
    for number in range(400):
        label = number % 2
        one = drawn.standard_normal((2, 384)).astype(np.float32)
        other = one + (0.3 if label else 2.0) * drawn.standard_normal((2, 384)).astype(np.float32)
        both = []
        for name, vectors in (("a", one), ("b", other)):
            unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            both.append(Reading(f"what is {name} of {'abcdefghij'[number % 10]}", drawn.integers(1000, 1200, 4), unit))
        rows.append({"text_a": f"a{number}", "text_b": f"b{number}", "label": label})
        read.append(tuple(both))
    return prepared(rows, read, words), read, words


def test_the_artefact_says_what_was_fitted(pairs):
    made, read, words = pairs
    fitted = Fitted.on(made)
    raw = artefact(fitted, {"strict": 0.9, "usual": 0.8, "loose": 0.7})
    judge = Verdict.read(raw)
    ours = [judge.likeness(*each, words) for each in read]
    assert np.abs(np.array(ours) - fitted.judge(made)).max() < 1e-4
    assert np.mean((np.array(ours) > 0.5) == (made.same == 1)) > 0.95
    head, _, table = raw.partition(b"\n")
    assert json.loads(head)["version"] == f"sim-{hashlib.sha256(table).hexdigest()[:12]}"


def test_the_same_data_give_the_same_artefact(pairs):
    made, _, _ = pairs
    assert artefact(Fitted.on(made), {}) == artefact(Fitted.on(made), {})
