"""Request rates of a policy: their bounds, wherever a rate may stand. Counts nothing."""

from typing import Final

from gateway.policy.field import Table
from gateway.policy.model import RateLimit

MAX_REQUESTS_PER_S: Final = 10_000  # GCRA counts whole microseconds: at this rate rounding costs at most 1 %
MAX_WINDOW_S: Final = 86_400


def read_rate(table: Table | None) -> RateLimit | None:
    """`{requests, window_s}`; None where there is no limit."""
    if table is None:
        return None
    window_s = table.integer("window_s", 1, MAX_WINDOW_S, default=60)
    most = MAX_REQUESTS_PER_S * window_s
    rate = RateLimit(requests=table.integer("requests", 1, most), window_s=window_s)
    table.close()
    return rate


def rate_fault(rate: RateLimit) -> str:
    """Why GCRA cannot count the rate, or ""; the first word is the field."""
    if not 1 <= rate.window_s <= MAX_WINDOW_S:
        return f"window_s: expected a whole number from 1 to {MAX_WINDOW_S}"
    if not 1 <= rate.requests <= MAX_REQUESTS_PER_S * rate.window_s:
        return f"requests: expected a whole number from 1 to {MAX_REQUESTS_PER_S * rate.window_s}"
    return ""
