"""What a tenant's policy says of its cache: the words and their defaults. Declares, reads nothing."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Whose answers a request may be given out of the cache."""

    PRINCIPAL = "principal"  # those that the same principal of the tenant was given
    TENANT = "tenant"  # those that any principal of the tenant was given


class Likeness(StrEnum):
    """How sure it must be that two questions are one. What that gets wrong was measured (docs/cache.md)."""

    STRICT = "strict"
    USUAL = "usual"
    LOOSE = "loose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """When a question is answered with what was said to one in other words."""

    likeness: Likeness = Likeness.STRICT
    scope: Scope = Scope.PRINCIPAL  # whose questions; TENANT only where the cache has that scope too
    max_chars: int = 300  # longest question that is compared
    entries: int = 10_000  # questions of the tenant in the index of a host
    deadline_ms: int = 50  # longest wait for the index, which answers in 5 ms on a core of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Which answers of a tenant are kept, how long, and for whom."""

    scope: Scope = Scope.PRINCIPAL
    ttl_s: int = 300
    models: frozenset[str] = frozenset()  # public model names; empty: all
    tags: frozenset[str] = frozenset()  # under which entries can be thrown away
    tools: bool = False  # also requests that bring tools
    personal: bool = False  # also requests that name an end user
    max_temperature: float = 1.0  # the highest that a request may ask for
    entry_bytes: int = 65_536  # longest answer that is kept
    entries: int = 10_000  # kept at a time
    wait_ms: int = 2000  # longest wait for the answer to the same request that is under way; 0: nobody waits
    charge: bool = False  # whether a hit costs what its answer cost
    deadline_ms: int = 100  # longest wait for the store itself, which answers in a millisecond
    similar: Similar | None = None  # None: only the very same request is answered
