"""The store: pinned versions stay for a while, unknown ones are told by None."""

import pytest

from gateway.policy.model import Limits, Policy
from gateway.policy.store import KEPT_VERSIONS, PolicyStore


def policy(number):
    return Policy(version=f"p-{number}", name="n", tenants={}, keys={}, models={}, backends={}, limits=Limits())


def test_the_last_versions_are_kept_and_older_ones_are_gone():
    store = PolicyStore(policy(0))
    for number in range(1, 10):
        store.put(policy(number))
    assert store.current == policy(9)
    kept = [number for number in range(10) if store.get(f"p-{number}") is not None]
    assert kept == list(range(10 - KEPT_VERSIONS, 10))


def test_a_rolled_back_version_counts_as_the_newest():
    store = PolicyStore(policy(0), kept=2)
    store.put(policy(1))
    store.put(policy(0))
    store.put(policy(2))
    assert store.get("p-0") == policy(0)
    assert store.get("p-1") is None


def test_putting_the_same_version_again_evicts_nothing():
    store = PolicyStore(policy(0), kept=2)
    for _ in range(5):
        store.put(policy(1))
    assert store.get("p-0") is not None


def test_an_unknown_version_is_none():
    assert PolicyStore(policy(0)).get("p-1") is None


def test_a_store_that_keeps_nothing_is_refused():
    with pytest.raises(ValueError, match="at least the current"):
        PolicyStore(policy(0), kept=0)
