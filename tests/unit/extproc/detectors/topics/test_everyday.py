"""The other side of every topic."""

from extproc.detectors.topics.everyday import EVERYDAY
from extproc.detectors.topics.likeness import tokens


def test_there_are_enough_of_them_and_each_is_there_once():
    assert len(EVERYDAY) == 70  # the number that docs/detectors.md tells
    assert len(set(EVERYDAY)) == len(EVERYDAY)


def test_each_fits_into_a_window_and_says_something():
    assert all(4 <= len(tokens(text)) <= 48 for text in EVERYDAY)
