"""How much a text is like examples: bounds, windows, and examples that make no topic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.detectors.topics.everyday import EVERYDAY
from extproc.detectors.topics.likeness import WINDOW, Likeness, tokens

GARDEN = tuple(
    f"How do I {what} {plant} in {season}?"
    for what, plant, season in zip(
        ("prune", "plant", "water", "fertilise", "transplant", "mulch", "propagate", "protect"),
        ("roses", "tulips", "tomatoes", "hydrangeas", "lavender", "strawberries", "roses", "tulips"),
        ("spring", "autumn", "summer", "spring", "autumn", "winter", "summer", "winter"),
        strict=True,
    )
)
HELD = Likeness(GARDEN)


def test_no_everyday_text_reaches_the_threshold_and_an_unseen_one_of_the_topic_does():
    assert max(HELD.score(tokens(text)) for text in EVERYDAY) < HELD.threshold
    assert HELD.score(tokens("How do I prune lavender in autumn?")) >= HELD.threshold


def test_an_empty_text_is_about_nothing():
    assert HELD.score([]) == 0 < HELD.threshold


@pytest.mark.parametrize("where", [0, 10, 100, 500])
def test_padding_hides_a_text_in_no_place(where):
    padding = tokens(" ".join(EVERYDAY))
    said = tokens(" ".join(GARDEN[:4]))
    assert HELD.score([*padding[:where], *said, *padding[where:]]) >= HELD.threshold


def test_a_text_of_one_window_is_judged_as_a_whole():
    said = tokens(" ".join(GARDEN))[:WINDOW]
    assert HELD.score(said) == pytest.approx(HELD.score([*said]))
    assert HELD.score(said * 20) == pytest.approx(HELD.score(said * 40), rel=0.05)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=8, max_size=10), st.text(max_size=500))
def test_whatever_the_examples_a_score_is_finite_and_the_threshold_is_above_nothing(examples, text):
    held = Likeness(examples)
    assert -2 <= held.score(tokens(text)) <= 2
    assert held.threshold > 0
