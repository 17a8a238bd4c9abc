"""The copy of a request for its pool's mirror: whether there may be one, and what it is. Pure; sends nothing.

What a copy says is what leaves for the backend, after every guard; of the client's headers it has none.
"""

from collections.abc import Collection
from typing import Any, Final

from extproc.core import crossing, fitting, route
from extproc.core.admission import Judged
from extproc.core.commands import Copy
from extproc.core.leaving import Way
from extproc.providers.door import Door
from gateway.identity import Caller
from gateway.policy.model import Model, Policy, Tenant
from gateway.policy.walk import mirrored

#: Copies wait in memory, and one in another dialect is made while others wait: a longer prompt is not copied.
MOST_BYTES: Final = 256 * 1024


def copied(
    way: Way,
    tenant: Tenant,
    caller: Caller,
    tree: dict[str, Any],
    judged: Judged,
    rules: Collection[str],
    body: bytes,
) -> tuple[Copy, ...]:
    """The copy, if there is to be one. `rules` are those that fired in the request, `body` what leaves."""
    pool, door = way.model.pool, way.door
    if pool is None or pool.mirror is None or not mirrored(pool, caller.request_id):
        return ()
    need = route.tokens_of(tree, door, judged.prompt_chars, judged.capped)
    asked = route.features(tree, door)
    if why_not(way.model, way.policy, tenant, door, asked, sum(need), rules, len(body)):
        return ()
    return (Copy(pool.mirror, caller, way.model.name, door.front, body, *need),)


def why_not(
    model: Model,
    policy: Policy,
    tenant: Tenant,
    door: Door,
    features: Collection[str],
    tokens: int,
    rules: Collection[str],
    size_bytes: int,
) -> str:
    """Why the mirror of a model may not get a copy, or "". What its dialect has no word for shows when it is sent."""
    if model.pool is None or model.pool.mirror is None:
        return "there is none"
    name = model.pool.mirror.backend
    if not crossing.speaks(door, policy.backends[name]):
        return f"its dialect, {policy.backends[name].dialect}, has no words for {door.path}"
    if size_bytes > MOST_BYTES:
        return f"the request is larger than {MOST_BYTES} bytes"
    return next(fitting.reasons(tenant, model, name, features, tokens, rules), "")
