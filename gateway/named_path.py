"""Paths of Google's Gemini API, which name model and method: what a front door takes, in one spelling only.

Knows no policy: whether a model exists, and for whom, is judged where every other door's is.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote

from gateway.errors import GatewayError, Kind

#: What policies, allow-lists and versions of schemas call the route, whichever model, method and version is named.
ROUTE: Final = "/v1beta/models/*:generateContent"
#: Where that API lists models. Below /v1 it does so at OpenAI's path.
MODELS: Final = "/v1beta/models"
#: No percent sign, so no name has two spellings; segments begin with a letter or a digit, so none of them is a dot.
_SEGMENT: Final = r"[A-Za-z0-9][A-Za-z0-9._@+:-]*"
_PATH: Final = re.compile(
    rf"/(?P<version>v1|v1beta)/models/(?P<model>{_SEGMENT}(?:/{_SEGMENT})*):(?P<method>generateContent|streamGenerateContent)"
)
#: What else that API has, so that whoever asks for it is told what there is here.
_FOREIGN: Final = re.compile(r"/v1(?:alpha|beta)[0-9]?/.*|/v1/[A-Za-z]+/.*:[a-z]+(?:[A-Z][A-Za-z]*)?")
_MODEL_CHARS: Final = 128  # the most that policy lets a model's name have
_STREAMS: Final = "streamGenerateContent"
#: Names under which Google's servers take a credential from an address.
_KEYS: Final = frozenset({"key", "access_token", "oauth_token"})
_ALT: Final = "alt"
_NAME_CHARS: Final = 64  # of a parameter's name in an error: enough to find it


@dataclass(frozen=True, slots=True)
class Named:
    """What a path names."""

    version: str
    model: str
    streams: bool

    @property
    def path(self) -> str:
        """The same path, as it is told on: to records, and to those who prepare an attempt."""
        return f"/{self.version}/models/{self.model}:{self._method}"

    def at(self, model: str) -> str:
        """Path and query for a server that calls the model so."""
        return f"/{self.version}/models/{quote(model, safe='')}:{self._method}{'?alt=sse' if self.streams else ''}"

    @property
    def _method(self) -> str:
        return _STREAMS if self.streams else "generateContent"


def named(path: str) -> Named | None:
    """What `path` names, without its query; None where it is no path of this front door."""
    found = _PATH.fullmatch(path)
    if found is None or len(found["model"]) > _MODEL_CHARS:
        return None
    return Named(found["version"], found["model"], found["method"] == _STREAMS)


def lists(path: str) -> bool:
    """Whether `path` is the list of models or one entry of it, at a path that only Gemini's API has."""
    return path == MODELS or (path.startswith(f"{MODELS}/") and path != f"{MODELS}/" and named(path) is None)


def is_foreign(path: str) -> bool:
    """Whether a path is of Gemini's API, and of none of its methods that are served by POST."""
    return named(path) is None and _FOREIGN.fullmatch(path) is not None


def brings_key(query: str) -> bool:
    """Whether an address holds what may be a credential."""
    return any(name.lstrip("$") in _KEYS for name, _ in parse_qsl(query, keep_blank_values=True))


def refuse_query(asked: Named, query: str) -> GatewayError | None:
    """Why the query must not be: Google's servers take keys, headers and forms of answers from it."""
    wanted = "sse" if asked.streams else "json"
    told = ""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != _ALT:
            return refused_parameter(name)
        told = value
        if value != wanted:
            return _other_form(asked)
    return _other_form(asked) if asked.streams and told != wanted else None


def refused_parameter(name: str) -> GatewayError:
    """The refusal of a query's parameter that the address does not have; for keys it says where they go."""
    if name.lstrip("$") in _KEYS:
        return GatewayError(
            Kind.REQUEST_INVALID,
            "The address must hold no key: addresses end up in logs. Send it in the header x-goog-api-key, and "
            "replace the one that was in the address.",
            param=name.lstrip("$"),
        )
    shown = "".join(char if char.isprintable() else "?" for char in name[:_NAME_CHARS])
    return GatewayError(
        Kind.REQUEST_INVALID, f"'{shown}' is not a parameter of this address. Leave it out.", param=shown
    )


def _other_form(asked: Named) -> GatewayError:
    told = (
        "Streams are server-sent events here: ask for them with ?alt=sse."
        if asked.streams
        else "Answers that do not stream are JSON here: leave `alt` out, or call streamGenerateContent?alt=sse."
    )
    return GatewayError(Kind.REQUEST_INVALID, told, param=_ALT)
