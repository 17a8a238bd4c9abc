"""Request rates: of keys, tenants, and of each principal and address of a tenant."""

import pytest

from gateway.policy.load import load
from gateway.policy.model import RateLimit
from gateway.policy.problem import PolicyError
from gateway.policy.rate import MAX_REQUESTS_PER_S, rate_fault

FILES = {
    "policy.yaml": "name: test\n",
    "backends.yaml": "demo:\n  url: http://127.0.0.1:8091\n",
    "models.yaml": "gpt: demo\n",
}
TENANT = "acme:\n  models: '*'\n  routes: '*'\n"


def read(directory, fields: str):
    for name, text in (FILES | {"tenants.yaml": TENANT + fields}).items():
        (directory / name).write_text(text)
    return load(directory, rules=()).tenants["acme"]


def test_a_tenant_limits_itself_its_principals_and_their_addresses(tmp_path):
    rates = "  rate: {requests: 600}\n  principal_rate: {requests: 60}\n  address_rate: {requests: 5, window_s: 1}\n"
    tenant = read(tmp_path, rates)
    assert (tenant.rate, tenant.principal_rate) == (RateLimit(requests=600), RateLimit(requests=60))
    assert tenant.address_rate == RateLimit(requests=5, window_s=1)


def test_no_rate_is_no_limit(tmp_path):
    tenant = read(tmp_path, "")
    assert tenant.rate is tenant.principal_rate is tenant.address_rate is None


@pytest.mark.parametrize("field", ["rate", "principal_rate", "address_rate"])
@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("{requests: 0}", "requests: expected a whole number from 1 to 600000"),
        ("{requests: 1, window_s: 0}", "window_s: expected a whole number from 1 to 86400"),
        ("{request: 1}", "requests: missing"),
        ("60", "expected fields"),
    ],
)
def test_a_rate_that_cannot_be_counted_is_refused(tmp_path, field, rate, expected):
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, f"  {field}: {rate}\n")
    assert any(f"acme.{field}" in str(one) and expected in str(one) for one in caught.value.problems)


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        (RateLimit(requests=1), ""),
        (RateLimit(requests=MAX_REQUESTS_PER_S, window_s=1), ""),
        (RateLimit(requests=MAX_REQUESTS_PER_S + 1, window_s=1), "requests"),
        (RateLimit(requests=0), "requests"),
        (RateLimit(requests=1, window_s=0), "window_s"),
        (RateLimit(requests=1, window_s=86_401), "window_s"),
    ],
)
def test_the_bounds_hold_for_rates_that_no_file_brought(rate, field):
    assert rate_fault(rate).partition(":")[0] == field
