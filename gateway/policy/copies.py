"""What a pool's mirror is: a backend that is sent copies, and how many. Reads nothing, sends nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A backend that is sent copies of a pool's requests, and whose answers nobody sees."""

    backend: str  # none of the pool's
    percent: int  # of requests that leave for a backend
    per_minute: int = 60  # most copies that one gateway sends
    tokens_per_day: int | None = None  # of prompts and answers, all gateways together; None: not counted
    timeout_s: int = 60  # for a whole answer
