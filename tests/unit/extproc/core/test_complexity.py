"""Complexity: what can be seen in a request has a name and points, and nothing takes longer than a look."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core import admission, route
from extproc.core.complexity import POINTS, Score, features_of, score


def scored(path="/v1/chat/completions", **body):
    door = admission.DOORS[path]
    return score(body, door, len(json.dumps(body)), route.features(body, door))


def asked(text, **body):
    return scored(messages=[{"role": "user", "content": text}], **body)


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("Hello, how are you?", ()),
        ("What is the capital of France?", ()),
        ("Tell me a story about a dragon that reads code.", ()),
        ("Write a Python function that reverses a list.", ("code_task",)),
        ("```\nx = 1\n```", ("code",)),
        ("def f(x):\n    return x", ("code",)),
        ("How many apples are left?", ("sums",)),
        ("Ann has 3 apples, Bo has 5, Cy 7. How many do they have in total, if half of each is bad?",
         ("figures", "sums", "quantities")),
        ("Prove that there are infinitely many primes, step by step.", ("reasoning",)),
        ("写一个函数来反转列表", ()),  # words are English; what is written otherwise is seen by its code and figures alone
    ],
)  # fmt: skip
def test_what_is_asked_shows_features(text, features):
    found = asked(text)
    assert found == Score(sum(POINTS[name] for name in features), features)


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}, "schema"),
        ({"reasoning_effort": "high"}, "effort"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "effort"),
        ({"reasoning": {"effort": "medium"}}, "effort"),
        ({"user": "x" * 40_000}, "long"),
    ],
)
def test_what_a_request_asks_of_the_api_shows_too(fields, feature):
    assert asked("Hello", **fields).features == (feature,)


@pytest.mark.parametrize("fields", [{"reasoning_effort": "low"}, {"thinking": {"type": "disabled"}}, {"reasoning": 7}])
def test_little_thought_is_no_effort(fields):
    assert asked("Hello", **fields).points == 0


def test_the_last_user_is_heard_and_the_conversation_counted():
    turns = [{"role": "user", "content": "Prove it."}, {"role": "assistant", "content": "def f():"}] * 5
    assert scored(messages=[*turns, {"role": "user", "content": "Thanks!"}]).features == ("turns",)
    parts = [{"type": "text", "text": "Prove"}, {"type": "text", "text": "it"}]
    assert scored(messages=[{"role": "user", "content": parts}]).features == ("reasoning",)


def test_other_dialects_are_read_alike():
    messages = [{"role": "user", "content": [{"type": "text", "text": "Write a Python function."}]}]
    assert scored("/v1/messages", messages=messages).features == ("code_task",)
    assert scored("/v1/responses", input="Write a Python function.").features == ("code_task",)


def test_points_end_at_a_hundred():
    everything = "```\nWrite a Python function: how many of 1, 2, 3 percent each in total? Prove it step by step."
    assert (
        asked(everything, reasoning_effort="high", tools=[{"type": "function", "function": {"name": "f"}}]).points
        == 100
    )


def test_only_the_beginning_and_the_end_of_a_long_text_are_read():
    filler = "word " * 20_000
    assert "reasoning" in features_of(f"Prove this. {filler}")
    assert "reasoning" in features_of(f"{filler} Prove this.")
    assert features_of(f"{filler} Prove this. {filler}") == []


@given(st.one_of(st.text(), st.lists(st.fixed_dictionaries({"type": st.text(), "text": st.integers() | st.text()}))))
def test_content_of_any_kind_has_a_score(content):
    assert 0 <= asked(content).points <= 100
