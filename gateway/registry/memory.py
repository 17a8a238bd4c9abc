"""A registry in the memory of one process, for tests and as the measure of others. Keeps nothing, seals nothing."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.registry.model import Apply, Change, ConflictError, Entry, Sort, Unconditional, check


class MemoryReplica:
    """Told at once, within `apply`: what a test changed is known when `apply` returns."""

    def __init__(self, tell: Callable[[Sort, Apply], None]) -> None:
        self._tell = tell
        self._listeners: list[tuple[Sort, Apply]] = []
        self.held_age_s = 0.0  # a test sets it to play a registry that is away

    def follow(self, sort: Sort, apply: Apply) -> None:
        """See `Replica`; what stands already is told before this returns."""
        self._tell(sort, apply)
        self._listeners.append((sort, apply))

    def age_s(self) -> float:
        """See `Replica`."""
        return self.held_age_s

    async def ready(self, within_s: float) -> bool:  # noqa: ARG002 -- the protocol's; nothing is waited for
        """See `Replica`."""
        return True

    async def run(self) -> None:
        """See `Replica`: there is nothing to do."""
        await asyncio.Event().wait()

    def told(self, change: Change) -> None:
        """One change; called by the registry."""
        for sort, apply in self._listeners:
            if sort is change.sort:
                apply(change.id, change.value)


class MemoryRegistry:
    """What Valkey does, in a dictionary."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Sort, str], bytes] = {}
        self._epoch = 0
        self._replicas: list[MemoryReplica] = []

    def replica(self) -> MemoryReplica:
        """A replica that is told of every change at once."""
        made = MemoryReplica(self._tell)
        self._replicas.append(made)
        return made

    async def apply(self, changes: Sequence[Change]) -> int:
        """See `Registry`."""
        check(changes)
        for change in changes:
            stands = self._entries.get((change.sort, change.id))
            if change.expected is not Unconditional.ANY and change.expected != stands:
                raise ConflictError(f"{change.sort.value} is not as expected")
        for change in changes:
            if change.value is None:
                self._entries.pop((change.sort, change.id), None)
            else:
                self._entries[change.sort, change.id] = change.value
        self._epoch += len(changes)
        for change in changes:
            for replica in self._replicas:
                replica.told(change)
        return self._epoch

    async def get(self, sort: Sort, entry_id: str) -> bytes | None:
        """See `Registry`."""
        return self._entries.get((sort, entry_id))

    async def list(self, sort: Sort) -> Sequence[Entry]:
        """See `Registry`."""
        return [Entry(one, name, value) for (one, name), value in sorted(self._entries.items()) if one is sort]

    def _tell(self, sort: Sort, apply: Apply) -> None:
        for (one, name), value in self._entries.items():
            if one is sort:
                apply(name, value)
