"""A request to `control` and its answer as values. Knows no HTTP library; judges nothing."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

#: The largest wish is an account with a JWKS of its own, 16 KiB. Envoy holds the same bound.
BODY_BYTES: Final = 64 * 1024
_JSON: Final = ("content-type", "application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, whole and within its bounds."""

    method: str
    path: str  # without query, as it arrived: nothing of ours needs escapes
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # lower case; one that came twice has been refused
    body: bytes = field(default=b"", repr=False)
    request_id: str = ""
    certificate: str = ""  # the verified client certificate as URL-encoded PEM; Envoy's word, never the client's
    address: str = ""  # the client's, as Envoy sees it; empty for a local operator
    peer_uid: int | None = None  # of the local operator, by the kernel's word; None: it came through Envoy
    now: float = 0.0  # unix seconds of its arrival

    def header(self, name: str) -> str:
        """A header, or nothing."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = (_JSON,)


Handler = Callable[[Request], Awaitable[Answer]]


def answer(body: Mapping[str, Any], status: int = 200, *headers: tuple[str, str]) -> Answer:
    """An answer that is a JSON object."""
    return Answer(status, orjson.dumps(body), (_JSON, *headers))


def error(status: int, code: str, message: str, *headers: tuple[str, str], where: str = "") -> Answer:
    """A refusal in the form of the admin API. `where` names the field of the wish that is wrong."""
    told = {"code": code, "message": message, **({"field": where} if where else {})}
    return answer({"error": told}, status, *headers)
