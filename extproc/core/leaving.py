"""The request as it leaves for its backends: in their words, by a route that the renderer knows. Pure."""

from dataclasses import dataclass

from extproc.adapt import Keys, prepare
from extproc.core.commands import HeaderChange, PassRequestBody
from extproc.core.crossing import crossing
from extproc.core.events import Headers
from extproc.providers.door import Door
from gateway import contract
from gateway.policy.model import Model, Policy
from gateway.policy.walk import Walk


@dataclass(frozen=True, slots=True)
class Way:
    """What was decided of a request's way."""

    door: Door
    model: Model
    policy: Policy
    allowed: tuple[str, ...]  # backends that may see it; the first of them is asked first
    walk: Walk | None  # None: that one alone


def leave(
    way: Way,
    version: str,
    names: Headers,
    original: bytes,
    edited: bytes | None,
    keys: Keys,
    *,
    changed: bool,
    now_s: float,
) -> tuple[PassRequestBody, str]:
    """The command, and what a lone backend's dialect has no word for.

    `version` of the policy; `names` of the client's headers; `edited` None: the body is the `original`; `changed`:
    whether a guard changed what it says; `now_s`: see `prepare`.

    Raises:
        GatewayError: the request cannot, or must not, be carried to the backend.
    """
    told = {
        contract.POLICY: version,
        contract.MODEL: way.model.name,
        contract.BACKENDS: ",".join(way.allowed),
        contract.FRONT_PATH: way.door.front,
        contract.DECISION: "redact" if changed else "allow",
    }
    body = original if edited is None else edited
    first = way.policy.backends[way.allowed[0]]
    if way.walk is not None or first.adapt:
        if any(crossing(way.door, way.model, way.policy.backends[name]) for name in way.allowed):
            told[contract.BODY_BYTES] = str(len(body))
        route = contract.route_of(first.name) if way.walk is None else way.walk.route
        return PassRequestBody(HeaderChange(put=((contract.ROUTE_HEADER, route),)), edited, told), ""
    # No other filter follows: the attempt is prepared here (ADR 0009).
    across = crossing(way.door, way.model, first)
    sent = None if across is None else across.request(body)
    change = prepare(names, first.name, told, way.policy, keys, sent, now_s=now_s, rewrite_host=False)
    route = contract.direct_route_of(first.name)
    change = HeaderChange((*change.put, (contract.ROUTE_HEADER, route)), change.remove)
    if sent is None:
        return PassRequestBody(change, edited, told), ""
    return PassRequestBody(change, edited if sent.body is body else sent.body, told), sent.told
