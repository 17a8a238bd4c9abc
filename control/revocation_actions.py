"""The lines of the admin API about revocations. Says what goes on record; `control.revocations` does the work."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from control import problem
from control.admin import Action, Done, Wish
from control.revocations import Revocations
from gateway.revocation.mark import What, split
from gateway.revocation.record import Revocation

_PATH: Final = "/admin/v1/revocations"
_FIELDS: Final = frozenset({"what", "tenant", "name", "reason", "until", "issued_before"})
_QUERY: Final = frozenset({"what", "tenant"})
_CREATED: Final = 201
_KINDS: Final = ", ".join(What)


def actions(revocations: Revocations) -> tuple[Action, ...]:
    """One action for each line."""

    async def listed(wish: Wish) -> Done:
        _only(wish.query, _QUERY)
        what = wish.query.get("what", "")
        found = await revocations.list(_what(what) if what else None, wish.query.get("tenant", ""))
        return Done({"revocations": [asdict(one) for one in found]})

    async def create(wish: Wish) -> Done:
        _only(wish.body, _FIELDS)
        made, before = await revocations.revoke(
            _what(_text(wish.body, "what")),
            _text(wish.body, "tenant"),
            _text(wish.body, "name"),
            reason=wish.reason,
            actor=wish.by,
            until=_second(wish.body, "until"),
            issued_before=_second(wish.body, "issued_before"),
        )
        told = {"revocation": asdict(made), "replaced": asdict(before) if before else None}
        return _done(made, told, _CREATED)

    async def lift(wish: Wish) -> Done:
        _only(wish.body, frozenset({"mark", "reason"}))
        lifted = await revocations.lift(_text(wish.body, "mark"))
        return _done(lifted, {"revocation": asdict(lifted)})

    return (
        Action("revocation.list", "GET", _PATH, listed),
        Action("revocation.create", "POST", _PATH, create),
        # In the body: marks of subjects hold a slash, and Envoy refuses escaped slashes in paths.
        Action("revocation.lift", "POST", f"{_PATH}/lift", lift),
    )


def _done(about: Revocation, told: Mapping[str, Any], status: int = 200) -> Done:
    what, name = split(about.mark)
    tenant = name if what is What.TENANT else name.partition("/")[0] if what in {What.SUBJECT, What.CLIENT} else ""
    return Done(told, status, tenant=tenant, subject=about.mark, key_id=name if what is What.KEY else "")


def _only(given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = given.keys() - known
    if unknown:
        raise problem.invalid(min(unknown)[:64], "unknown; a misspelt name must not silently mean nothing")


def _what(text: str) -> What:
    try:
        return What(text)
    except ValueError:
        raise problem.invalid("what", f"expected one of {_KINDS}") from None


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise problem.invalid(name, "expected a text")
    return value


def _second(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _LAST_SECOND:  # not isinstance: True is an int
        raise problem.invalid(name, "expected unix seconds")
    return value


_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31
