"""The `requests` block of a tenant."""

import pytest

from gateway.policy.bounds import Answers, read_answers, read_bounds
from gateway.policy.field import Table
from gateway.policy.model import Bounds
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import parse


def read(text):
    problems = Problems()
    node = parse(text, "tenants.yaml", problems)
    found = read_bounds(Table(node, ("acme", "requests"), problems), problems)
    problems.stop_if_any()
    return found


def test_every_field_is_read():
    text = "{tools: [a, 'b*'], modalities: [text, image], max_tokens: 9, system_prompt: Be kind., banned: {x: [one, two words]}}"
    assert read(text) == Bounds(
        tools=frozenset({"a", "b*"}),
        modalities=frozenset({"text", "image"}),
        max_tokens=9,
        system_prompt="Be kind.",
        banned={"x": ("one", "two words")},
    )


def test_formats_of_answers_are_known_words_and_at_least_one():
    assert read("{output_formats: [json_schema, text]}").formats == {"json_schema", "text"}
    for block in ("[xml]", "[]", "{a: b}"):
        with pytest.raises(PolicyError):
            read(f"{{output_formats: {block}}}")


def test_patterns_are_read_as_those_on_answers_are():
    assert read("{patterns: {tickets: 'TKT-[0-9]{6,8}'}}").patterns == {"tickets": "TKT-[0-9]{6,8}"}
    for block in ("{x: 'a*'}", "{x: '(?=a)'}", "{'X Y': abc}", "[abc]"):
        with pytest.raises(PolicyError):
            read(f"{{patterns: {block}}}")
    with pytest.raises(PolicyError, match="a list of words has this name too"):
        read("{banned: {x: [one]}, patterns: {x: two}}")


def test_nothing_bounds_nothing_and_an_empty_list_allows_nothing():
    assert read("{}") == Bounds()
    assert read("{tools: []}").tools == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "{tool: [a]}", "{tools: ['a b']}", "{modalities: [smell]}", "{max_tokens: 0}", "{banned: {x: [a]}}", "{banned: {'X Y': [one]}}",
        "{banned: [one]}", "{system_prompt: ''}",
    ],
)  # fmt: skip
def test_mistakes_are_told(text):
    with pytest.raises(PolicyError):
        read(text)


def answers(text):
    problems = Problems()
    read = read_answers(Table(parse(text, "t.yaml", problems), ("answers",), problems), problems)
    problems.stop_if_any()
    return read.banned


def test_words_banned_from_answers_are_read():
    assert answers("banned: {rivals: [Globex, Umbrella Corp]}") == {"rivals": ("Globex", "Umbrella Corp")}
    assert answers("{}") == {}


@pytest.mark.parametrize("text", ["banned: {rivals: ['C++']}", "banned: {'Big One': [abc]}", "forbidden: {a: [bc]}"])
def test_a_term_without_letters_and_other_mistakes_are_told(text):
    with pytest.raises(PolicyError):
        answers(text)


def test_answers_may_have_a_longest():
    problems = Problems()
    table = Table(parse("max_chars: 4000\n", "t.yaml", problems), ("answers",), problems)
    assert read_answers(table, problems) == Answers(max_chars=4000)
    assert read_answers(None, problems) == Answers()
