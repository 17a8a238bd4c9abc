"""What audit records say of each limit's window: the claims by which a ledger that lost use is made whole. Pure.

Only what the ledger must have charged is claimed, so a claim is never above a ledger that lost nothing: exchanges that
ended by `through_s` (later settlements may be under way) and began inside the window (a long one is charged in parts,
and some may lie before it). What a crashed worker had not put on record is in no claim.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.budgets.model import Dimension, Limit, Resource, Shape, Subject, applies
from gateway.budgets.window import meter_of, slot_of
from gateway.policy.model import Policy
from ostiary.usage import Exchange, spent, window_of

#: Settlements wait for nobody and are sent again until the ledger has them: within 11 s of its answering again
#: (gateway/budgets/exact.py, `_LONGEST_OPEN_S` and a rest). Leased budgets charge once a second.
SETTLING_S: Final = 15.0
#: Sliding windows below an hour have forgotten what was lost before anybody looks; buckets give back by themselves.
_LEAST_SPAN_S: Final = 3600
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Claim:
    """What records say of one limit for one subject, by slot."""

    tenant: str
    limit: Limit
    subject: Subject  # no more of it than the limit's scope
    uses: tuple[tuple[int, int], ...]

    @property
    def values(self) -> dict[str, str]:
        """What the limit is for each of; empty: the tenant's own."""
        return {one.value: getattr(self.subject, one.value) for one in self.limit.scope if one is not Dimension.TENANT}


def compared(limit: Limit) -> bool:
    """Whether records of its tenant say anything of a limit that lasts; of what is shared they are a part."""
    if limit.shared is not None:
        return False
    if limit.window.shape is Shape.SLIDING:
        return limit.window.span_s >= _LEAST_SPAN_S
    return limit.window.shape in {Shape.DAY, Shape.MONTH}


def claims(
    policy: Policy, exchanges: Iterable[Exchange], now_s: float, through_s: float, since_s: float = 0.0
) -> list[Claim]:
    """Of every limit that is compared; those of a tenant as a whole also where nothing was used.

    `since_s`: what began before it is not claimed, for limits that began in the middle of their window.
    """
    watched = {
        name: [(limit, max(_begins_s(limit, now_s), since_s)) for limit in tenant.budgets.limits if compared(limit)]
        for name, tenant in policy.tenants.items()
    }
    found: dict[tuple[str, Limit, Subject], dict[int, int]] = {
        (name, limit, Subject(name)): {}
        for name, limits in watched.items()
        for limit, _ in limits
        if limit.scope == (Dimension.TENANT,)
    }
    for one in _once(exchanges):
        group = policy.models[one.model].group if one.model in policy.models else ""
        whose = Subject(one.tenant, one.key, one.principal, one.model, group)
        for limit, begins_s in watched.get(one.tenant, ()):
            if not (begins_s <= one.began_s and one.at_s <= through_s and applies(limit, whose)):
                continue
            # A request is charged when it is admitted, all else when it is settled.
            at_s = one.began_s if limit.resource is Resource.REQUESTS else one.at_s
            uses = found.setdefault((one.tenant, limit, _within(limit, whose)), {})
            slot = slot_of(meter_of(limit), int(at_s * _MS))
            uses[slot] = uses.get(slot, 0) + spent(limit.resource, one)
    return [Claim(*whom, tuple(sorted(uses.items()))) for whom, uses in found.items()]


def _once(exchanges: Iterable[Exchange]) -> Iterator[Exchange]:
    """Each exchange once, also where a file and its copy are read. A number for each: some 60 bytes."""
    seen: set[int] = set()
    for one in exchanges:
        name = hash(one.id)
        if name not in seen:
            seen.add(name)
            yield one


def _begins_s(limit: Limit, now_s: float) -> float:
    if limit.window.shape is Shape.SLIDING:
        return now_s - limit.window.span_s
    return window_of(limit.window.shape, now_s)[0]


def _within(limit: Limit, subject: Subject) -> Subject:
    """The subject without what the limit does not look at."""
    scope = limit.scope
    return Subject(
        subject.tenant,
        key=subject.key if Dimension.KEY in scope else "",
        principal=subject.principal if Dimension.PRINCIPAL in scope else "",
        model=subject.model if Dimension.MODEL in scope else "",
        model_group=subject.model_group if Dimension.MODEL_GROUP in scope else "",
    )
