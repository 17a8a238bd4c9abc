"""The registry as a value: entries, changes, and what a store of them promises. Pure; speaks to no server.

The registry is a small map that `control` writes and every worker holds in memory whole: API keys, revocations, service
accounts, signing keys. Each change has an epoch, one more than the change before it, so a worker that missed one knows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, Protocol

#: A value is a key's record or a public JWK, far below 4 KiB; the bound keeps one writer from filling every worker.
VALUE_BYTES: Final = 64 * 1024
#: The longest id is a mark with a principal; principals are bounded far below this.
ID_BYTES: Final = 1024
#: One apply is one script call, and a store serves nobody else meanwhile: milliseconds at these bounds. Messages of
#: 1 MiB stay far below the 8 MiB at which Valkey drops a slow subscriber (client-output-buffer-limit).
CHANGES_MAX: Final = 256
APPLY_BYTES: Final = 1024 * 1024


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


def check(changes: Sequence[Change]) -> None:
    """Refuse what no store takes, before anything is sent.

    Raises:
        RegistryError: too many changes or too long, an entry named twice, an id or value that cannot be one.
    """
    if not 1 <= len(changes) <= CHANGES_MAX:
        raise RegistryError(f"one to {CHANGES_MAX} changes at a time")
    if len({(change.sort, change.id) for change in changes}) != len(changes):
        raise RegistryError("one entry twice in one apply")
    total = 0
    for change in changes:
        if not change.id.isprintable() or not 1 <= len(change.id.encode()) <= ID_BYTES:
            raise RegistryError(f"an id is 1 to {ID_BYTES} bytes of printable text")
        if change.value is None:
            continue
        total += len(change.value)
        if len(change.value) > VALUE_BYTES or total > APPLY_BYTES:
            raise RegistryError(f"a value has at most {VALUE_BYTES} bytes, those of one apply {APPLY_BYTES}")
        try:
            change.value.decode()
        except UnicodeDecodeError:
            raise RegistryError("a value is JSON in UTF-8") from None


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


#: Told of an entry: its id, and its value or None when it is gone. Called on the event loop; may not raise.
Apply = Callable[[str, bytes | None], None]


class Replica(Protocol):
    """The registry as a worker holds it: listeners are told of every entry, then of every change, in order.

    A listener may be told the same again (after a gap that could not be healed change by change), never to forget
    everything: an entry that is gone is told as None once all the others have been told. So a listener needs no view
    beside its own, and there is no moment at which a revocation is missing that stands in the registry.
    """

    def follow(self, sort: Sort, apply: Apply) -> None:
        """Before `run`: call `apply(id, value or None)` for each entry and change of one sort."""
        ...

    def age_s(self) -> float:
        """Seconds since the replica last knew that it had missed nothing; infinity before the first time."""
        ...

    async def ready(self, within_s: float) -> bool:
        """Wait for the first load. False when it took too long: until then every entry counts as absent."""
        ...

    async def run(self) -> None:
        """Load, then follow until cancelled. Heals every failure by itself."""
        ...
