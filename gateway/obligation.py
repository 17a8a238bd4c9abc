"""Obligations as the JSON that travels in dynamic metadata from authz to `inspect`. Pure."""

from typing import Final

import orjson

from gateway.identity import Obligations

_NAMES: Final = frozenset({"models", "max_tokens", "guards", "route"})


def write(obligations: Obligations) -> str:
    """Only what is set."""
    told: dict[str, object] = {}
    if obligations.models is not None:
        told["models"] = sorted(obligations.models)
    if obligations.max_tokens is not None:
        told["max_tokens"] = obligations.max_tokens
    if obligations.guards:
        told["guards"] = sorted(obligations.guards)
    if obligations.route:
        told["route"] = obligations.route
    return orjson.dumps(told).decode()


def read(text: str) -> Obligations:
    """The same back.

    Raises:
        ValueError: not written by `write`; whoever meets it must refuse.
    """
    told = orjson.loads(text)
    if not isinstance(told, dict) or not told.keys() <= _NAMES:
        raise ValueError("not obligations")
    models, most = told.get("models"), told.get("max_tokens")
    if models is not None and not isinstance(models, list):
        raise ValueError("obligations: models")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
        raise ValueError("obligations: max_tokens")
    return Obligations(
        models=None if models is None else frozenset(models),
        max_tokens=most,
        guards=frozenset(told.get("guards", ())),
        route=str(told.get("route", "")),
    )
