"""The lines of the admin API about what was used: sums out of records, limits as the ledger has them. Reads only."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from control import problem
from control.admin import Action, Done, Wish
from gateway.budgets.fair import Terms, terms_of
from gateway.budgets.model import Dimension, Limit, Resource, Subject, key_of
from gateway.budgets.watch import subject_of
from gateway.budgets.window import Figures, Meter, meter_of
from gateway.policy.model import Policy
from gateway.script import ScriptError

_USAGE: Final = "/admin/v1/usage"
_BUDGETS: Final = "/admin/v1/budgets/{tenant}"
#: By what usage is told apart here. Hours are many lines: `ostiary usage` reads the files itself.
BY: Final = ("tenant", "key", "principal", "model", "backend", "day")
_FILTERS: Final = ("tenant", "key", "principal", "model")
_DAY_S: Final = 86_400
_MONTH_S: Final = 30 * _DAY_S
_TOGETHER: Final = 128  # limits in one call: a millisecond of the ledger's time


@dataclass(frozen=True, slots=True)
class Period:
    """What usage is asked for. Unix seconds; `since_s` <= at < `until_s`."""

    since_s: float
    until_s: float
    by: tuple[str, ...]
    only: Mapping[str, str]  # of tenant, key, principal, model


#: One group for each element, with its sums; raises Refusal where that takes too long.
Sums = Callable[[Period], Awaitable[Sequence[Mapping[str, Any]]]]


class Ledger(Protocol):
    """What is asked of it: `gateway.budgets.store.ValkeyStore`."""

    async def look(self, limits: Sequence[tuple[str, Meter]]) -> tuple[Figures, ...]:
        """How limits stand; changes nothing."""
        ...


class Index(Protocol):
    """What is asked of it: `gateway.budgets.board.Board`."""

    async def subjects(self, tenant: str) -> list[str]:
        """Keys of limits that are for each of something, the latest first."""
        ...


def actions(sums: Sums, ledger: Ledger, index: Index, policy: Callable[[], Policy]) -> tuple[Action, ...]:
    """One action for each line."""

    async def usage(wish: Wish) -> Done:
        asked = _period(wish.query, wish.now)
        groups = await sums(asked)
        return Done({"from": _told(asked.since_s), "to": _told(asked.until_s), "by": asked.by, "groups": groups})

    async def budgets(wish: Wish) -> Done:
        name = wish.names[0]
        tenant = policy().tenants.get(name)
        if tenant is None:
            raise problem.unknown("tenant", name)
        wanted = wish.query.get("limit", "")
        if wish.query.keys() - {"limit"}:
            raise problem.invalid(min(wish.query.keys() - {"limit"})[:64], "unknown parameter")
        limits = [one for one in tenant.budgets.limits if wanted in {"", one.name}]
        if wanted and not limits:
            raise problem.unknown("limit", wanted)
        currency = policy().prices.currency
        try:
            standings = await _standings([one for one in limits if one.shared is None], name, ledger, index)
            shown = [_shown(*one, currency) for one in standings]
            shown += [await _shown_shared(one, name, ledger, currency) for one in limits if one.shared is not None]
        except ScriptError:
            raise problem.unavailable("The ledger cannot be reached at the moment. Try again.") from None
        shown.sort(key=lambda one: str(one["limit"]))
        return Done({"tenant": name, "at": _told(wish.now), "limits": shown})

    return (
        Action("usage.show", "GET", _USAGE, usage),
        Action("budget.show", "GET", _BUDGETS, budgets),
    )


async def _standings(
    limits: Sequence[Limit], tenant: str, ledger: Ledger, index: Index
) -> list[tuple[Limit, str, Figures]]:
    """The tenant's own limits, and those for each of something as far as they were used lately."""
    found = [(one, key_of(one, Subject(tenant))) for one in limits if one.scope == (Dimension.TENANT,)]
    scoped = [one for one in limits if one.scope != (Dimension.TENANT,)]
    if scoped:
        # Of the key's parts all but the values: a limit that changed its window since then has another name.
        begins = {key_of(one, Subject(tenant)).rpartition(":")[0] + ":": one for one in scoped}
        for key in await index.subjects(tenant):
            limit = begins.get(key.rpartition(":")[0] + ":")
            if limit is not None:
                found.append((limit, key))
    figures: list[Figures] = []
    for at in range(0, len(found), _TOGETHER):
        figures += await ledger.look([(key, meter_of(limit)) for limit, key in found[at : at + _TOGETHER]])
    standings = [(limit, key, one) for (limit, key), one in zip(found, figures, strict=True)]
    return sorted(standings, key=lambda one: (one[0].name, -(one[2].used + one[2].held), one[1]))


async def _shown_shared(limit: Limit, tenant: str, ledger: Ledger, currency: str) -> dict[str, Any]:
    """A limit that the tenant shares, with all of its members: they are in one cluster slot."""
    names = [name for name, _ in limit.shared.members] if limit.shared is not None else []
    terms: Mapping[str, Terms] = {name: terms_of(limit, name) for name in names}
    mine = terms[tenant]
    asked = [(mine.key, mine.meter), *((one.own.key, one.own_meter) for one in terms.values())]
    whole, *parts = await ledger.look(asked)
    return _shown(limit, mine.key, whole, currency) | {
        "assured": mine.own.assured,
        "members": [
            {"tenant": name, "weight": one.own.weight, "assured": one.own.assured, **_used(limit, part)}
            for (name, one), part in zip(terms.items(), parts, strict=True)
        ],
    }


def _used(limit: Limit, figures: Figures) -> dict[str, int]:
    """What runs counts as used where that is what the limit counts."""
    if limit.resource is Resource.STREAMS:
        return {"used": figures.held, "held": 0}
    return {"used": figures.used, "held": figures.held}


def _shown(limit: Limit, key: str, figures: Figures, currency: str) -> dict[str, Any]:
    money = limit.resource is Resource.MICRO_USD
    return {
        "limit": limit.name,
        "subject": dict(subject_of(limit, key)),
        "counts": "money" if money else limit.resource.value,
        "currency": currency if money else None,
        "window": limit.window.shape.value,
        "window_s": limit.window.span_s or None,
        "kind": limit.kind.value,
        "amount": limit.amount,
        **_used(limit, figures),
        "remaining": max(limit.amount - figures.used - figures.held, 0),
        "reset_s": figures.reset_ms / 1000,
    }


def _period(query: Mapping[str, str], now: float) -> Period:
    unknown = query.keys() - {"from", "to", "by", *_FILTERS}
    if unknown:
        raise problem.invalid(min(unknown)[:64], "unknown parameter")
    by = tuple(query.get("by", "tenant,model").split(","))
    if len(set(by)) != len(by) or not set(by) <= set(BY):
        raise problem.invalid("by", f"expected some of {', '.join(BY)}, each once")
    until_s = _moment("to", query["to"]) if "to" in query else now
    since_s = _moment("from", query["from"]) if "from" in query else until_s - _MONTH_S
    if since_s >= until_s:
        raise problem.invalid("from", "expected a time before `to`")
    return Period(since_s, until_s, by, {name: query[name] for name in _FILTERS if query.get(name)})


def _moment(name: str, text: str) -> float:
    """A date or time as RFC 3339 has it, in UTC unless it says more."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise problem.invalid(name, "expected a date such as 2026-11-01, or a time such as 2026-11-01T12:00Z") from None


def _told(at_s: float) -> int:
    return int(at_s)
