"""The list of models that tenant and caller may use, which the gateway answers itself. Pure.

`/v1/models` is OpenAI's path and Google's alike, so what it answers reads as either; `/v1beta/models` is Google's.
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from extproc.core.admission import unknown_model
from extproc.core.crossing import speaks
from extproc.providers.gemini import GenerateContent
from gateway import named_path
from gateway.errors import GatewayError, Kind, Rendered
from gateway.identity import NO_OBLIGATIONS, Obligations
from gateway.named_path import Named
from gateway.policy.model import Model, Policy, Tenant

_PATH: Final = "/v1/models"
#: Of Google's reference, models.list: what a page holds where nothing is asked, and at most.
_USUAL: Final = 50
_MOST: Final = 1000
_SIZE, _TOKEN = "pageSize", "pageToken"
_DIGITS: Final = 10  # of a 32-bit number, which Google's page sizes are


@dataclass(frozen=True, slots=True)
class _Page:
    """Which part of the list is asked for."""

    size: int | None  # None: the whole list
    after: str  # the last name of the page before; "" for the first


def asks_for_models(path: str) -> bool:
    """Whether the gateway answers itself, with what it lets its caller call."""
    own = path == _PATH or (path.startswith(f"{_PATH}/") and named_path.named(path) is None)
    return own or named_path.lists(path)


def models_page(target: str, policy: Policy, tenant: Tenant, obligations: Obligations = NO_OBLIGATIONS) -> Rendered:
    """The answer to a path with query. Raises GatewayError where it names a model that the caller may not use."""
    path, _, query = target.partition("?")
    google = named_path.lists(path)
    wanted = _wanted(query, alone=google)
    names = sorted(
        name
        for name in policy.models
        if tenant.may_use(name) and (obligations.models is None or name in obligations.models)
    )
    of = named_path.MODELS if google else _PATH
    if path != of:
        name = path.removeprefix(f"{of}/")
        if name not in names:
            raise unknown_model()
        model = policy.models[name]
        return _json(_googles(model, policy) if google else _openais(model) | _googles(model, policy))
    left = [name for name in names if name > wanted.after]
    shown = [policy.models[name] for name in left[: wanted.size]]
    told: dict[str, Any] = {} if google else {"object": "list", "data": [_openais(model) for model in shown]}
    told["models"] = [_googles(model, policy) for model in shown]
    if len(shown) < len(left):
        # The name itself: pages stay right when the policy changes between two of them.
        told["nextPageToken"] = shown[-1].name
    return _json(told)


def _wanted(query: str, *, alone: bool) -> _Page:
    """The part that a query asks for. Where Google's clients are alone, it is read as strictly as at their door."""
    size, after = (_USUAL if alone else None), ""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == _SIZE:
            size = _size(value) or size
        elif name == _TOKEN:
            after = value
        elif alone and (name, value) != ("alt", "json"):
            raise named_path.refused_parameter(name)
    return _Page(size, after)


def _size(value: str) -> int:
    """A page's size; 0 leaves it to the server."""
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS):
        raise GatewayError(Kind.REQUEST_INVALID, "'pageSize' must be a whole number.", param=_SIZE)
    return min(int(value), _MOST)


def _openais(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": model.owned_by}


def _googles(model: Model, policy: Policy) -> dict[str, Any]:
    door = GenerateContent(Named("v1beta", model.name, streams=False))
    served = any(speaks(door, policy.backends[name]) for name in model.backends)
    told: dict[str, Any] = {
        "name": f"models/{model.name}",
        "displayName": model.name,
        "supportedGenerationMethods": ["generateContent"] if served else [],
    }
    if model.max_output_tokens is not None:
        told["outputTokenLimit"] = model.max_output_tokens
    return told


def _json(tree: dict[str, Any]) -> Rendered:
    return Rendered(200, (("content-type", "application/json"),), orjson.dumps(tree))
