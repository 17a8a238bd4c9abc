"""Decisions that were made before, by policy version and by the input fields that the policy declares. For one loop.

Only what Rego reads may tell two requests apart, and the build has checked that it reads nothing that is not declared
(authz/opa/build.py). Entries do not age: input and data are all that a decision follows from.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from authz.opa.input import VALUES, Question
from gateway.policy.model import Policy

#: About 700 bytes each: 6 MiB. Callers of a gateway are some thousand keys on three paths.
ENTRIES: Final = 8192

Key = tuple[Hashable, ...]
_T = TypeVar("_T")


class Decisions(Generic[_T]):
    """The most recently used ones."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._held: OrderedDict[Key, _T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Key) -> _T | None:
        """What was decided."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: Key, decided: _T) -> None:
        """Remember; the one that was not used for longest goes."""
        self._held[key] = decided
        self._held.move_to_end(key)
        if len(self._held) > self._entries:
            self._held.popitem(last=False)


def key_of(question: Question, policy: Policy) -> Key | None:
    """What the decision is remembered by; None where the policy wants none remembered."""
    if policy.opa is None or not policy.opa.cache_on:
        return None
    return (policy.version, *[VALUES[name](question) for name in policy.opa.cache_on])
