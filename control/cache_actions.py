"""The line of the admin API that throws cached answers away. Marks them as gone; what was sent out stays sent."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from control import problem
from control.admin import Action, Done, Wish
from control.form import Form
from gateway.cache.store import ALL
from gateway.policy.cache import TAG
from gateway.policy.field import shape
from gateway.policy.model import Policy
from gateway.script import ScriptError

_PATH: Final = "/admin/v1/cache/{tenant}/invalidate"
_MODEL: Final = shape(r"[!-~]{1,128}", "a model's name")
_MOST: Final = 64  # of one wish
_ASK_S: Final = 2.0  # the store answers in a millisecond


class Store(Protocol):
    """What is asked of it: `gateway.cache.store.Store`."""

    async def mark(self, tenant: str, tags: Sequence[str]) -> int:
        """Throw away what carries one of the tags; the moment in unix ms."""
        ...


def actions(store: Store, policy: Callable[[], Policy]) -> tuple[Action, ...]:
    """One action."""

    async def invalidate(wish: Wish) -> Done:
        tenant = wish.names[0]
        if tenant not in policy().tenants:
            raise problem.unknown("tenant", tenant)
        form = Form(wish.body)
        tags = [*form.texts("tags", TAG, _MOST), *(f"model:{name}" for name in form.texts("models", _MODEL, _MOST))]
        form.close()
        try:
            async with asyncio.timeout(_ASK_S):
                at_ms = await store.mark(tenant, tags or [ALL])
        except (ScriptError, TimeoutError):
            raise problem.unavailable("The cache cannot be reached at the moment. Try again.") from None
        told = {"tenant": tenant, "tags": tags or [ALL], "before_ms": at_ms}
        return Done(told, tenant=tenant, subject=", ".join(tags) or ALL)

    return (Action("cache.invalidate", "POST", _PATH, invalidate),)
