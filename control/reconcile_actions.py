"""The line of the admin API that compares a ledger with what records say, and makes good what it lost.

Use is only ever added, and only up to what the records say: a charge without a record (of a worker that crashed) stays.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from control import problem
from control.admin import Action, Done, Wish
from gateway.budgets.model import MOST, Dimension, Limit, Resource, Shape, Subject, key_of
from gateway.budgets.oracle import Answer, Claim
from gateway.budgets.window import Figures, Meter, meter_of
from gateway.policy.model import Policy
from gateway.script import ScriptError

_PATH: Final = "/admin/v1/budgets/{tenant}/reconcile"
_FIELDS: Final = frozenset({"apply", "claims", "reason"})
_CLAIM: Final = frozenset({"limit", "subject", "window", "window_s", "uses"})
_COUNTED: Final = frozenset({Shape.DAY, Shape.MONTH, Shape.SLIDING})
_TOGETHER: Final = 64  # limits in one call: of 62 slots each some milliseconds of the ledger's time
_SLOTS: Final = 62  # of a sliding window, with the one that has just begun
_LAST_SLOT: Final = 2**40  # of windows of a second, in some 500 years
_VALUE_CHARS: Final = 256  # of a principal, the longest


class Ledger(Protocol):
    """What is asked of it: `gateway.budgets.store.ValkeyStore`."""

    async def look(self, limits: Sequence[tuple[str, Meter]]) -> tuple[Figures, ...]:
        """How limits stand; changes nothing."""
        ...

    async def restore(self, claims: Sequence[Claim]) -> Answer:
        """See `Oracle.restore`."""
        ...


class Index(Protocol):
    """What is asked of it: `gateway.budgets.board.Board`."""

    async def seen(self, tenant: str, keys: Sequence[str]) -> None:
        """Limits for each of something that were used."""
        ...


def actions(ledger: Ledger, index: Index, policy: Callable[[], Policy]) -> tuple[Action, ...]:
    """One action."""

    async def reconcile(wish: Wish) -> Done:
        tenant = wish.names[0]
        known = policy().tenants.get(tenant)
        if known is None:
            raise problem.unknown("tenant", tenant)
        apply = wish.body.get("apply", False)
        if type(apply) is not bool or wish.query or wish.body.keys() - _FIELDS:
            raise problem.invalid("apply", "expected true or false, and beside it only `claims` and `reason`")
        claims = _claims(
            wish.body.get("claims"), tenant, {one.name: one for one in known.budgets.limits if not one.shared}
        )
        try:
            told = [
                one
                for at in range(0, len(claims), _TOGETHER)
                for one in await _compared(claims[at : at + _TOGETHER], ledger, apply=apply)
            ]
            # The list of them was lost as well; without it nobody is shown what was restored.
            listed = [
                claim.key for (_, subject, claim), one in zip(claims, told, strict=True) if subject and one["restored"]
            ]
            if listed:
                await index.seen(tenant, listed)
        except ScriptError:
            raise problem.unavailable("The ledger cannot be reached at the moment. Try again.") from None
        body = {"tenant": tenant, "at": int(wish.now), "applied": apply, "limits": told}
        return Done(body, tenant=tenant, subject=f"restored: {sum(one['restored'] > 0 for one in told)}")

    return (Action("budget.reconcile", "POST", _PATH, reconcile),)


async def _compared(
    claims: Sequence[tuple[Limit, Mapping[str, str], Claim]], ledger: Ledger, *, apply: bool
) -> list[dict[str, Any]]:
    before = await ledger.look([(claim.key, claim.meter) for _, _, claim in claims])
    after = (await ledger.restore([claim for *_, claim in claims])).figures if apply else before
    return [
        {
            "limit": limit.name,
            "subject": subject,
            "counts": "money" if limit.resource is Resource.MICRO_USD else limit.resource.value,
            "amount": limit.amount,
            "recorded": sum(amount for _, amount in claim.uses),
            "used": stood.used,
            "restored": stands.granted if apply else 0,
        }
        for (limit, subject, claim), stood, stands in zip(claims, before, after, strict=True)
    ]


def _claims(given: Any, tenant: str, limits: Mapping[str, Limit]) -> list[tuple[Limit, Mapping[str, str], Claim]]:
    if not isinstance(given, list):
        raise problem.invalid("claims", "expected a list")
    found: dict[str, tuple[Limit, Mapping[str, str], Claim]] = {}
    for at, one in enumerate(given):
        where = f"claims[{at}]"
        if not isinstance(one, dict) or one.keys() != _CLAIM:
            raise problem.invalid(where, f"expected an object of {', '.join(sorted(_CLAIM))}")
        name = one["limit"]
        limit = limits.get(name) if isinstance(name, str) else None
        if limit is None or limit.shared is not None or limit.window.shape not in _COUNTED:
            raise problem.invalid(f"{where}.limit", "no limit of this name over a day, a month or a sliding window")
        if (one["window"], one["window_s"]) != (limit.window.shape.value, limit.window.span_s):
            raise problem.invalid(f"{where}.window", "control's policy has another; reload it, or name its directory")
        subject = _subject(one["subject"], limit, where)
        key = key_of(limit, Subject(tenant, **subject))
        if key in found:  # one limit twice in a call would be restored once
            raise problem.invalid(where, "the same limit and subject stand twice")
        found[key] = (limit, subject, Claim(key, meter_of(limit), _uses(one["uses"], where)))
    return list(found.values())


def _subject(given: Any, limit: Limit, where: str) -> dict[str, str]:
    names = {one.value for one in limit.scope if one is not Dimension.TENANT}
    if not isinstance(given, dict) or given.keys() != names:
        raise problem.invalid(f"{where}.subject", f"expected an object of {', '.join(sorted(names)) or 'nothing'}")
    for value in given.values():
        if not isinstance(value, str) or not 0 < len(value) <= _VALUE_CHARS:
            raise problem.invalid(f"{where}.subject", f"expected texts of up to {_VALUE_CHARS} characters")
    return given


def _uses(given: Any, where: str) -> tuple[tuple[int, int], ...]:
    good = isinstance(given, list) and len(given) <= _SLOTS
    for pair in given if good else ():
        good = good and isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair)
        good = good and 0 <= pair[0] <= _LAST_SLOT and 0 <= pair[1] <= MOST
    if not good or len({pair[0] for pair in given}) != len(given):
        raise problem.invalid(f"{where}.uses", f"expected up to {_SLOTS} pairs of a slot and what was used in it")
    return tuple(sorted((slot, amount) for slot, amount in given))
