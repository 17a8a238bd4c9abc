"""The end of a JSON object in pieces is where a parser finds it."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from extproc.translate.json_end import JsonEnd

trees = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\{}[] é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\{', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(tree=st.dictionaries(st.text('a"\\}', max_size=3), trees, max_size=4), size=st.integers(1, 9))
def test_it_ends_with_its_last_bracket(tree, size):
    source = orjson.dumps(tree).decode()
    end = JsonEnd()
    for at in range(0, len(source) - 1, size):
        assert end.push(source[at : min(at + size, len(source) - 1)])
    assert not end.ended
    assert end.push(source[-1] + " \n")
    assert end.ended
    assert not end.push("x")
