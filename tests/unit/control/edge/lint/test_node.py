"""The reader: positions, spellings, aliases, and every kind of text that it must refuse."""

import contextlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from control.edge.lint import node
from control.edge.lint.node import Kind, Node, Unreadable, read


def plain(here: Node):
    """The tree as Python values, every scalar as its text."""
    if here.kind is Kind.MAPPING:
        return {key: plain(value) for key, value in here.entries}
    if here.kind is Kind.SEQUENCE:
        return [plain(value) for value in here.elements]
    return here.text


def test_a_value_stands_at_its_key_and_an_entry_at_its_start():
    root = read("a:\n  b: 1\n  list:\n    - x\n    -  y: 2\n").root
    assert (root.get("a", "b").line, root.get("a", "b").column) == (2, 3)
    assert (root.get("a", "list").line, root.get("a", "list").column) == (3, 3)
    assert (root.get("a", "list", 1).line, root.get("a", "list", 1).column) == (5, 8)


def test_what_is_missing_stands_where_its_nearest_ancestor_stands():
    found = read("a:\n  b:\n    c: 1\n").root.get("a", "b", "x", "y", 3)
    assert not found
    assert (found.line, found.column) == (2, 3)


def test_both_spellings_of_a_field_are_found():
    root = read("{statPrefix: x, max_request_headers_kb: 3}").root
    assert root.get("stat_prefix").text == "x"
    assert root.get("max_request_headers_kb").text == "3"


def test_the_last_of_two_equal_keys_wins_and_is_reported():
    tree = read("a: 1\nb: 2\na: 3\n")
    assert tree.root.get("a").text == "3"
    assert [(each.key, each.line, each.merge) for each in tree.repeated] == [("a", 3, False)]


def test_two_spellings_of_one_field_are_a_repeated_key():
    assert [each.line for each in read("stat_prefix: a\nstatPrefix: b\n").repeated] == [2]


@pytest.mark.parametrize("null", ["null", "~", "", "NULL"])
def test_an_explicit_null_is_absent(null):
    assert not read(f"a: {null}\n").root.get("a")
    assert read(f"a: '{null}'\n").root.get("a")


@pytest.mark.parametrize(
    ("word", "flag"), [("true", True), ("Yes", True), ("on", True), ("off", False), ("maybe", None)]
)
def test_booleans_of_every_spelling(word, flag):
    assert read(f"a: {word}").root.get("a").flag is flag


def test_aliases_are_resolved_and_stand_where_they_are_used():
    root = read("base: &b {x: 1}\nuse: *b\nlist: [*b]\n").root
    assert root.get("use", "x").text == "1"
    assert root.get("use").line == 2
    assert root.get("use", "x").line == 1
    assert root.get("list", 0, "x").text == "1"


def test_a_merge_key_gives_way_to_own_keys_and_earlier_sources():
    tree = read("a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  <<: [*a, *b]\n  y: 3\n")
    assert plain(tree.root.get("c")) == {"x": "1", "z": "2", "y": "3"}
    assert [each.merge for each in tree.repeated] == [True]


def test_a_key_tagged_ignore_is_dropped_as_envoy_drops_it():
    tree = read("!ignore shared: &s {x: 1}\nuse: *s\n")
    assert plain(tree.root) == {"use": {"x": "1"}}


def test_only_the_first_document_is_read_and_the_next_is_told():
    tree = read("a: 1\n---\nb: 2\n")
    assert plain(tree.root) == {"a": "1"}
    assert tree.more_documents_line == 2


def test_json_indented_with_tabs_is_read():
    assert plain(read('{\n\t"a": {\n\t\t"b": [1, "x\\/y"]\n\t}\n}').root) == {"a": {"b": ["1", "x/y"]}}


def test_both_parsers_of_the_yaml_package_give_the_same_tree(monkeypatch):
    text = "a: &x [1, ~, 'null', {b: c}]\nd: *x\ne: |\n  text\n"
    fast = read(text).root
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    slow = read(text).root
    assert [(here.kind, here.line, here.column, here.text) for here in fast.walk()] == [
        (here.kind, here.line, here.column, here.text) for here in slow.walk()
    ]


def _bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (_bomb(12), "input.too-complex"),
        ("[" * 500 + "]" * 500, "input.too-complex"),
        ("{a: " * 500 + "}" * 500, "input.too-complex"),
        ("[" + "x, " * (2 * node.MAX_NODES) + "x]", "input.too-complex"),
        ("a" * (node.MAX_CHARS + 1), "input.too-large"),
        ("a: &a [*a]", "input.not-yaml"),
        ("a: *nowhere", "input.not-yaml"),
        ("a: [1", "input.not-yaml"),
        ("? [a]\n: b", "input.not-yaml"),
        ("a: &x {y: 1}\n*x : 2", "input.not-yaml"),
        ("a: \x00", "input.not-yaml"),
        ("a: \ud800", "input.not-yaml"),
        ("\t- a", "input.not-yaml"),
    ],
    ids=[
        "alias bomb",
        "deep list",
        "deep mapping",
        "long list",
        "long text",
        "endless alias",
        "unknown alias",
        "unclosed",
        "list as key",
        "mapping as key",
        "NUL",
        "half a surrogate",
        "tab",
    ],
)
def test_what_cannot_be_read_has_one_reason(text, rule):
    with pytest.raises(Unreadable) as refused:
        read(text)
    assert refused.value.rule == rule
    assert refused.value.line >= 1


def test_the_reason_never_quotes_the_file():
    with pytest.raises(Unreadable) as refused:
        read("key: sk-hunter2\n  bad: [sk-hunter2\n")
    assert "hunter2" not in str(refused.value)


VALUES = st.recursive(
    st.text(alphabet="abc_é:#-[]{}'\"&*! \n", max_size=8).filter(lambda text: text != "<<"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcd", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_json_and_yaml_of_the_same_value_read_alike(value):
    """Invariant: the reader gives back what was written, in either notation."""
    written = {"top": value}
    assert plain(read(json.dumps(written)).root) == written
    assert plain(read(yaml.safe_dump(written, default_style='"')).root) == written


@given(st.text(alphabet="ab:-{}[],&*!|>'\"#%@ \n\t<?\\", max_size=60))
def test_any_text_is_read_or_refused(text):
    """Invariant: no other exception than Unreadable leaves the reader."""
    with contextlib.suppress(Unreadable):
        assert all(here.line >= 1 for here in read(text).root.walk())
