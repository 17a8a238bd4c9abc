"""Which pairs a cache of similar questions would take for one, and how its errors are counted."""

import pytest

pytest.importorskip("onnxruntime", reason="needs the optional packages of `make analysis`")
pytest.importorskip("tokenizers", reason="needs the optional packages of `make analysis`")
pytest.importorskip("all_minilm_l6_v2", reason="needs the optional packages of `make analysis`")

import numpy as np

from tools.evaluate.likeness import Pair, alike, curve, page, vetoes


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("How do I learn to swim?", "How can I learn swimming?", set()),
        ("Is 5 kg a lot?", "Is 6 kg a lot?", {"number"}),
        ("Is 5 kg a lot?", "Is 5 lbs a lot?", {"number"}),
        ("Is 5kg a lot?", "Is 5 kg a lot?", set()),
        ("Should I buy it?", "Should I not buy it?", {"negation"}),
        ("Can it fly?", "Why can't it fly?", {"negation"}),
        ("What is the capital of France?", "What is the capital of Spain?", {"name"}),
        ("What does France export?", "What are exports of france?", set()),
        ("Paris is where?", "Where is Paris?", set()),
        ("Did Ann win 3 cups?", "Did Bob not win 4 cups?", {"name", "negation", "number"}),
    ],
)
def test_what_changes_an_answer_is_seen(one, other, found):
    assert vetoes(Pair(one, other, same=False)) == found
    assert vetoes(Pair(other, one, same=False)) == found


def test_spelling_alone_makes_no_difference():
    assert alike(Pair("What is it?", "what is it", same=True))
    assert not alike(Pair("What is it?", "what was it", same=True))


def test_errors_are_counted_among_the_hits():
    scores = np.linspace(1.0, 0.1, 100, dtype=np.float32)
    same = [number not in {0, 7} for number in range(100)]
    points = {point["rate"]: point for point in curve(scores, same, [False] * 100)}
    assert points[0.05]["wrong"] == 0.2
    assert points[0.10]["wrong"] == 0.2
    assert points[0.20]["wrong"] == 0.1
    without = {point["rate"]: point for point in curve(scores, same, [number == 0 for number in range(100)])}
    assert without[0.05]["wrong"] == 0.0
    assert without[0.05]["threshold"] < points[0.05]["threshold"]


def test_a_rate_that_vetoes_leave_out_of_reach_is_not_told():
    points = curve(np.ones(100, dtype=np.float32), [True] * 100, [number >= 12 for number in range(100)])
    assert [point["rate"] for point in points] == [0.03, 0.05, 0.075, 0.10]


def test_the_table_tells_what_is_known():
    told = {
        "pairs": 10, "same": 4, "spelt_alike": 2, "spelt_alike_same": 1,
        "curves": {"cosine alone": [{"rate": 0.05, "threshold": 0.96, "wrong": 0.1}]},
    }  # fmt: skip
    assert "| cosine alone |  | 10.0% (0.96) |  |  |  |  |" in page(told)
