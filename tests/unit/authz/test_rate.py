"""What a caller is told about a spent rate limit."""

from dataclasses import replace

import pytest

from authz import rate
from gateway.errors import Dialect, Kind, render
from gateway.limits.bucket import Verdict

SPENT = Verdict(allowed=False, limit=60, remaining=0, reset_s=59.01, retry_after_s=1.2, which="key:k1")


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
    assert dict(rate.headers(SPENT)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }


@pytest.mark.parametrize(("wait_s", "told"), [(0, "1"), (0.01, "1"), (1.2, "2"), (30, "30")])
def test_refusal_says_when_to_come_back_in_whole_seconds(wait_s, told):
    error = rate.throttled(replace(SPENT, retry_after_s=wait_s))
    assert error.kind is Kind.RATE_LIMITED
    assert dict(render(error, Dialect.OPENAI).headers)["retry-after"] == told
    assert f"in {told} s" in error.public


@pytest.mark.parametrize(("which", "whose"), [("key:k1", "your API key"), ("tenant", "your tenant")])
def test_refusal_says_whose_limit_it_was(which, whose):
    assert whose in rate.throttled(replace(SPENT, which=which)).public
