"""A circuit breaker as a value: whether a server that failed should be asked at all. Knows no clock and no server.

Closed, everybody asks. After some failures in a row it opens for a while in which nobody asks; then one probe may, and
its outcome closes the circuit or opens it for twice as long.
"""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Breaker:
    """The state of one server. Times are monotonic seconds."""

    failures_to_open: int
    first_open_s: float
    longest_open_s: float
    _failures: int = 0
    _open_s: float = 0.0  # how long the present opening lasts; 0: closed
    _until_s: float = 0.0
    _probing: bool = False

    @property
    def closed(self) -> bool:
        """Whether all is well."""
        return not self._open_s

    def refuses(self, now_s: float) -> bool:
        """Whether asking is pointless now: the circuit is open, or a probe is under way. Changes nothing."""
        return bool(self._open_s) and (self._probing or now_s < self._until_s)

    def start(self, now_s: float) -> bool:
        """Whether to ask. Whoever is told so must report how it ended, or the circuit waits for it for ever."""
        if self.refuses(now_s):
            return False
        self._probing = bool(self._open_s)
        return True

    def succeeded(self) -> None:
        """The server answered."""
        self._failures, self._open_s, self._probing = 0, 0.0, False

    def abandoned(self) -> None:
        """Whoever asked left before there was an outcome: it says nothing of the server, and another one may probe."""
        self._probing = False

    def failed(self, now_s: float) -> None:
        """The server did not answer, or nothing of use. Questions from before the opening do not count."""
        if self._open_s and not self._probing:
            return
        self._failures += 1
        if self._probing or self._failures >= self.failures_to_open:
            self._open_s = min(2 * self._open_s, self.longest_open_s) or self.first_open_s
            self._until_s = now_s + self._open_s
            self._probing = False
