import pytest
from hypothesis import given
from hypothesis import strategies as st

tokenizers = pytest.importorskip("tokenizers", reason="only with `make analysis`")

from analysis.window import OVERLAP, SIZE, cut  # noqa: E402 -- after it is known to be there


def by_letters():
    """A tokenizer to which every letter is one token, its own code."""
    letters = {letter: ord(letter) for letter in "abcdefghij"}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({**letters, "?": 0}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    return made


LETTERS = by_letters()


def test_a_short_text_is_one_window_between_its_marks():
    (window,) = cut(LETTERS, "abc")
    assert window.ids == [101, 97, 98, 99, 102]
    assert (window.start, window.end) == (0, 3)


def test_a_text_without_tokens_is_one_window():
    assert [window.ids for window in cut(LETTERS, "")] == [[101, 102]]


@given(st.integers(1, 5 * SIZE))
def test_every_sentence_stands_whole_in_some_window(length):
    text = ("abcdefghij" * SIZE)[:length]
    windows = cut(LETTERS, text)
    assert all(len(window.ids) <= SIZE + 2 for window in windows)
    sentence = min(OVERLAP - 1, length)
    for start in range(length - sentence + 1):
        assert any(window.start <= start and start + sentence <= window.end for window in windows)


@given(st.integers(SIZE + 1, 5 * SIZE))
def test_windows_of_a_text_are_alike_in_length(length):
    windows = cut(LETTERS, ("abcdefghij" * SIZE)[:length])
    assert len({len(window.ids) for window in windows}) == 1
    assert len(windows[0].ids) > SIZE / 2


@given(st.integers(1, 5 * SIZE))
def test_places_are_those_of_the_tokens(length):
    text = ("abcdefghij" * SIZE)[:length]
    for window in cut(LETTERS, text):
        assert window.ids[1:-1] == [ord(letter) for letter in text[window.start : window.end]]
