"""The `budgets` block of policy.yaml and of a tenant: limits on requests, tokens, streams and money. Counts nothing."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.budgets.model import (
    LONGEST_SPAN_S,
    MICRO,
    MOST,
    PER_DAY,
    PER_MONTH,
    RUNNING,
    Dimension,
    Kind,
    Limit,
    Outage,
    Resource,
    Shape,
    Window,
)
from gateway.policy.field import Table, read_scalar
from gateway.policy.field import shape as form
from gateway.policy.model import ALERTS, Budget
from gateway.policy.problem import Problems
from gateway.policy.tree import Scalar

#: What a line may limit, as it is written; each line limits one.
RESOURCES: Final = MappingProxyType(
    {
        "requests": Resource.REQUESTS,
        "tokens": Resource.TOKENS,
        "tokens_in": Resource.TOKENS_IN,
        "tokens_out": Resource.TOKENS_OUT,
        "streams": Resource.STREAMS,
        "money": Resource.MICRO_USD,
    }
)
_SPANS_S: Final = MappingProxyType({"minute": 60, "hour": 3600})  # sliding, or buckets
_CALENDAR: Final = MappingProxyType({"day": PER_DAY, "month": PER_MONTH})
_PER: Final = (*_SPANS_S, *_CALENDAR)
NAME: Final = form(r"[a-z0-9][a-z0-9_-]{0,39}", "a name of up to 40 of a-z, 0-9, _ and -")
_DIMENSION: Final = form(r"[a-z_]{1,16}", "a dimension")
_MONEY: Final = form(r"[0-9]{1,8}(?:\.[0-9]{1,6})?", "an amount of money: up to 8 digits, and up to 6 behind the point")
_PERCENT: Final = form(r"[1-9][0-9]{0,2}", "a percentage from 1 to 999")
_MOST_LIMITS: Final = 32  # of one tenant: each is a key in every reservation
_MOST_ALERTS: Final = 8
_OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class Block:
    """What one block says. A name that stands for None switches a limit of the policy off."""

    limits: MappingProxyType[str, Limit | None]
    outage: Outage | None = None
    alerts: tuple[int, ...] | None = None
    shared: Table | None = None  # of the policy's: read when tenants and models are known (gateway.policy.shared)


NO_BLOCK: Final = Block(MappingProxyType({}))


def read_budgets(table: Table | None, problems: Problems, *, over: Block | None = None) -> Block:
    """The block of a tenant, whose lines may switch those of `over` off; without `over`, the policy's own."""
    if table is None:
        return NO_BLOCK
    outage = table.choice("outage", tuple(Outage), default="")
    alerts = None
    if table.node("alerts") is not None:
        percents = {int(word.text) for word in table.words("alerts", _PERCENT, optional=True)}
        if len(percents) > _MOST_ALERTS:
            problems.add(table.mark, (*table.path, "alerts"), f"more than {_MOST_ALERTS} thresholds")
        alerts = tuple(sorted(percents))
    limits: dict[str, Limit | None] = {}
    block = table.table("limits")
    if block is not None:
        for key, node in list(block.entries()):
            path = (*block.path, key.text)
            if read_scalar(key, path, NAME, problems) is None:
                continue
            if isinstance(node, Scalar) and node.text == _OFF and over is not None:
                if key.text not in over.limits:
                    problems.add(node.mark, path, "there is no such limit to switch off in policy.yaml")
                limits[key.text] = None
                continue
            line = Table(node, path, problems)
            limit = _limit(key.text, line, problems)
            line.close()
            if limit is not None:
                limits[key.text] = limit
    shared = table.table("shared") if over is None else None
    table.close()
    return Block(MappingProxyType(limits), Outage(outage) if outage else None, alerts, shared)


