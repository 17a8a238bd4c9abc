"""A tenant's regular expressions: which are taken, how long their matches are, and what is told of the others."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.bounds import Answers, read_answers
from gateway.policy.field import Table
from gateway.policy.pattern import PatternError, read_pattern
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import parse


@pytest.mark.parametrize(
    ("source", "most"),
    [
        ("TKT-[0-9]{6,8}", 12), ("a", 1), ("ab?c", 3), ("(?:ab|cde){2}", 6), ("(ab)c", 3), (r"\d{3}-\d{4}", 8), (r"\bx\b", 1),
        ("[^a]b", 2), (r"[\w.]{2,5}", 5), (r"\{x\}", 3), ("(?i)secret", 6), ("é{2}", 2), (r"[a\-z]", 1), ("[a-]x", 2), ("a|bcd", 3),
    ],
)  # fmt: skip
def test_the_longest_match_is_known(source, most):
    pattern = read_pattern(source)
    assert pattern.most == most
    assert pattern.caseless == source.startswith("(?i)")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("a*", "needs a most"), ("a+", "needs a most"), ("a{2,}", "needs a most"), ("a{1,70}", "64 may wait"), ("^a", "no meaning"),
        ("a$", "no meaning"), ("(?=a)b", "are groups"), ("(?P<n>a)", "are groups"), (r"(a)\1", "not known"), (r"\x41", "not known"),
        ("[a", "does not end"), ("[[:alpha:]]", "without"), ("[]", "nothing"), ("[z-a]", "backwards"), ("(a", "does not end"),
        ("a)", "without its beginning"), ("", "where nothing is"), ("a?", "where nothing is"), ("a|", "where nothing is"),
        ("a{3,2}", "less than its least"), ("a??", "behind another"), ("a{2}{2}", "behind another"), (r"\b{2}a", "repeat of nothing"),
        (" {1,3}", "nothing but blanks"), ("[,: ]{2}", "nothing but blanks"), ("a" * 201, "longer than"),
        ("(" * 9 + "a" + ")" * 9, "nested"), ("a\tb", "cannot be seen"), ("a\\", "not known"),
    ],
)  # fmt: skip
def test_what_could_not_be_decided_in_a_window_is_refused(source, told):
    with pytest.raises(PatternError, match=re.escape(told)):
        read_pattern(source)


@given(st.text("ab(|)[]{}?*+-^\\.,d0123 ", max_size=12))
def test_whatever_is_taken_matches_no_more_than_it_says(source):
    try:
        pattern = read_pattern(source)
    except PatternError:
        return
    again = re.compile(pattern.expression)
    signs = re.compile(f"[{pattern.signs}]{{1,64}}")
    for text in ("ab" * 40, "a1 b2, (ab) [a] {0} " * 5, "\\d-^" * 20):
        for match in again.finditer(text):
            assert 1 <= len(match.group()) <= pattern.most
            assert signs.fullmatch(match.group())


def answers(text, compiled=None):
    problems = Problems()
    read = read_answers(Table(parse(text, "t.yaml", problems), ("answers",), problems), problems, compiled)
    problems.stop_if_any()
    return read


def test_patterns_of_a_tenant_are_read_and_name_rules():
    read = answers("{banned: {rivals: [Globex]}, patterns: {tickets: 'TKT-[0-9]{6}'}}")
    assert read.patterns == {"tickets": "TKT-[0-9]{6}"}
    assert read.rules == {"banned.rivals", "banned.tickets"}
    assert Answers().rules == frozenset()


@pytest.mark.parametrize(
    "text",
    ["patterns: {x: 'a*'}", "patterns: {X: a}", "{banned: {x: [word]}, patterns: {x: a}}", "patterns: [a]", "patterns: {x: [a]}",
     "patterns: {" + ", ".join(f"x{at}: a" for at in range(65)) + "}"],
)  # fmt: skip
def test_mistakes_are_told(text):
    with pytest.raises(PolicyError):
        answers(text)


def test_the_engine_has_the_last_word():
    with pytest.raises(PolicyError, match="too large"):
        answers("patterns: {x: abc}", lambda source: f"{source} is too large")
