"""What a caller is told about a spent rate limit."""

from dataclasses import replace

import pytest

from authz import rate
from authz.decide import _buckets
from authz.identified import Identified
from authz_case import TENANTS
from gateway.errors import Dialect, Kind, render
from gateway.limits.bucket import Verdict
from gateway.policy.model import RateLimit

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


WHOSE = {
    "key:k1": "your API key",
    "principal:a:b@c": "your principal",
    "address:2001:db8::1": "your network address",
    "tenant": "your tenant",
}


@pytest.mark.parametrize(("which", "whose"), WHOSE.items())
def test_refusal_says_whose_limit_it_was(which, whose):
    public = rate.throttled(replace(SPENT, which=which)).public
    assert whose in public
    assert "a:b@c" not in public


def test_every_limit_that_a_request_counts_against_can_be_told():
    one = RateLimit(requests=1)
    tenant = replace(TENANTS[0], rate=one, principal_rate=one, address_rate=one)
    who = Identified(tenant="acme", principal="p", key_id="k", method="api_key", rate=one)
    buckets = _buckets(who, tenant, "192.0.2.1")
    assert len(buckets) == 4
    for bucket in buckets:
        assert rate.throttled(replace(SPENT, which=bucket.scope)).kind is Kind.RATE_LIMITED
