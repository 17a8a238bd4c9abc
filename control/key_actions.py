"""The lines of the admin API that are about API keys. Says what goes on record; `control.keys` does the work."""

from collections.abc import Mapping
from typing import Any, Final

from control import problem
from control.admin import Action, Done, Wish
from control.keys import PAGE, Keys

_PATH: Final = "/admin/v1/keys"
_ONE: Final = f"{_PATH}/{{id}}"
_QUERY: Final = frozenset({"tenant", "state", "after", "limit"})
_LIMIT_DIGITS: Final = 6
_CREATED: Final = 201


def actions(keys: Keys) -> tuple[Action, ...]:
    """One action for each line; every answer but that of a new key is without secrets."""

    async def create(wish: Wish) -> Done:
        return _done(await keys.create(wish.body, wish.by), _CREATED)

    async def listed(wish: Wish) -> Done:
        tenant, state, after = (wish.query.get(name, "") for name in ("tenant", "state", "after"))
        page = await keys.list(tenant, state, after, _limit(wish.query))
        return Done({"keys": list(page.keys), "after": page.after or None})

    async def show(wish: Wish) -> Done:
        return _done(await keys.show(wish.names[0]))

    async def rotate(wish: Wish) -> Done:
        return _done(await keys.rotate(wish.names[0], wish.body, wish.by), _CREATED, subject=wish.names[0])

    async def expire(wish: Wish) -> Done:
        return _done(await keys.set_expiry(wish.names[0], wish.body))

    async def disable(wish: Wish) -> Done:
        return _done(await keys.disable(wish.names[0]))

    async def enable(wish: Wish) -> Done:
        return _done(await keys.enable(wish.names[0]))

    async def delete(wish: Wish) -> Done:
        return _done(await keys.delete(wish.names[0]))

    return (
        Action("key.list", "GET", _PATH, listed),
        Action("key.create", "POST", _PATH, create),
        Action("key.show", "GET", _ONE, show),
        Action("key.delete", "DELETE", _ONE, delete),
        Action("key.rotate", "POST", f"{_ONE}/rotate", rotate),
        Action("key.expire", "POST", f"{_ONE}/expire", expire),
        Action("key.disable", "POST", f"{_ONE}/disable", disable),
        Action("key.enable", "POST", f"{_ONE}/enable", enable),
    )


def _done(told: Mapping[str, Any], status: int = 200, *, subject: str = "") -> Done:
    """`subject` is the key that the wish named, where the answer tells of another one."""
    return Done(told, status, tenant=str(told["tenant"]), subject=subject or str(told["id"]), key_id=str(told["id"]))


def _limit(query: Mapping[str, str]) -> int:
    unknown = query.keys() - _QUERY
    if unknown:
        raise problem.invalid(min(unknown)[:64], "unknown parameter")
    text = query.get("limit")
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdigit() and len(text) <= _LIMIT_DIGITS):
        raise problem.invalid("limit", "expected a whole number")
    return int(text)
