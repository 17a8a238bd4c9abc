"""Usage for the admin API: the audit directory read in a thread, within a deadline. The sums are in `ostiary.usage`."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from control.budget_actions import Period
from control.problem import Refusal, unavailable
from gateway.clock import Clock
from ostiary import usage
from ostiary.usage import Exchange

#: Less than what control gives a request (8 s). Some hundred thousand exchanges a second are read.
_DEADLINE_S: Final = 6.0
_LOOK_EVERY: Final = 1000  # exchanges between two looks at the clock
#: Groups in an answer: half a megabyte. Whoever has more asks for less at a time.
GROUPS: Final = 5000


class UsageSums:
    """See the module. One reading at a time: it takes a core, and what `control` does besides shall go on."""

    def __init__(self, directory: Path, clock: Clock, deadline_s: float = _DEADLINE_S) -> None:
        self._directory = directory
        self._clock = clock
        self._deadline_s = deadline_s
        self._reading = asyncio.Lock()

    async def __call__(self, asked: Period) -> Sequence[Mapping[str, Any]]:
        """The groups of a period, in the order of their names."""
        if self._reading.locked():
            raise unavailable("Another reading of the records is under way. Try again in some seconds.")
        async with self._reading:
            return await asyncio.to_thread(self._sums, asked)

    def _sums(self, asked: Period) -> list[Mapping[str, Any]]:
        # A file that was last written before the period holds nothing of it.
        files = [file for file in sorted(self._directory.glob("*.jsonl")) if file.stat().st_mtime >= asked.since_s]
        found = usage.sums(self._wanted(usage.read(files, _nobody), asked), asked.by)
        if len(found) > GROUPS:
            raise Refusal("invalid", f"more than {GROUPS} groups; ask for a shorter period or fewer", field="by")
        return [{**dict(zip(asked.by, group, strict=True)), **asdict(one)} for group, one in found.items()]

    def _wanted(self, exchanges: Iterable[Exchange], asked: Period) -> Iterator[Exchange]:
        ends_s = self._clock.monotonic() + self._deadline_s
        for number, one in enumerate(exchanges):
            if number % _LOOK_EVERY == 0 and self._clock.monotonic() >= ends_s:
                raise unavailable("Too many records to read in time. Ask for less, or run `ostiary usage`.")
            if asked.since_s <= one.at_s < asked.until_s and all(
                getattr(one, name) == value for name, value in asked.only.items()
            ):
                yield one


def _nobody(problem: str) -> None:
    """Bad lines are told by `ostiary usage`."""
