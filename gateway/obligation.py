"""Obligations as the JSON that travels in dynamic metadata from authz to `inspect`. Pure."""

from typing import Final

import orjson

from gateway.identity import NO_OBLIGATIONS, Obligations

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


def join(one: Obligations, other: Obligations) -> Obligations:
    """What sees to both: the narrower of two limits, the guards of each. Where both have a hint, the latter's."""
    if other is NO_OBLIGATIONS:
        return one
    if one is NO_OBLIGATIONS:
        return other
    sets = [each.models for each in (one, other) if each.models is not None]
    caps = [each.max_tokens for each in (one, other) if each.max_tokens is not None]
    return Obligations(
        models=frozenset.intersection(*sets) if sets else None,
        max_tokens=min(caps) if caps else None,
        guards=one.guards | other.guards,
        route=other.route or one.route,
    )


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
