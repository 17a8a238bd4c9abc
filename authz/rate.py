"""What authz asks of a rate limiter, and how it tells a spent limit in OpenAI's headers. Counts nothing."""

import math
from typing import Protocol

from gateway.errors import GatewayError, Kind
from gateway.policy.model import RateLimit


class Spent(Protocol):
    """The limiter's answer to one request."""

    @property
    def allowed(self) -> bool:
        """Whether the request fits the limit. Only then it was counted."""
        ...

    @property
    def retry_after_s(self) -> float:
        """When the next request fits; 0 if this one did."""
        ...

    @property
    def limit(self) -> int:
        """Requests that an untouched limit admits at once."""
        ...

    @property
    def remaining(self) -> int:
        """Requests that it admits now."""
        ...

    @property
    def reset_s(self) -> float:
        """When the limit is untouched again."""
        ...


class Limiter(Protocol):
    """Where requests are counted: in memory or in Valkey."""

    async def spend(self, subject: str, rate: RateLimit) -> Spent:
        """Count one request of `subject` against `rate`."""
        ...


def throttled(spent: Spent) -> GatewayError:
    """The refusal of a request beyond the limit."""
    wait_s = max(1, math.ceil(spent.retry_after_s))  # whole seconds: RFC 9110 section 10.2.3
    return GatewayError(
        Kind.RATE_LIMITED,
        f"Too many requests for this key or its tenant. Try again in {wait_s} s.",
        retry_after_s=wait_s,
    )


def headers(spent: Spent) -> tuple[tuple[str, str], ...]:
    """The state of the limit as OpenAI's clients read it (OpenAI API, "Rate limits in headers")."""
    return (
        ("x-ratelimit-limit-requests", str(spent.limit)),
        ("x-ratelimit-remaining-requests", str(spent.remaining)),
        ("x-ratelimit-reset-requests", duration(spent.reset_s)),
    )


def duration(seconds: float) -> str:
    """Whole seconds as those headers write them: `6m0s`, `1s`. Rounded up, so that nobody comes early."""
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
