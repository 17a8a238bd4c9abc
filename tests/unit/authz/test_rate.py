"""What a caller is told about a spent rate limit."""

from dataclasses import dataclass

import pytest

from authz import rate
from gateway.errors import Dialect, Kind, render


@dataclass(frozen=True)
class Spent:
    allowed: bool = False
    retry_after_s: float = 1.2
    limit: int = 60
    remaining: int = 0
    reset_s: float = 59.01


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"), (0, "0s"), (0.001, "1s"), (59.01, "1m0s"), (60, "1m0s"), (61, "1m1s"), (3600, "1h0m0s"),
        (90061, "25h1m1s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_openai_writes_them(seconds, text):
    assert rate.duration(seconds) == text


def test_headers_tell_limit_rest_and_reset():
    assert dict(rate.headers(Spent())) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }


@pytest.mark.parametrize(("wait_s", "told"), [(0, "1"), (0.01, "1"), (1.2, "2"), (30, "30")])
def test_refusal_says_when_to_come_back_in_whole_seconds(wait_s, told):
    error = rate.throttled(Spent(retry_after_s=wait_s))
    assert error.kind is Kind.RATE_LIMITED
    assert dict(render(error, Dialect.OPENAI).headers)["retry-after"] == told
    assert f"in {told} s" in error.public
