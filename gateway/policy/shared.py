"""`budgets.shared` of policy.yaml: limits that several tenants have together, each by its weight. Counts nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from gateway.budgets.model import PER_MINUTE, RUNNING, Dimension, Limit, Resource, Shape, Shared, Window
from gateway.policy.budget import NAME, read_what
from gateway.policy.field import Table, read_scalar, shape
from gateway.policy.model import ALERTS, Model, Tenant
from gateway.policy.problem import Mark, Problems, nearest, shown
from gateway.policy.tree import Path, Scalar

_WEIGHT: Final = shape(r"[1-9][0-9]?|100", "a weight from 1 to 100")
_TENANT: Final = shape(r"[a-z0-9_-]{1,63}", "a tenant")
_MODEL: Final = shape(r"[!-~]{1,128}", "a model")
_GROUP: Final = shape(r"[a-z0-9_-]{1,40}", "a model group")
_PER_S: Final = {"minute": 60, "hour": 3600}
#: Whoever was refused is waited for up to a window: beyond an hour that would be the whole day.
_LONGEST_S: Final = 3600
_MEMBERS: Final = (2, 64)  # one shares with nobody; each is a key in every reservation
_MOST_LIMITS: Final = 4  # of one tenant: each is a call in every reservation

#: A name in another file, checked: the word, where it stands, which kind it is of.
Refer = Callable[[Scalar | None, Path, str], str]


def read_shared(
    table: Table | None,
    tenants: Mapping[str, Tenant],
    models: Mapping[str, Model],
    refer: Refer,
    problems: Problems,
    alerts: tuple[int, ...] | None = None,
) -> dict[str, Tenant]:
    """The tenants, each with what it shares among its limits; `alerts` are the policy's."""
    if table is None:
        return dict(tenants)
    found: dict[str, list[Limit]] = {name: [] for name in tenants}
    for key, node in sorted(table.entries(), key=lambda one: one[0].text):
        path = (*table.path, key.text)
        if read_scalar(key, path, NAME, problems) is None:
            continue
        line = Table(node, path, problems)
        limit = _limit(key.text, line, refer, models, problems, ALERTS if alerts is None else alerts)
        line.close()
        if limit is not None and limit.shared is not None:
            for name in [name for name, _ in limit.shared.members if name in found]:  # all, unless a file is broken
                found[name].append(limit)
                _check(limit.name, name, tenants[name], found[name], key.mark, path, problems)
    return {name: _with(tenant, found[name]) for name, tenant in tenants.items()}


def _check(
    name: str, member: str, tenant: Tenant, shared: list[Limit], mark: Mark, path: Path, problems: Problems
) -> None:
    if len(shared) == _MOST_LIMITS + 1:
        problems.add(mark, path, f"more than {_MOST_LIMITS} shared limits hold for {shown(member)}")
    if name in {limit.name for limit in tenant.budgets.limits}:
        hint = "callers are told the name: give one of them another"
        problems.add(mark, path, f"{shown(member)} has a limit of this name for itself", hint)


def _with(tenant: Tenant, shared: list[Limit]) -> Tenant:
    limits = tuple(sorted((*tenant.budgets.limits, *shared), key=lambda limit: limit.name))
    return replace(tenant, budgets=replace(tenant.budgets, limits=limits)) if shared else tenant


def _limit(
    name: str, line: Table, refer: Refer, models: Mapping[str, Model], problems: Problems, alerts: tuple[int, ...]
) -> Limit | None:
    before = len(problems)
    resource, amount = read_what(line, problems)
    window = _window(line, resource, problems)
    members = _members(line, refer, problems)
    shared = Shared(tuple(sorted(members.items())), _models(line, refer), _groups(line, models, problems), alerts)
    if len(problems) > before:
        return None
    for tenant, weight in members.items():
        if not shared.assured(amount, tenant):
            path = (*line.path, "weights", tenant)
            problems.add(line.mark, path, f"a weight of {weight} is less than one of {amount}: nothing is assured")
    return Limit(name, (Dimension.TENANT,), resource, amount, window, shared=shared)


def _window(line: Table, resource: Resource, problems: Problems) -> Window:
    if resource is Resource.STREAMS:
        return RUNNING
    node = line.node("window_s")
    if node is None:
        return replace(PER_MINUTE, span_s=_PER_S.get(line.choice("per", tuple(_PER_S)), PER_MINUTE.span_s))
    if line.node("per") is not None:
        problems.add(node.mark, (*line.path, "window_s"), "beside `per`: one of the two says how long")
    return Window(Shape.SLIDING, line.integer("window_s", 1, _LONGEST_S))


def _members(line: Table, refer: Refer, problems: Problems) -> dict[str, int]:
    table = line.table("weights")
    if table is None:
        hint = "each tenant that shares, and its weight: {acme: 3, globex: 1}"
        problems.add(line.mark, (*line.path, "weights"), "missing", hint)
        return {}
    members: dict[str, int] = {}
    for key, node in table.entries():
        path = (*table.path, key.text)
        weight = read_scalar(node, path, _WEIGHT, problems)
        if read_scalar(key, path, _TENANT, problems) and refer(key, path, "tenants") and weight is not None:
            members[key.text] = int(weight.text)
    least, most = _MEMBERS
    if not least <= len(list(table.entries())) <= most:
        problems.add(table.mark, table.path, f"expected {least} to {most} tenants")
    return members


def _models(line: Table, refer: Refer) -> frozenset[str]:
    words = line.words("models", _MODEL, optional=True)
    return frozenset(refer(word, (*line.path, "models", f"[{at}]"), "models") for at, word in enumerate(words))


def _groups(line: Table, models: Mapping[str, Model], problems: Problems) -> frozenset[str]:
    known = {model.group for model in models.values() if model.group}
    words = line.words("model_groups", _GROUP, optional=True)
    for at, word in enumerate(words):
        if word.text not in known:
            path = (*line.path, "model_groups", f"[{at}]")
            problems.add(word.mark, path, f"no model is in group {shown(word.text)}", nearest(word.text, known))
    return frozenset(word.text for word in words)
