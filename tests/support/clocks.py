"""A clock that tests move by hand."""


class ManualClock:
    """Satisfies `gateway.clock.Clock`; stands still until `advance` or `set_back` is called."""

    def __init__(self, now: float = 1_700_000_000.0, monotonic: float = 1_000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Time passes on both clocks."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use set_back for a corrected wall clock")
        self._now += seconds
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        """Someone corrects the wall clock; durations are not touched."""
        self._now -= seconds
