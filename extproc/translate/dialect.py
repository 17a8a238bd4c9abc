"""What a dialect does: bytes and trees of one provider's API to the canonical chat and back. Pure; no dialect itself.

Errors are typed. What a client sent and cannot be read is REQUEST_INVALID with the field; what a provider sent and
cannot be read is BACKEND_ANSWER_INVALID. Nothing else is raised for any input that is JSON.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from extproc.translate.canon import Answer, Event, Failure, Lost, Request, Usage

#: Every chat model on sale writes as much; longer answers are asked for by name.
DEFAULT_MAX_TOKENS: Final = 4096


#: Of a request's id in ids of calls: 96 random bits, and short enough (40 characters in all, at OpenAI).
_MARK_CHARS: Final = 24


#: Media type of server-sent events, in which most providers stream.
SSE: Final = "text/event-stream"
#: What most providers answer to a credential that they do not take.
DENIALS: Final = frozenset({401})


class Thinks(StrEnum):
    """In which words the backend's model is told how much to think."""

    EFFORT = "effort"
    BUDGET = "budget"
    NOT = "not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a writer of requests needs to know of the backend beside the request."""

    model: str  # as the backend calls it
    #: Written where the client named no bound and the dialect demands one (Anthropic).
    max_tokens: int = DEFAULT_MAX_TOKENS
    thinks: Thinks = Thinks.EFFORT
    #: Whether the model takes temperature and its kin. None: as the dialect's current package says.
    sampling: bool | None = None
    api_version: str = ""  # in the paths of Azure and Gemini; "" for the one that their packages use


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a writer of answers needs to know of the client's request. Small: it lives as long as the stream."""

    model: str  # said where the provider names none
    request_id: str  # ids are made of it where the provider gives none
    now_s: int  # `created` of dialects whose clients expect it, where the provider tells none
    stream_usage: bool = True

    def made_id(self, prefix: str, number: int) -> str:
        """For a call that the provider left without one. No longer than OpenAI takes when it comes back."""
        return f"{prefix}_{self.request_id.replace('-', '')[-_MARK_CHARS:]}_{number}"


@dataclass(frozen=True, slots=True)
class Read:
    """A request as read, and what the canonical chat has no word for."""

    request: Request
    lost: tuple[Lost, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A request as one backend wants it. `path` stands behind the backend's base path and may have a query."""

    path: str
    body: dict[str, Any]
    lost: tuple[Lost, ...]
    headers: tuple[tuple[str, str], ...] = ()  # beside credentials and content-type


class StreamReader(Protocol):
    """One provider's stream, incrementally. Holds an unfinished event and the numbers of open parts."""

    def feed(self, data: bytes) -> list[Event]:
        """Bytes as they came, cut anywhere. Nothing comes behind `Ended` or a `Failure`."""
        ...

    def close(self) -> list[Event]:
        """The bytes ended. A stream that broke off ends without `Ended`."""
        ...


class StreamWriter(Protocol):
    """One client's stream, incrementally. Holds only what the dialect cannot say yet."""

    def write(self, events: list[Event]) -> bytes:
        """Whole events of the dialect, in its framing; b"" where there is nothing to say yet."""
        ...


class Front(Protocol):
    """One API as clients speak it. Stateless."""

    @property
    def name(self) -> str:
        """What policy calls it."""
        ...

    @property
    def family(self) -> str:
        """Dialects of one family differ in the path alone: bodies pass untranslated."""
        ...

    def read_request(self, body: dict[str, Any]) -> Read:
        """A client's body. Raises REQUEST_INVALID."""
        ...

    def write_answer(self, answer: Answer, origin: Origin) -> dict[str, Any]:
        """The body for a client. Raises BACKEND_ANSWER_INVALID for what the client could not read."""
        ...

    def writer(self, origin: Origin) -> StreamWriter:
        """For one stream."""
        ...

    def write_error(self, failure: Failure) -> dict[str, Any]:
        """The error object that the client's SDK reads. Its status is `failure.status`."""
        ...


class Back(Protocol):
    """One API as backends speak it. Stateless."""

    @property
    def name(self) -> str:
        """What policy calls it."""
        ...

    @property
    def family(self) -> str:
        """See `Front.family`."""
        ...

    @property
    def stream_type(self) -> str:
        """The media type of its streams, which `reader` reads."""
        ...

    @property
    def denials(self) -> frozenset[int]:
        """Statuses that speak of the gateway's own credential, and are not a client's business."""
        ...

    def path_of(self, target: Target, *, stream: bool) -> str:
        """Where a backend takes requests."""
        ...

    def write_request(self, request: Request, target: Target) -> Written:
        """The body for a backend. Raises REQUEST_INVALID for what the backend could not read, such as broken JSON."""
        ...

    def read_answer(self, body: dict[str, Any]) -> Answer:
        """A whole answer with status 200. Raises BACKEND_ANSWER_INVALID."""
        ...

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        """What an answer with status 200 tells of its tokens, also one that cannot be read otherwise."""
        ...

    def reader(self, max_event_bytes: int) -> StreamReader:
        """For one stream."""
        ...

    def read_error(self, status: int, body: bytes) -> Failure:
        """A provider's error. Never raises: what cannot be read is told by its status alone."""
        ...


class Dialect(Front, Back, Protocol):
    """One API that is spoken on both sides."""
