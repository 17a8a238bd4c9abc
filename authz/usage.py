"""Remembers which keys of the registry were used, and writes it down now and then. Decides nothing, delays nobody.

What was noted since the last writing is lost with the process, at most half a minute: the times are a hint for
operators who look for forgotten keys.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from gateway.clock import Clock
from gateway.registry.model import RegistryError

_log: Final = structlog.get_logger(__name__)
_PAUSE_S: Final = 30.0  # days are what operators ask for; every worker writes at most this often
_DEADLINE_S: Final = 5.0  # nobody waits for it, and the next try is not far
_MOST: Final = 262_144  # keys between two writings; twice what a registry is made for, 40 MiB at the very most


class Writer(Protocol):
    """Where the times go (gateway.registry.last_used)."""

    async def note(self, times: Mapping[str, int]) -> None:
        """Keep the times. May raise RegistryError."""
        ...


class LastUse:
    """See `service.Usage`."""

    def __init__(self, writer: Writer, holds: Callable[[str], bool], clock: Clock) -> None:
        """`holds` tells keys of the registry from those of the policy, of which nothing is kept."""
        self._writer = writer
        self._holds = holds
        self._clock = clock
        self._seen: dict[str, int] = {}

    def used(self, key_id: str) -> None:
        """See `service.Usage`."""
        if len(self._seen) < _MOST or key_id in self._seen:
            self._seen[key_id] = int(self._clock.now())

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted. What could not be written is tried again the next time."""
        seen, self._seen = self._seen, {}
        times = {key_id: moment for key_id, moment in seen.items() if self._holds(key_id)}
        if not times:
            return
        written = False
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await self._writer.note(times)
            written = True
        except (RegistryError, TimeoutError) as failure:
            _log.warning("last_used_not_written", keys=len(times), cause=str(failure) or type(failure).__name__)
        finally:
            if not written:  # also when the worker ends meanwhile: it flushes once more
                self._seen = times | self._seen
