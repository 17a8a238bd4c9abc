"""What is limited and what came of it: the words that authz and the limiters share. Counts nothing."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.limits.gcra import Limit

_US_PER_S: Final = 1_000_000


class Bucket(NamedTuple):
    """One limit of one subject. A changed limit is another bucket to a worker, and the same key in the ledger."""

    tenant: str
    scope: str  # "tenant" | "key:<id>" | "principal:<name>" | "address:<ip>"
    requests: int
    window_s: int

    @property
    def key(self) -> str:
        """Its name in the ledger. The braces make the tenant the hash tag: its limits share a cluster slot."""
        return f"ostiary:{{{self.tenant}}}:rate:{self.scope}"

    @property
    def limit(self) -> Limit:
        """The limit in the units of the arithmetic."""
        return Limit(self.requests, self.window_s * _US_PER_S)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, and the state of the tightest of its limits."""

    allowed: bool
    limit: int = 0  # requests that an untouched limit admits at once; 0 when nothing is limited
    remaining: int = 0  # best knowledge of this worker; what others spent since it last asked the ledger is missing
    reset_s: float = 0.0  # until the limit is untouched
    retry_after_s: float = 0.0  # until the next request fits; 0 when this one passed
    which: str = ""  # scope of the limit that these numbers are of


UNLIMITED: Final = Verdict(allowed=True)


def duration(seconds: float) -> str:
    """Whole seconds as headers of rate limits write them: `6m0s`, `1s`. Rounded up, so that nobody comes early."""
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def seconds(microseconds: int) -> float:
    """For people and headers."""
    return max(microseconds, 0) / _US_PER_S
