"""The registry as a value: entries, changes, and what a store of them promises. Pure; speaks to no server.

The registry is a small map that `control` writes and every worker holds in memory whole: API keys, revocations, service
accounts, signing keys. Each change has an epoch, one more than the change before it, so a worker that missed one knows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Protocol


class Sort(StrEnum):
    """What an entry is about. Part of the store's keys and of every seal: never renamed."""

    KEY = "key"  # id: key id; value: gateway.registry.keys
    REVOCATION = "revocation"  # id: the mark (gateway.revocation.mark); value: gateway.revocation.record
    ACCOUNT = "account"  # id: client_id; value: service account of the token service
    SIGNING = "signing"  # id: kid; value: private key, encrypted; read by `control` alone
    VERIFYING = "verifying"  # id: kid; value: public JWK with its times


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it stands. `value` is JSON, at most 64 KiB, its seal checked."""

    sort: Sort
    id: str
    value: bytes


class Unconditional(Enum):
    """The type of a change without a condition."""

    ANY = "any"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry set, or removed (`value` None).

    `expected` makes it conditional: the value that must stand there now, or None for "nothing may stand there";
    `Unconditional.ANY` (the default) sets no condition.
    """

    sort: Sort
    id: str
    value: bytes | None
    expected: bytes | Unconditional | None = Unconditional.ANY


class RegistryError(Exception):
    """The registry could not be asked or changed. Names the kind of failure, no address and no secret."""


class ConflictError(RegistryError):
    """A condition of a change did not hold: somebody else was faster, or the entry exists already."""


class Registry(Protocol):
    """The store, as `control` writes it. Every method may raise RegistryError; callers set deadlines."""

    async def apply(self, changes: Sequence[Change]) -> int:
        """Make all changes or none, tell every replica, and return the epoch after the last one."""
        ...

    async def get(self, sort: Sort, entry_id: str) -> bytes | None:
        """One value, or None."""
        ...

    async def list(self, sort: Sort) -> Sequence[Entry]:
        """Every entry of one sort, by id."""
        ...


Apply = Callable[[str, bytes | None], None]


class Replica(Protocol):
    """The registry as a worker holds it: listeners are told of every entry, then of every change, in order."""

    def follow(self, sort: Sort, apply: Apply, *, reset: Callable[[], None]) -> None:
        """Before `run`: call `apply(id, value or None)` for each entry and change of one sort.

        `reset` is called before everything is told again from the start (gap too wide to heal). Neither may raise.
        """
        ...

    def age_s(self) -> float:
        """Seconds since the replica last knew that it had missed nothing; infinity before the first time."""
        ...

    async def run(self) -> None:
        """Load, then follow until cancelled. Heals every failure by itself."""
        ...
