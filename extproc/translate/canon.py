"""One canonical chat: request, answer, stream events, failure. Every dialect speaks of these; none of another dialect.

A part that the canonical chat has no word for is told as `Lost`, never left out in silence.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Role(StrEnum):
    """Who speaks in a turn. What tools answered lies in a user's turn, as `Result`."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: `data` in base64 with its `media_type`, or a `url` that the provider fetches. Never both."""

    media_type: str = ""
    data: str = ""
    url: str = ""
    detail: str = ""  # how closely to look, in OpenAI's words; "" where nothing was asked


@dataclass(frozen=True, slots=True)
class File:
    """A document in base64, such as a PDF file."""

    media_type: str
    data: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """The model calls a tool. `arguments` is JSON as the model wrote it, which may be broken."""

    id: str
    name: str
    arguments: str
    signature: str = ""  # of the thought that led to it (Gemini)


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answered to a call."""

    call_id: str
    parts: tuple["Text | Image | File", ...]
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """Reasoning that the provider shows, with the signature that lets it come back unchanged."""

    text: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Redacted:
    """Reasoning that only the provider can read."""

    data: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model's own words for not answering, where a dialect keeps them apart."""

    text: str


Part = Text | Image | File | Call | Result | Thinking | Redacted | Refusal


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `schema` is a JSON schema of its arguments, as the client wrote it."""

    name: str
    schema: dict[str, Any]
    description: str = ""
    strict: bool | None = None


class Pick(StrEnum):
    """Whether the model calls tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tools the model calls; `name` with `NAMED` alone."""

    pick: Pick
    name: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """The answer shall be JSON: of this schema, or any object where `schema` is None."""

    schema: dict[str, Any] | None
    name: str = ""
    description: str = ""
    strict: bool | None = None


#: Words for effort, least first. A dialect or model that lacks one gets its neighbour, which is told.
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much the model shall think: a word of `EFFORTS`, or a number of tokens. Neither: as it sees fit."""

    effort: str | None = None
    budget_tokens: int | None = None
    shown: bool = False  # the client asks to read it; else it reads what the provider shows unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is drawn. None: the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that does not arrive as it was sent. `field` is without indices: in the client's words where its
    dialect could not be read whole, in those of this module where a backend's has no word.

    `essential`: without it the model would answer another question; never dropped, whatever policy says.
    """

    field: str
    why: str
    essential: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks of a chat model."""

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    parallel_calls: bool | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    schema: Schema | None = None
    reasoning: Reasoning | None = None
    user: str = ""  # whom the provider may hold responsible: an opaque id
    metadata: tuple[tuple[str, str], ...] = ()
    stream: bool = False
    stream_usage: bool = True  # whether a stream shall tell its usage


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CALLS = "calls"
    FILTERED = "filtered"
    PAUSED = "paused"  # the provider wants to be asked to go on


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. The details are parts of the two totals."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0  # of input: read from the provider's cache
    cache_write_tokens: int = 0  # of input: written to it
    reasoning_tokens: int = 0  # of output
    audio_input_tokens: int = 0  # of input
    audio_output_tokens: int = 0  # of output


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model answered, whole."""

    id: str
    model: str
    parts: tuple[Part, ...]
    finish: Finish
    stop_sequence: str | None = None
    usage: Usage | None = None
    created_s: int | None = None
    lost: tuple[Lost, ...] = ()


# --- streams ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Began:
    """The first event. `usage` as far as the provider tells it at the start."""

    id: str
    model: str
    usage: Usage | None = None
    created_s: int | None = None


class Kind(StrEnum):
    """What a part of a stream is."""

    TEXT = "text"
    REFUSAL = "refusal"
    THINKING = "thinking"
    REDACTED = "redacted"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class PartBegan:
    """A part opens. `index` counts parts from 0, in order. `id`, `name` of a call; `data` of what is redacted."""

    index: int
    kind: Kind
    id: str = ""
    name: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """More words, or more of the arguments of a call."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Signed:
    """The signature of a part of thinking, or of a call's thought."""

    index: int
    signature: str


@dataclass(frozen=True, slots=True)
class PartEnded:
    """A part is complete. Parts may overlap where a provider mixes calls; no delta follows this."""

    index: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Why the answer ended. Every part has ended before."""

    finish: Finish
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """Usage so far; the last one holds."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Ended:
    """The provider's own end of the stream. A stream without it broke off."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The provider is at work and says nothing."""


class Fault(StrEnum):
    """What kind of failure a provider told."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"  # no such model or path
    TOO_LARGE = "too_large"
    LIMITED = "limited"
    UNPAID = "unpaid"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a provider told, by status and body or within a stream."""

    fault: Fault
    status: int
    message: str
    code: str = ""  # the provider's own word


#: Of `Lost`, whoever drives the stream takes note; writers have no words for it.
Event = Began | PartBegan | Delta | Signed | PartEnded | Finished | Counted | Ended | Alive | Failure | Lost


def joined(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The same conversation without neighbours of one role, which most dialects refuse, and without empty turns."""
    runs: list[tuple[Role, list[Part]]] = []
    for turn in turns:
        if not turn.parts:
            continue
        if not runs or runs[-1][0] is not turn.role:
            runs.append((turn.role, []))
        runs[-1][1].extend(turn.parts)  # thousands of short turns in a row cost no more than one long one
    return tuple([Turn(role, tuple(parts)) for role, parts in runs])
