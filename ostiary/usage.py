"""Usage and cost out of audit files: sums by what is asked for, and when a budget will be used up. Prints nothing."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.budgets.model import Amounts, Dimension, Limit, Resource, Shape, Subject, applies, value_of
from gateway.policy.model import Policy

#: By what usage can be told apart.
DIMENSIONS: Final = ("tenant", "key", "principal", "model", "backend", "day", "hour")
_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
#: A failed fsync repeats its group of lines (gateway.audit.trail): an id is remembered for some groups.
_REPEATS: Final = 16_384
_LINE_MAX_BYTES: Final = 1024 * 1024  # a record has some kilobytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one record says of usage."""

    id: str
    began_s: float
    at_s: float  # when it was charged
    tenant: str
    key: str
    principal: str
    model: str
    backend: str
    tokens_in: int
    tokens_out: int
    cached: int
    reasoning: int
    estimated: bool
    micros: int | None
    currency: str

    def value(self, dimension: str) -> str:
        """Its part of a group's name."""
        match dimension:
            case "day":
                return datetime.fromtimestamp(self.at_s, UTC).strftime("%Y-%m-%d")
            case "hour":
                return datetime.fromtimestamp(self.at_s, UTC).strftime("%Y-%m-%dT%H")
            case _:
                return str(getattr(self, dimension))


@dataclass(slots=True)
class Sum:
    """Usage of a group. Money of several currencies is not added up."""

    exchanges: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: int = 0  # exchanges whose provider reported nothing
    unpriced: int = 0  # exchanges without a price
    micros: dict[str, int] = field(default_factory=dict)  # by currency

    def add(self, one: Exchange) -> None:
        """One more exchange."""
        self.exchanges += 1
        self.tokens_in += one.tokens_in
        self.tokens_out += one.tokens_out
        self.cached += one.cached
        self.reasoning += one.reasoning
        self.estimated += one.estimated
        if one.micros is None:
            self.unpriced += 1
        else:
            self.micros[one.currency] = self.micros.get(one.currency, 0) + one.micros


def read(files: Iterable[Path], complain: Callable[[str], None]) -> Iterator[Exchange]:
    """Every exchange of the files that was billed, each once, in the order of the files."""
    for file in files:
        seen: OrderedDict[str, None] = OrderedDict()
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    one = _exchange(orjson.loads(line) if len(line) <= _LINE_MAX_BYTES else None, seen)
                except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
                    complain(f"{file.name}:{number}: not a record")
                    continue
                if one is not None:
                    yield one


def _exchange(record: Any, seen: OrderedDict[str, None]) -> Exchange | None:
    usage = record.get("usage") if type(record) is dict else record["usage"]
    if usage is None:
        return None
    name = record["request_id"]
    if name in seen:
        return None
    seen[name] = None
    if len(seen) > _REPEATS:
        seen.popitem(last=False)
    micros = usage.get("cost_micros")
    began_s = float(record["started_at"])
    return Exchange(
        id=str(name),
        began_s=began_s,
        at_s=began_s + float(record["duration_s"]),
        tenant=str(record["tenant"]),
        key=str(record["key_id"]),
        principal=str(record["principal"]),
        model=str(record["model"]),
        backend=str(record["backend"]),
        tokens_in=int(usage["input_tokens"]),
        tokens_out=int(usage["output_tokens"]),
        cached=int(usage.get("cached_tokens", 0)),
        reasoning=int(usage.get("reasoning_tokens", 0)),
        estimated=usage.get("source") != "provider",
        micros=None if micros is None else int(micros),
        currency=str(usage.get("currency", "")),
    )


def sums(exchanges: Iterable[Exchange], by: tuple[str, ...]) -> dict[tuple[str, ...], Sum]:
    """Usage of each group, in the order of their names."""
    found: dict[tuple[str, ...], Sum] = {}
    for one in exchanges:
        found.setdefault(tuple(one.value(dimension) for dimension in by), Sum()).add(one)
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a limit of the calendar will end, if use goes on as in the last day."""

    tenant: str
    limit: str
    subject: str  # what the limit is for each of: `key=k1 model=gpt`; "" for the tenant's own
    resource: Resource
    used: int
    amount: int
    per_day: float  # at the pace of the last day, or of the window if that is younger
    ends_s: float  # when the window ends
    exhausted_s: float | None  # when the limit is reached; None: not before the window ends


def forecast(
    used: int, amount: int, recent: int, recent_s: float, now_s: float, ends_s: float
) -> tuple[float, float | None]:
    """Pace in a day, and the moment of exhaustion: `recent` was used in the last `recent_s` seconds."""
    per_s = recent / recent_s if recent_s > 0 else 0.0
    if used >= amount:
        return per_s * _DAY_S, now_s
    if per_s <= 0:
        return 0.0, None
    at_s = now_s + (amount - used) / per_s
    return per_s * _DAY_S, at_s if at_s < ends_s else None


def forecasts(policy: Policy, exchanges: Iterable[Exchange], now_s: float) -> list[Forecast]:
    """Of every limit over a day or month of the calendar that was used at all; the first that ends comes first."""
    used: dict[tuple[str, Limit, str], list[int]] = {}
    watched = {
        name: [limit for limit in tenant.budgets.limits if limit.window.shape in {Shape.DAY, Shape.MONTH}]
        for name, tenant in policy.tenants.items()
    }
    for one in exchanges:
        group = policy.models[one.model].group if one.model in policy.models else ""
        subject = Subject(one.tenant, one.key, one.principal, one.model, group)
        for limit in watched.get(one.tenant, ()):
            begins_s, _ = window_of(limit.window.shape, now_s)
            if not begins_s <= one.at_s <= now_s or not applies(limit, subject):
                continue
            amount = spent(limit.resource, one)
            both = used.setdefault((one.tenant, limit, _name(limit, subject)), [0, 0])
            both[0] += amount
            if one.at_s >= now_s - _DAY_S:
                both[1] += amount
    found = []
    for (tenant, limit, name), (total, recent) in used.items():
        begins_s, ends_s = window_of(limit.window.shape, now_s)
        # The first hour of a window says little: its pace is taken as that of a whole one.
        recent_s = max(min(_DAY_S, now_s - begins_s), _HOUR_S)
        pace, at_s = forecast(total, limit.amount, recent, recent_s, now_s, ends_s)
        found.append(Forecast(tenant, limit.name, name, limit.resource, total, limit.amount, pace, ends_s, at_s))
    return sorted(found, key=lambda one: (one.exhausted_s or float("inf"), one.tenant, one.limit, one.subject))


def window_of(shape: Shape, now_s: float) -> tuple[float, float]:
    """Beginning and end of the day or month, in UTC."""
    day = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if shape is Shape.DAY:
        return day.timestamp(), day.timestamp() + _DAY_S
    first = day.replace(day=1)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return first.timestamp(), after.timestamp()


def spent(resource: Resource, one: Exchange) -> int:
    """How much of a resource one exchange was charged."""
    return Amounts(one.tokens_in, one.tokens_out, one.micros or 0).of(resource)


def _name(limit: Limit, subject: Subject) -> str:
    return " ".join(f"{one.value}={value_of(one, subject)}" for one in limit.scope if one is not Dimension.TENANT)
