"""Shared limits for tests: members, their terms, and a crowd that asks."""

from gateway.budgets.fair import Terms, terms_of
from gateway.budgets.model import PER_MINUTE, Dimension, Limit, Resource, Shared, Window


def shared(
    amount: int,
    weights: dict[str, int],
    resource: Resource = Resource.TOKENS,
    window: Window = PER_MINUTE,
    name: str = "gpu",
    models: frozenset[str] = frozenset(),
    alerts: tuple[int, ...] = (),
) -> Limit:
    members = tuple(sorted(weights.items()))
    return Limit(name, (Dimension.TENANT,), resource, amount, window, shared=Shared(members, models, alerts=alerts))


def terms(limit: Limit) -> dict[str, Terms]:
    """Of each member."""
    return {name: terms_of(limit, name) for name, _ in limit.shared.members}
