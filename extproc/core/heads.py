"""Heads of answers: which can be judged, what of them is passed on, what Envoy's own replies say. Pure."""

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from extproc.core.commands import HeaderChange, PassResponseHead
from extproc.core.events import Headers
from gateway import contract
from gateway.errors import GatewayError, Kind

JSON: Final = "application/json"
SSE: Final = "text/event-stream"
#: What the client is told, whatever parameters the provider put behind it: another charset would be another text.
TYPES: Final = {JSON: JSON, SSE: f"{SSE}; charset=utf-8"}

#: What a reply of Envoy's own router means to the client.
_ROUTER_WORDS: Final = {
    Kind.BACKEND_UNAVAILABLE: "The model is not reachable at the moment.",
    Kind.BACKEND_TIMEOUT: "The model did not answer in time.",
    Kind.INTERNAL: "The gateway could not finish the exchange.",
    Kind.POLICY_UNAVAILABLE: "The gateway is changing its policy. Try again in a moment.",
}


def of_envoy(status: int, code: str, details: str) -> GatewayError:
    """A local reply after the request was sent on: the router's (no host, reset, timeout) or a refusal by `adapt`."""
    routed = Kind.BACKEND_TIMEOUT if status == 504 else Kind.BACKEND_UNAVAILABLE
    kind = Kind(code) if code in set(Kind) else routed
    return GatewayError(kind, _ROUTER_WORDS.get(kind, "The request was refused."), cause=f"envoy: {details}")


def check_answer(status: int, kind: str, encoding: str, *, streams: bool, denied: bool) -> None:
    """Refuse answers that cannot be read: compressed, of another type, or about the gateway's own credential."""
    if encoding.lower() not in {"", "identity"}:
        raise GatewayError(
            Kind.BACKEND_ANSWER_INVALID,
            "The model's answer was compressed, so it could not be inspected and was withheld.",
            cause="backend answered with a content-encoding",
        )
    if denied:
        raise GatewayError(
            Kind.BACKEND_UNAVAILABLE,
            "The model's provider refused the gateway's own credential. Tell your platform team.",
            cause=f"backend answered {status}",
        )
    if kind != JSON and not streams:
        raise GatewayError(
            Kind.BACKEND_UNAVAILABLE if status in {429, 503} else Kind.BACKEND_ANSWER_INVALID,
            "The model's provider answered in a form that cannot be inspected; the answer was withheld.",
            cause=f"backend answered {status} with another content type",
        )


def refuse_empty(status: int) -> None:
    """Refuse a 200 without a body: SDKs fail to read it, or take it for an answer that says nothing."""
    if status == HTTPStatus.OK:
        raise GatewayError(
            Kind.BACKEND_ANSWER_INVALID,
            "The model's answer was empty.",
            cause=f"backend answered {status} without a body",
        )


def fields(headers: Headers) -> dict[str, str]:
    """Header values by name; of a field that is there twice, all (RFC 9110, 5.3): another reader may take the other."""
    found = dict(headers)
    if len(found) < len(headers):
        found = {name: ", ".join([value for other, value in headers if other == name]) for name in found}
    return found


@lru_cache(maxsize=512)  # one entry for each set of header names that backends send: a handful in practice
def passed(names: tuple[str, ...], kind: str) -> PassResponseHead:
    """What may be passed on of a head with these fields. `kind`: its content type, "" where it is none of ours."""
    # Envoy puts its own x-request-id on every answer after us; a provider's own would name nothing on record here.
    allowed = contract.UPSTREAM_RESPONSE_HEADERS
    remove = {name for name in names if name not in allowed}
    if not kind:
        return PassResponseHead(HeaderChange(remove=tuple(sorted(remove | ({"content-type"} & set(names))))))
    return PassResponseHead(HeaderChange((("content-type", TYPES[kind]),), tuple(sorted(remove))))


def telling(head: PassResponseHead, more: tuple[tuple[str, str], ...]) -> PassResponseHead:
    """The same head with more fields of ours."""
    return PassResponseHead(HeaderChange((*head.change.put, *more), head.change.remove))
