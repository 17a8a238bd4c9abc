"""Rules that are enforced on a share of the exchanges and shadowed on the rest. Pure.

Which side an exchange is on follows from its request id alone, so that every phase and every worker agree, and an
exchange on which a rule of ten percent is enforced is also among those of any rule of more.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from zlib import crc32

from gateway.policy.model import Mode, RuleSetting, Tenant

WHOLE: Final = 100


class Bands:
    """A tenant as exchanges meet it: one variant for each band between its percentages."""

    __slots__ = ("_edges", "_variants")

    def __init__(self, tenant: Tenant) -> None:
        rules = (*tenant.request.values(), *tenant.response.values())
        self._edges: Final = sorted({rule.percent for rule in rules if rule.percent < WHOLE})
        self._variants: Final = [tenant] if not self._edges else [_at(tenant, at) for at in (0, *self._edges)]

    def of(self, request_id: str) -> Tenant:
        """The tenant as this exchange meets it."""
        if not self._edges:
            return self._variants[0]
        point = crc32(request_id.encode()) % WHOLE
        return self._variants[sum(edge <= point for edge in self._edges)]


def _at(tenant: Tenant, point: int) -> Tenant:
    """The variant of every exchange from `point` to the next edge: rules with a smaller share are in shadow there."""
    return replace(
        tenant, band=point, request=_shadowed(tenant.request, point), response=_shadowed(tenant.response, point)
    )


def _shadowed(settings: Mapping[str, RuleSetting], point: int) -> Mapping[str, RuleSetting]:
    return MappingProxyType(
        {
            name: replace(rule, mode=Mode.SHADOW) if rule.percent <= point and rule.mode is Mode.ENFORCE else rule
            for name, rule in settings.items()
        }
    )
