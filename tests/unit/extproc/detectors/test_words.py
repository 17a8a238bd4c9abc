"""Words as they are compared, runs of them, and the end of a text that may still grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.detectors.words import WINDOW_CHARS, Tail, Words

TEXT = st.text(st.sampled_from(["a", "b", " ", ".", "\u00e9", "\u200b", "\u7af6", "\u043e", "-"]), max_size=400)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ask Globex, now!", ["ask", "globex", "now"]),
        ("Gl\u043ebex Glo\u200bbex", ["globex", "globex"]),
        ("caf\u00e9 na\u00efve", ["cafe", "naive"]),
        ("\u7af6\u5408 x", ["\u7af6", "\u5408", "x"]),
        ("a_b **c**", ["a", "b", "c"]),
        ("", []),
    ],
)
def test_only_words_count_whatever_is_in_and_between_them(text, folded):
    assert Words(text).folded == folded


def test_what_is_too_long_for_a_word_has_no_letters():
    assert Words(f"word {'x' * 41} {'y' * 40}").letters == [4, 0, 40]


@given(TEXT)
def test_spans_are_in_order_and_lie_in_the_text(text):
    words = Words(text)
    assert len(words.folded) == len(words.letters) == len(words.spans)
    edges = [edge for span in words.spans for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(text) for edge in edges)


def test_runs_are_told_in_order_and_no_more_than_asked_for_and_one_words():
    words = Words("a b a b a")
    found = words.runs([0, 2, 4], lambda at: [("x", at + 1), ("y", min(at + 2, 5))], 2)
    assert [(each.rule, each.start, each.end) for each in found] == [("x", 0, 1), ("y", 0, 3), ("x", 4, 5), ("y", 4, 7)]


def test_a_run_with_a_gap_that_is_too_wide_is_none():
    for gap, found in ((WINDOW_CHARS - 2, 1), (WINDOW_CHARS - 1, 0)):
        words = Words("a" + "." * gap + "b")
        assert len(words.runs([0], lambda at: [("x", at + 2)], 9)) == found


@pytest.mark.parametrize(
    ("text", "whole"), [("one two", 1), ("one two ", 2), ("one two\u200b", 1), ("one \u7af6", 2), ("", 0), ("...", 0)]
)
def test_the_last_word_of_a_tail_may_grow_where_nothing_ends_it(text, whole):
    assert Tail(text).whole == whole


@given(TEXT)
def test_a_tail_knows_its_words_places_in_the_whole_text(text):
    tail = Tail(text)
    cut = max(0, len(text) - WINDOW_CHARS)
    assert [tail.start(at) for at in range(len(tail.words.folded))] == [cut + one for one, _ in Words(text[cut:]).spans]
    assert len(tail.words.folded) - tail.whole in {0, 1}
