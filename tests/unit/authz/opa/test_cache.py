"""Remembered decisions: by version and declared fields, bounded, the least recently used going first."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

import rego
from authz.opa.cache import Decisions, key_of
from authz.opa.input import VALUES, Question
from gateway.policy.opa import FIELDS


def test_a_policy_that_declares_nothing_remembers_nothing():
    assert key_of(rego.question(), rego.policy()) is None
    assert key_of(rego.question(), replace(rego.policy(), opa=None)) is None


def test_requests_that_differ_only_in_undeclared_fields_share_a_decision():
    policy = rego.policy(cache_on=("caller.tenant", "request.path"))
    assert key_of(rego.question("alice"), policy) == key_of(rego.question("bob"), policy)
    elsewhere = Question(rego.ask("/v1/embeddings"), rego.allowed())
    assert key_of(elsewhere, policy) != key_of(rego.question("alice"), policy)


def test_another_version_of_the_policy_shares_nothing():
    declared = ("caller.tenant",)
    one, other = rego.policy(cache_on=declared), rego.policy(cache_on=declared, version="p-other")
    assert key_of(rego.question(), one) != key_of(rego.question(), other)


@given(st.lists(st.sampled_from(FIELDS), unique=True, min_size=1), st.text(max_size=3), st.text(max_size=3))
def test_a_key_differs_exactly_when_a_declared_value_does(declared, one, other):
    policy = rego.policy(cache_on=tuple(declared))
    first, second = rego.question(one, groups=(other,)), rego.question(other, groups=(one,))
    same = all(VALUES[name](first) == VALUES[name](second) for name in declared)
    assert (key_of(first, policy) == key_of(second, policy)) is same


def test_the_least_recently_used_decision_goes_first():
    held = Decisions[int](entries=2)
    held.put(("a",), 1)
    held.put(("b",), 2)
    assert held.get(("a",)) == 1
    held.put(("c",), 3)
    assert (held.get(("a",)), held.get(("b",)), held.get(("c",))) == (1, None, 3)
    assert len(held) == 2
