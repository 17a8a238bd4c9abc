"""What can happen to an exchange, as ext_proc and the clock show it. Frozen, closed union `Event`."""

from collections.abc import Mapping
from dataclasses import dataclass

from extproc.core.questions import Told
from gateway.errors import GatewayError
from gateway.identity import Caller

#: (lower-case name, value) in wire order; pseudo-headers included. Values are decoded as latin-1 (RFC 9110, 5.5).
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Request headers. `caller` is None when authz left no metadata: such a request is refused."""

    headers: Headers
    caller: Caller | None
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The whole buffered request body. `end_of_stream` is False when trailers follow (refused)."""

    body: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of the questions of one `Ask`, in their order; each a reply or a `Failed`."""

    replies: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class RequestTrailers:
    """Request trailers: refused, since nobody inspects them."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Response headers, of an upstream or of Envoy itself (`code_details` tells which)."""

    headers: Headers
    end_of_stream: bool
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResponseChunk:
    """Some bytes of the answer, split anywhere."""

    body: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class ResponseTrailers:
    """Response trailers end the answer. Only their names matter: none is passed on."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expired:
    """A deadline passed: "exchange" (total) or "idle" (upstream silent)."""

    which: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """The caller's credential was taken back while the exchange ran. `error` says so, to the caller and the record."""

    error: GatewayError


@dataclass(frozen=True, slots=True)
class Gone:
    """The RPC ended: the client left, Envoy gave up, or all is said. Only the exchange knows which."""


Event = (
    RequestHead
    | RequestBody
    | RequestTrailers
    | Answered
    | ResponseHead
    | ResponseChunk
    | ResponseTrailers
    | Expired
    | Revoked
    | Gone
)
