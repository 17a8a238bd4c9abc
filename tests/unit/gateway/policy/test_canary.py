"""Rules on a share of the exchanges."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.canary import Bands
from gateway.policy.model import Action, Mode, RuleSetting
from worlds import policy

TENANT = policy().tenants["acme"]
IDS = [f"request-{number}" for number in range(4000)]


def tenant(**shares):
    rules = {rule: RuleSetting(rule=rule, action=Action.BLOCK, percent=percent) for rule, percent in shares.items()}
    return replace(TENANT, request=rules, response={})


def enforced(bands, request_id):
    return {rule for rule, setting in bands.of(request_id).request.items() if setting.mode is Mode.ENFORCE}


def test_a_tenant_without_shares_is_met_as_it_is():
    whole = tenant(a=100)
    assert Bands(whole).of("anything") is whole


def test_a_rule_is_enforced_on_its_share_and_shadowed_on_the_rest():
    bands = Bands(tenant(a=100, b=25, c=0))
    share = sum("b" in enforced(bands, request_id) for request_id in IDS) / len(IDS)
    assert 0.22 < share < 0.28
    assert all("a" in enforced(bands, request_id) for request_id in IDS)
    assert not any("c" in enforced(bands, request_id) for request_id in IDS)


@given(st.integers(0, 100), st.integers(0, 100), st.sampled_from(IDS))
def test_who_meets_a_smaller_share_meets_a_larger_one_too(one, other, request_id):
    met = enforced(Bands(tenant(small=min(one, other), large=max(one, other))), request_id)
    assert "large" in met or "small" not in met


@given(st.sampled_from(IDS))
def test_the_same_exchange_meets_the_same_side_everywhere(request_id):
    one, other = Bands(tenant(a=50)), Bands(tenant(a=50))
    assert enforced(one, request_id) == enforced(other, request_id)
    assert one.of(request_id).band == other.of(request_id).band


def test_a_rule_that_is_off_or_in_shadow_stays_so():
    rules = {
        "off": RuleSetting(rule="off", action=Action.BLOCK, mode=Mode.OFF, percent=10),
        "shadow": RuleSetting(rule="shadow", action=Action.BLOCK, mode=Mode.SHADOW, percent=10),
    }
    bands = Bands(replace(TENANT, request=rules, response=rules))
    for request_id in IDS[:50]:
        assert [setting.mode for setting in bands.of(request_id).request.values()] == [Mode.OFF, Mode.SHADOW]
