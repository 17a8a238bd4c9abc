"""Lists of terms, and the forms of a text that they are looked for in."""

import re

from hypothesis import given
from hypothesis import strategies as st

from extproc.detectors.terms import Folded, compiled

WORDS = st.text("abc \u0430\u0441", min_size=2, max_size=6).filter(str.strip)


def test_the_same_list_is_compiled_once():
    assert compiled(("one", "two")) is compiled(("one", "two"))


def test_ascii_is_folded_into_nothing_else():
    folded = Folded("Plain Text")
    assert folded.low is folded.looks is folded.text


def test_a_list_whose_terms_vanish_when_folded_finds_nothing():
    assert not compiled(("\u200b\u200b",)).found(Folded("a\u200b\u200bb \u0430"))


@given(st.lists(WORDS, min_size=1, max_size=8), st.text("abc \u0430\u0441", max_size=30))
def test_a_list_finds_what_some_term_of_it_finds(terms, text):
    one_by_one = any(compiled((term,)).found(Folded(text)) for term in terms)
    assert compiled(tuple(terms)).found(Folded(text)) == one_by_one


@given(
    st.lists(st.text("abc ", min_size=2, max_size=6).filter(str.strip), min_size=1, max_size=8),
    st.text("abc ", max_size=30),
)
def test_in_ascii_it_finds_exactly_whole_words(terms, text):
    wanted = any(
        re.search(r"(?<!\w)" + r"\s{1,8}".join(map(re.escape, term.split())) + r"(?!\w)", text) for term in terms
    )
    assert compiled(tuple(terms)).found(Folded(text)) == wanted
