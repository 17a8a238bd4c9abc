"""Which backends one request may reach, and why not the others: told by the functions that choose. Sends nothing."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from extproc.core import admission, crossing, fitting, mirroring, route
from extproc.core.complexity import POINTS, Score, score
from extproc.explain import Offline, Verdict, judge
from extproc.providers.door import Door
from gateway.budgets.price import price_of, worst
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.identity import Caller
from gateway.policy.model import Model, Policy, Select
from gateway.policy.store import PolicyStore


@dataclass(frozen=True, slots=True)
class Candidate:
    """One backend of the model."""

    backend: str
    place: int  # in the order of the attempts, from 1; 0: the request may not go there
    why: str  # not
    dialect: str
    upstream_model: str
    lost: str = ""  # what has no word in its dialect
    micros: int | None = None  # what the request may cost there, in millionths of the currency; None: not known
    weight: int | None = None  # its share of first attempts, beside those of the others; None: the pool has no weights


@dataclass(frozen=True, slots=True)
class CopyTo:
    """The mirror of the model."""

    backend: str
    percent: int  # of requests like this one that are copied
    why: str  # none is
    dialect: str
    upstream_model: str
    lost: str = ""  # what has no word in its dialect


@dataclass(frozen=True, slots=True)
class Ways:
    """The whole story. `verdict` is a refusal where the request goes nowhere."""

    policy: str
    model: str
    select: str  # "" where the model is no pool
    verdict: Verdict
    candidates: tuple[Candidate, ...]
    mirror: CopyTo | None = None  # None: the model has none
    score: int | None = None  # of the request, where the pool goes by it
    features: tuple[tuple[str, int], ...] = ()  # what the score is made of


def ways(raw: bytes, path: str, policy: Policy, caller: Caller, clock: Clock) -> Ways:
    """Where the request would go.

    Raises:
        ValueError: the policy has no such tenant, or the request names no model of it.
    """
    if caller.tenant not in policy.tenants:
        raise ValueError(f"the policy has no tenant {caller.tenant}")
    verdict = judge(raw, path, Offline(PolicyStore(policy)), caller, clock)
    try:
        door = admission.door_of(path)
        opened = door.open(admission.parse(raw, policy))
    except GatewayError as error:
        raise ValueError(str(error)) from None
    model = policy.models.get(opened.model)
    if model is None:
        raise ValueError("the request names no model of the policy")
    fired = frozenset(each.rule for each in verdict.found if each.direction == "request")
    order = verdict.backend.split(",") if verdict.backend else []
    candidates = [
        _candidate(raw, path, policy, caller, model, name, order, fired, clock.now()) for name in model.backends
    ]
    select = "" if model.pool is None else model.pool.select.value
    mirror = _mirror(raw, path, policy, caller, model, verdict, fired)
    told = Ways(policy.version, model.name, select, verdict, tuple(sorted(candidates, key=_by_place)), mirror)
    if select != Select.COMPLEXITY.value:
        return told
    found = _score(raw, door, policy)
    return replace(told, score=found.points, features=tuple((name, POINTS[name]) for name in found.features))


def _score(raw: bytes, door: Door, policy: Policy) -> Score:
    tree = admission.parse(raw, policy)
    door.open(tree)
    chars = sum(len(text) for _, text in door.positions(tree))
    return score(tree, door, chars, route.features(tree, door))


def _by_place(one: Candidate) -> tuple[bool, int]:
    return one.place == 0, one.place


def _candidate(
    raw: bytes,
    path: str,
    policy: Policy,
    caller: Caller,
    model: Model,
    name: str,
    order: list[str],
    fired: Collection[str],
    at_s: float,
) -> Candidate:
    backend, door, tree = policy.backends[name], admission.door_of(path), admission.parse(raw, policy)
    door.open(tree)
    lost, why = "", ""
    if not crossing.speaks(door, backend):
        why = f"its dialect, {backend.dialect}, has no words for {path}"
    elif (way := crossing.crossing(door, model, backend)) is not None:
        try:
            lost = way.request(raw).told
        except GatewayError as error:
            why = str(error)
    chars = sum(len(text) for _, text in door.positions(tree))
    need = route.tokens_of(tree, door, chars, None)
    found = price_of(policy.prices, model.name, name, at_s)
    asked, tenant = route.features(tree, door), policy.tenants[caller.tenant]
    why = why or next(fitting.reasons(tenant, model, name, asked, sum(need), fired), "")
    place = order.index(name) + 1 if name in order else 0
    if not place and not why:
        why = "the request is refused" if not order else "another one is asked, and this one stands in for nobody"
    micros = None if found is None else worst(found, *need)
    weight = None if model.pool is None else model.pool.weights.get(name)
    return Candidate(
        name, place, "" if place else why, backend.dialect, model.upstream_name(name), lost, micros, weight
    )


def _mirror(
    raw: bytes,
    path: str,
    policy: Policy,
    caller: Caller,
    model: Model,
    verdict: Verdict,
    fired: Collection[str],
) -> CopyTo | None:
    mirror = None if model.pool is None else model.pool.mirror
    if mirror is None:
        return None
    backend, door, tree = policy.backends[mirror.backend], admission.door_of(path), admission.parse(raw, policy)
    door.open(tree)
    chars = sum(len(text) for _, text in door.positions(tree))
    tokens, asked = sum(route.tokens_of(tree, door, chars, None)), route.features(tree, door)
    leaves, tenant = raw if verdict.body is None else verdict.body, policy.tenants[caller.tenant]
    why = "" if verdict.decision != "refuse" else "the request is refused"
    why = why or mirroring.why_not(model, policy, tenant, door, asked, tokens, fired, len(leaves))
    lost = ""
    if not why and (way := crossing.crossing(door, model, backend)) is not None:
        try:
            lost = way.request(leaves).told
        except GatewayError as error:
            why = str(error)
    name = model.upstream_name(backend.name)
    return CopyTo(backend.name, mirror.percent, why, backend.dialect, name, lost)
