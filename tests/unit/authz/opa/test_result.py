"""The strict reading of `decision`: one shape is a decision, everything else is a refusal with its cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.opa.result import MAX_REASON_CHARS, MAX_REASONS, MAX_TOKENS, Decided, ResultError, read
from gateway.identity import NO_OBLIGATIONS, Obligations

REFUSED = {
    "nothing": (None, "undefined"),
    "true alone": (True, "not an object"),
    "false alone": (False, "not an object"),
    "a list": ([{"allow": True}], "not an object"),
    "an empty object": ({}, "allow is missing"),
    "a text": ({"allow": "true"}, "allow is not a boolean"),
    "a number": ({"allow": 1}, "allow is not a boolean"),
    "null": ({"allow": None}, "allow is not a boolean"),
    "a list of booleans": ({"allow": [True]}, "allow is not a boolean"),
    "another field": ({"allow": True, "allowed": True}, "an unknown field"),
    "reasons as a text": ({"allow": True, "reasons": "no"}, "reasons is not a list"),
    "reasons as an object": ({"allow": True, "reasons": {"no": True}}, "reasons is not a list"),
    "null for reasons": ({"allow": False, "reasons": None}, "reasons is not a list"),
    "a reason that is none": ({"allow": False, "reasons": [1]}, "a reason is not a line"),
    "an empty reason": ({"allow": False, "reasons": [""]}, "a reason is not a line"),
    "a long reason": ({"allow": False, "reasons": ["x" * (MAX_REASON_CHARS + 1)]}, "a reason is not a line"),
    "a reason of two lines": ({"allow": False, "reasons": ["a\nb"]}, "a reason is not a line"),
    "a terminal's colours": ({"allow": False, "reasons": ["\x1b[31m"]}, "a reason is not a line"),
    "many reasons": ({"allow": False, "reasons": ["x"] * (MAX_REASONS + 1)}, "reasons is not a list"),
    "obligations as a list": ({"allow": True, "obligations": []}, "obligations is not an object"),
    "null for obligations": ({"allow": True, "obligations": None}, "obligations is not an object"),
    "an unknown obligation": ({"allow": True, "obligations": {"log": True}}, "an unknown obligation"),
    "models as a text": ({"allow": True, "obligations": {"models": "gpt"}}, "obligations.models"),
    "null for models": ({"allow": True, "obligations": {"models": None}}, "obligations.models"),
    "a wildcard": ({"allow": True, "obligations": {"models": ["*"]}}, "obligations.models"),
    "a model that is none": ({"allow": True, "obligations": {"models": [1]}}, "obligations.models"),
    "no tokens": ({"allow": True, "obligations": {"max_tokens": 0}}, "obligations.max_tokens"),
    "null for tokens": ({"allow": True, "obligations": {"max_tokens": None}}, "obligations.max_tokens"),
    "a yes for tokens": ({"allow": True, "obligations": {"max_tokens": True}}, "obligations.max_tokens"),
    "parts of tokens": ({"allow": True, "obligations": {"max_tokens": 1.5}}, "obligations.max_tokens"),
    "too many tokens": ({"allow": True, "obligations": {"max_tokens": MAX_TOKENS + 1}}, "obligations.max_tokens"),
    "guards as a text": ({"allow": True, "obligations": {"guards": "pii.email"}}, "obligations.guards"),
    "a guard with a space": ({"allow": True, "obligations": {"guards": ["pii email"]}}, "obligations.guards"),
    "null for guards": ({"allow": True, "obligations": {"guards": None}}, "obligations.guards"),
    "a path for a route": ({"allow": True, "obligations": {"route": "../eu"}}, "obligations.route"),
    "an empty route": ({"allow": True, "obligations": {"route": ""}}, "obligations.route"),
    "much of everything": (
        {"allow": True, "obligations": {"models": [f"m{number:0127}" for number in range(100)]}},
        "more than 8192 bytes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_no_decision_is_refused_with_its_cause(case):
    value, cause = REFUSED[case]
    with pytest.raises(ResultError, match=cause):
        read(value)


def test_the_least_decision():
    assert read({"allow": True}) == Decided(allow=True)
    assert read({"allow": False}).obligations is NO_OBLIGATIONS


def test_a_decision_with_everything():
    obligations = {"models": ["a", "b"], "max_tokens": 5, "guards": ["pii.email"], "route": "eu-1"}
    assert read({"allow": True, "reasons": ["says: ja & ok"], "obligations": obligations}) == Decided(
        allow=True,
        reasons=("says: ja & ok",),
        obligations=Obligations(
            models=frozenset({"a", "b"}), max_tokens=5, guards=frozenset({"pii.email"}), route="eu-1"
        ),
    )


def test_no_model_is_not_every_model():
    assert read({"allow": True, "obligations": {"models": []}}).obligations.models == frozenset()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "allow": JSON,
        "reasons": JSON,
        "obligations": st.dictionaries(st.sampled_from(["models", "guards", "x"]), JSON),
    },
)


@given(JSON | SHAPED)
def test_any_json_is_a_decision_or_refused_and_only_true_allows(value):
    try:
        decided = read(value)
    except ResultError:
        return
    assert decided.allow is value["allow"]
