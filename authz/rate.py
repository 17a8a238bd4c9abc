"""What authz asks of a rate limiter, and how it tells the state of a limit in OpenAI's headers. Counts nothing."""

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, Protocol

from gateway.errors import GatewayError, Kind
from gateway.limits.bucket import Bucket, Verdict

#: Whose limit it is, by the first word of a bucket's scope (authz/decide.py).
_WHOSE: Final = MappingProxyType(
    {"key": "API key", "principal": "principal", "address": "network address", "tenant": "tenant"}
)


class Limiter(Protocol):
    """Where requests are counted: in memory, or leased from Valkey."""

    async def spend(self, buckets: Sequence[Bucket]) -> Verdict:
        """Count one request against every bucket, or against none."""
        ...


def throttled(verdict: Verdict) -> GatewayError:
    """The refusal of a request beyond the limit."""
    wait_s = max(1, math.ceil(verdict.retry_after_s))  # whole seconds: RFC 9110 section 10.2.3
    whose = _WHOSE[verdict.which.partition(":")[0]]
    return GatewayError(
        Kind.RATE_LIMITED,
        f"Too many requests for your {whose}. Try again in {wait_s} s.",
        retry_after_s=wait_s,
    )


def headers(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """The state of the tightest limit as OpenAI's clients read it (OpenAI API, "Rate limits in headers")."""
    return (
        ("x-ratelimit-limit-requests", str(verdict.limit)),
        ("x-ratelimit-remaining-requests", str(verdict.remaining)),
        ("x-ratelimit-reset-requests", duration(verdict.reset_s)),
    )


def duration(seconds: float) -> str:
    """Whole seconds as those headers write them: `6m0s`, `1s`. Rounded up, so that nobody comes early."""
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
