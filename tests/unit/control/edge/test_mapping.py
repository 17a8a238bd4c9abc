"""Reading a mapping by field, with lines and without YAML's retyping."""

from hypothesis import given
from hypothesis import strategies as st

from control.edge.mapping import MappingReader, SpecError


def reading(text):
    reader = MappingReader("f.yaml")
    return reader, reader.top(text)


def test_words_stay_words():
    _, top = reading("a: off\nb: 012\nc: 1.0\nd: ~\n")
    assert [top.text(name) for name in "abcd"] == ["off", "012", "1.0", "~"]


def test_number_may_be_grouped_and_must_be_ascii_digits():
    reader, top = reading("a: 1_000\nb: 0x10\nc: -1\nd: '12'\n")
    assert top.integer("a", 0, 0, 9999) == 1000
    assert top.integer("b", 7, 0, 9999) == 7
    assert top.integer("c", 7, 0, 9999) == 7
    assert top.integer("d", 0, 0, 9999) == 12
    assert [problem.split(":")[1] for problem in reader.problems] == ["2", "3"]


def test_a_missing_section_is_told_once_not_key_by_key():
    reader, top = reading("other: 1\n")
    section = top.mapping("section")
    assert section.text("key") == ""
    assert section.integer("number", 5, 0, 9) == 5
    assert reader.problems == ["f.yaml:1: section is missing"]


def test_unknown_keys_are_told_at_every_depth():
    reader, top = reading("known:\n  inner: 1\n  typo: 2\nstray: 3\n")
    top.mapping("known").text("inner")
    reader.refuse_unknown()
    assert sorted(reader.problems) == [
        "f.yaml:3: known.typo is not a known key",
        "f.yaml:4: stray is not a known key",
    ]


def test_wrong_kinds_are_told():
    reader, top = reading("a: [1]\nb: x\nc: {}\n")
    top.text("a")
    top.mapping("b")
    top.texts("c", ())
    assert reader.problems == [
        "f.yaml:1: a must be a single value",
        "f.yaml:2: b must be a mapping",
        "f.yaml:3: c must be a list with an entry",
    ]


def test_error_tells_every_problem():
    error = SpecError(["one", "two"])
    assert error.problems == ("one", "two")
    assert str(error) == "one\ntwo"


@given(st.text(max_size=200))
def test_any_text_is_read_or_told_never_a_crash(text):
    reader, top = reading(text)
    top.text("a", "")
    top.mapping("b", required=False).integer("c", 0, 0, 9)
    reader.refuse_unknown()
    assert all(problem.startswith("f.yaml:") for problem in reader.problems)
