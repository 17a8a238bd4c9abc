"""Obligations as they travel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import obligation
from gateway.identity import Obligations

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        Obligations,
        models=st.none() | st.frozensets(WORDS, max_size=5),
        max_tokens=st.none() | st.integers(0, 10**9),
        guards=st.frozensets(WORDS, max_size=5),
        route=WORDS,
    )
)
def test_what_is_written_is_read_back(obligations):
    assert obligation.read(obligation.write(obligations)) == obligations


@pytest.mark.parametrize("text", ["", "[]", "{", '{"modles": []}', '{"models": "gpt"}', '{"max_tokens": true}'])
def test_anything_else_is_no_obligation(text):
    with pytest.raises(ValueError):
        obligation.read(text)
