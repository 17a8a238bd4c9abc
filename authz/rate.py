"""What authz asks of a rate limiter, and how it tells the state of a limit in OpenAI's headers. Counts nothing."""

import math
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Protocol

from gateway.errors import GatewayError, Kind
from gateway.limits.bucket import Bucket, Verdict, duration

#: States of limits whose headers are kept, about 500 bytes each: lookups for a limit of hundreds at a steady rate.
_REMEMBERED: Final = 4096
#: Whose limit it is, by the first word of a bucket's scope (authz/decide.py).
_WHOSE: Final = MappingProxyType(
    {"key": "API key", "principal": "principal", "address": "network address", "tenant": "tenant"}
)


class Limiter(Protocol):
    """Where requests are counted: in memory, or leased from Valkey."""

    def take(self, buckets: Sequence[Bucket]) -> Verdict | None:
        """The same as `spend` where that needs no waiting; None, and nothing counted, where it does."""
        ...

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
    return _headers(verdict.limit, verdict.remaining, math.ceil(verdict.reset_s))


@lru_cache(maxsize=_REMEMBERED)
def _headers(limit: int, remaining: int, reset_s: int) -> tuple[tuple[str, str], ...]:
    return (
        ("x-ratelimit-limit-requests", str(limit)),
        ("x-ratelimit-remaining-requests", str(remaining)),
        ("x-ratelimit-reset-requests", duration(reset_s)),
    )
