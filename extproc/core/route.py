"""Where a request goes: the backends that may see it, and the order in which Envoy asks them. Pure."""

from collections.abc import Collection
from dataclasses import replace

from extproc.core.commands import HeaderChange, PassResponseHead
from gateway import contract
from gateway.errors import GatewayError, Kind
from gateway.policy import walk
from gateway.policy.model import Model
from gateway.policy.walk import Walk


def choose(
    model: Model, ready: tuple[str, ...], rules: Collection[str], request_id: str
) -> tuple[tuple[str, ...], Walk | None]:
    """The backends that a request may reach, first the one to ask first, and its walk if they are several.

    `ready` is not empty; `rules` are those that fired in the request.
    """
    if model.pool is None:
        return ready[:1], None
    allowed = walk.allowed(model.pool, ready, rules)
    if not allowed:
        raise unavailable("no backend left that may see what was found")
    if len(allowed) == 1:
        return allowed, None
    chosen = walk.choose(model.pool, allowed, request_id)
    return chosen.backends, chosen


def tell(head: PassResponseHead, model: Model, backend: str, attempts: str) -> PassResponseHead:
    """The answer's head, with the backend that gave it where policy lets clients know."""
    if model.pool is None or not model.pool.tell:
        return head
    told = ((contract.BACKEND_HEADER, backend), (contract.ATTEMPTS_HEADER, attempts or "1"))
    return replace(head, change=HeaderChange((*head.change.put, *told), head.change.remove))


def unavailable(cause: str) -> GatewayError:
    """The refusal of a request for which there is no backend."""
    return GatewayError(Kind.BACKEND_UNAVAILABLE, "The model is not available at the moment.", cause=cause)
