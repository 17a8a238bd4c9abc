"""A tenant under obligation: the rules named block both ways, whatever its own settings say."""

import pytest

import worlds
from extproc.guardrails.obliged import obliged
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action, Mode, RuleSetting

OFF = RuleSetting(rule="pii.email", action=Action.FLAG, mode=Mode.OFF)


def tenant():
    settings = worlds.settings(Action.FLAG)
    return worlds.policy(request={**settings, "pii.email": OFF}, response=settings).tenants["acme"]


def test_without_obligation_the_tenant_is_the_same():
    own = tenant()
    assert obliged(own, frozenset()) is own


def test_a_rule_that_is_off_or_flags_blocks_in_both_directions():
    own = tenant()
    tight = obliged(own, frozenset({"pii.email"}))
    for settings in (tight.request, tight.response):
        assert settings["pii.email"] == RuleSetting(rule="pii.email", action=Action.BLOCK, mode=Mode.ENFORCE)
        assert settings["pii.card"] == own.request["pii.card"]
    assert own.request["pii.email"] is OFF


def test_a_rule_that_nobody_knows_refuses_the_request():
    with pytest.raises(GatewayError) as caught:
        obliged(tenant(), frozenset({"pii.email", "pii.aura"}))
    assert caught.value.kind is Kind.POLICY_UNAVAILABLE