def merge(own: Block, over: Block, at: Table, problems: Problems) -> Budget:
    """The tenant's lines over the policy's: a line of the same name takes its place."""
    merged = {**over.limits, **own.limits}
    limits = tuple(limit for _, limit in sorted(merged.items()) if limit is not None)
    if len(limits) > _MOST_LIMITS:
        problems.add(at.mark, (*at.path, "budgets"), f"more than {_MOST_LIMITS} limits apply to this tenant")
    alerts = over.alerts if own.alerts is None else own.alerts
    return Budget(
        limits=limits,
        outage=own.outage or over.outage or Outage.DENY,
        alerts=ALERTS if alerts is None else alerts,
    )


def read_what(line: Table, problems: Problems) -> tuple[Resource, int]:
    """What a line limits, and to how much."""
    named = [word for word in RESOURCES if line.node(word) is not None]
    if len(named) != 1:
        problems.add(
            line.mark, line.path, f"expected one of {', '.join(RESOURCES)}; found {len(named) or 'none'} of them"
        )
    if not named:
        return Resource.REQUESTS, 1
    resource = RESOURCES[named[0]]
    return resource, _amount(line, named[0], resource, problems)


def _limit(name: str, line: Table, problems: Problems) -> Limit | None:
    before = len(problems)
    resource, amount = read_what(line, problems)
    window = _window(line, resource, problems)
    scope = _scope(line, problems)
    kind = line.choice("kind", tuple(Kind), default=Kind.HARD.value)
    on_exceed = line.choice("on_exceed", ("429", "402"), default="429")
    if len(problems) > before:
        return None
    try:
        return Limit(
            name=name,
            scope=scope,
            resource=resource,
            amount=amount,
            window=window,
            kind=Kind(kind),
            on_exceed=int(on_exceed),
        )
    except ValueError as error:
        problems.add(line.mark, line.path, str(error))
        return None


def _amount(line: Table, name: str, resource: Resource, problems: Problems) -> int:
    if resource is not Resource.MICRO_USD:
        return line.integer(name, 1, MOST)
    found = line.scalar(name, _MONEY)
    if found is None:
        return 1
    whole, _, fraction = found.text.partition(".")
    micros = int(whole) * MICRO + int(fraction.ljust(6, "0") or 0)
    if not 1 <= micros <= MOST:
        problems.add(found.mark, (*line.path, name), f"expected money from 0.000001 to {MOST // MICRO}")
    return micros


def _window(line: Table, resource: Resource, problems: Problems) -> Window:
    """`per`, or `window_s`; `shape: bucket` lets all of it be used at once and gives it back evenly."""
    if resource is Resource.STREAMS:
        return RUNNING
    shaped = line.choice("shape", (Shape.SLIDING.value, Shape.BUCKET.value), default=Shape.SLIDING.value)
    node = line.node("window_s")
    if node is not None:
        if line.node("per") is not None:
            problems.add(node.mark, (*line.path, "window_s"), "beside `per`: one of the two says how long")
        return Window(Shape(shaped or Shape.SLIDING), line.integer("window_s", 1, LONGEST_SPAN_S))
    per = line.choice("per", _PER)
    if per in _CALENDAR:
        if shaped == Shape.BUCKET:
            problems.add(
                line.mark, (*line.path, "shape"), f"a {per} of the calendar is no bucket", "use window_s: 86400"
            )
        return _CALENDAR[per]
    return Window(Shape(shaped or Shape.SLIDING), _SPANS_S.get(per, 60))


def _scope(line: Table, problems: Problems) -> tuple[Dimension, ...]:
    """In the order of `Dimension`: the same scope has one name in the ledger. The tenant goes without saying."""
    if line.node("scope") is None:
        return (Dimension.TENANT,)
    known = tuple(Dimension)
    found: set[Dimension] = set()
    for at, word in enumerate(line.words("scope", _DIMENSION)):
        if word.text in known:
            found.add(Dimension(word.text))
        else:
            path = (*line.path, "scope", f"[{at}]")
            problems.add(word.mark, path, f"unknown dimension {word.text}", f"known: {', '.join(known)}")
    if len(found) > 1:
        found.discard(Dimension.TENANT)
    return tuple(one for one in Dimension if one in found) or (Dimension.TENANT,)
