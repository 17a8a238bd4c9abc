"""Time as an argument: nothing but `SystemClock` asks the operating system what time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """What code that needs the time takes as an argument, so that tests decide how it passes."""

    def now(self) -> float:
        """Unix seconds: for records and expiry dates. May jump when the host's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, never backwards: for durations and deadlines."""
        ...


class SystemClock:
    """The host's clocks."""

    __slots__ = ()

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251  # this class is where the ban sends callers

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()  # noqa: TID251  # this class is where the ban sends callers
