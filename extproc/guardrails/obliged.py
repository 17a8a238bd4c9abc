"""A tenant whose policy is tightened by an obligation: rules that block, whatever its own settings say. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action, Mode, RuleSetting, Tenant


def obliged(tenant: Tenant, guards: frozenset[str]) -> Tenant:
    """`tenant` with every rule of `guards` blocking in both directions, also one that is off or in shadow.

    Raises:
        GatewayError: a rule that this build does not know; authz refuses it before (authz/opa/consult.py).
    """
    if not guards:
        return tenant
    if not guards <= tenant.request.keys():
        public = "The gateway cannot enforce what its policy asks for and refused the request."
        raise GatewayError(Kind.POLICY_UNAVAILABLE, public, cause="an obligation names a guard that does not exist")
    return replace(tenant, request=_tightened(tenant.request, guards), response=_tightened(tenant.response, guards))


def _tightened(settings: Mapping[str, RuleSetting], guards: frozenset[str]) -> Mapping[str, RuleSetting]:
    block = {rule: RuleSetting(rule=rule, action=Action.BLOCK, mode=Mode.ENFORCE) for rule in guards}
    return MappingProxyType({**settings, **block})
