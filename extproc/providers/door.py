"""What a front door is: the path that clients call, and where request facts and stream texts lie in its dialect."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from extproc.core.sse import Frame
from extproc.counting.running import Running
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.guard import Guard, Tally
from gateway.errors import Dialect, GatewayError, Kind

if TYPE_CHECKING:
    from extproc.core.unknown import Unknown
    from extproc.providers.schema import Versions


@dataclass(frozen=True, slots=True)
class Opened:
    """The facts of a request that routing and streaming need."""

    model: str
    stream: bool = False
    wants_usage: bool = True  # whether the client asked to see the usage event of a stream
    puts: tuple[tuple[str, Any], ...] = ()  # fields that the gateway writes where the request has none, or null
    left_out: tuple[str, ...] = ()  # what the door took out of the body, as clients are told


#: Where a usage object tells parts of its totals: (holder, field, what `Seen` calls it), in chat completions, responses
#: and, for thinking, messages. What Anthropic tells of its cache is read by `anthropic_stream.Meter`.
_PARTS: Final = (
    ("prompt_tokens_details", "cached_tokens", "cached_tokens"),
    ("prompt_tokens_details", "cache_write_tokens", "cache_write_tokens"),
    ("prompt_tokens_details", "audio_tokens", "audio_input_tokens"),
    ("input_tokens_details", "cached_tokens", "cached_tokens"),
    ("input_tokens_details", "cache_write_tokens", "cache_write_tokens"),
    ("input_tokens_details", "audio_tokens", "audio_input_tokens"),
    ("completion_tokens_details", "reasoning_tokens", "reasoning_tokens"),
    ("completion_tokens_details", "audio_tokens", "audio_output_tokens"),
    ("output_tokens_details", "reasoning_tokens", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens", "reasoning_tokens"),
    ("output_tokens_details", "audio_tokens", "audio_output_tokens"),
)
#: Why streams fail, as records tell it.
BROKE_OFF: Final = "stream without an end"
TOLD_ERROR: Final = "error told in the stream"
#: More than any model's context, or any answer; what exceeds it is no count.
_MOST_TOKENS: Final = 10**9


@dataclass(slots=True)
class Seen:
    """What an answer told about itself so far. Details are parts of the two totals."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0  # of input: read from the provider's cache
    cache_write_tokens: int = 0  # of input: written to it
    audio_input_tokens: int = 0
    reasoning_tokens: int = 0  # of output
    audio_output_tokens: int = 0
    text_chars: int = 0  # characters of model text that came from upstream; the estimate when usage is missing
    running: Running | None = None  # counts that text, where anybody needs to know its tokens while it comes
    lost: str = ""  # what of it has no word in the caller's dialect
    failed: str = ""  # why a stream counts as failed: it ended in an error, or without its dialect's end

    def say(self, text: str) -> None:
        """Model text came from upstream."""
        self.text_chars += len(text)
        if self.running is not None:
            self.running.push(text)

    def read(self, usage: Any) -> None:
        """Take token counts from a provider's `usage` object; anything that is not one is ignored."""
        if not isinstance(usage, dict):
            return
        for name in ("prompt_tokens", "input_tokens"):
            if counts(usage.get(name)):
                self.input_tokens = usage[name]
        for name in ("completion_tokens", "output_tokens"):
            if counts(usage.get(name)):
                self.output_tokens = usage[name]
        for holder, name, own in _PARTS:
            details = usage.get(holder)
            if type(details) is dict and counts(details.get(name)):
                setattr(self, own, details[name])
        if counts(usage.get("prompt_cache_hit_tokens")):  # DeepSeek
            self.cached_tokens = usage["prompt_cache_hit_tokens"]
        self._add_reasoning(usage.get("total_tokens"))

    def _add_reasoning(self, total: Any) -> None:
        """Some servers leave reasoning out of the output and bill it all the same: their total tells (xAI)."""
        if self.input_tokens is None or self.output_tokens is None or not self.reasoning_tokens:
            return
        if type(total) is int and total == self.input_tokens + self.output_tokens + self.reasoning_tokens:
            self.output_tokens += self.reasoning_tokens


class StreamGuard(Protocol):
    """The guard of one event stream."""

    blocked: str | None  # the rule that ended the stream, once one did
    over: bool  # whether its last event, or an error in its place, was told: clients leave then

    def feed(self, frames: list[Frame]) -> bytes:
        """Guarded bytes that may leave now. Raises GatewayError for events that cannot be understood."""
        ...

    def finish(self) -> bytes:
        """What is still held, at the end of the bytes; and an error, where the stream did not come to its end."""
        ...

    def cut(self, error: GatewayError) -> bytes:
        """The dialect's error event and terminator. Held text is dropped."""
        ...

    def instead(self, text: str) -> bytes | None:
        """Events that say `text` and end the stream; None where the dialect has no such end. Held text is dropped."""
        ...


class Fixed:
    """What doors share whose one path says nothing of the request, and whose words every reader knows."""

    path: str

    @property
    def front(self) -> str:
        """See `Door`."""
        return self.path

    def at(self, name: str) -> str:
        """See `Door`."""
        del name
        return self.path

    def plain(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Door`."""
        return body


class Door(Protocol):
    """One front door. Immutable, and stateless but for what its path says."""

    path: str  # the route's, as policies call it
    dialect: Dialect
    versions: "Versions"
    #: The field that says how many output tokens a request may have; "" where there is no output to bound.
    cap_field: str
    #: Others that mean the same to every server of this route.
    cap_spellings: frozenset[str]

    @property
    def front(self) -> str:
        """The client's path, without query."""
        ...

    def at(self, name: str) -> str:
        """Where a server of the same dialect takes such requests for a model that it calls `name`; with query."""
        ...

    def plain(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request with its settings in words that every reader of requests knows, beside its own. Never written."""
        ...

    def prompts(self, body: dict[str, Any]) -> int:
        """How many texts the request asks to have continued."""
        ...

    def open(self, body: dict[str, Any]) -> Opened:
        """Check the shape as far as guarding needs it, and read the facts. Raises REQUEST_INVALID with the field."""
        ...

    def positions(self, body: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
        """The texts that a model would take as said to it, with who said them. Not the tenant's own."""
        ...

    def as_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request as chat completions writes it, as far as counts and a tenant's bounds read it.

        That is `messages` with their roles and parts, and `tools` with their names; the system prompt comes first.
        """
        ...

    def sealed(self, tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Objects of a request or JSON answer whose strings must pass unchanged or not at all."""
        ...

    def splice_usage(self, raw: bytes, body: dict[str, Any]) -> bytes | None:
        """The client's own bytes with a request for usage put in, or None when that needs `force_usage`."""
        ...

    def force_usage(self, body: dict[str, Any]) -> None:
        """Make the provider report usage, in the parsed tree."""
        ...

    def stream(self, guard: Guard, tally: Tally, seen: Seen, *, show_usage: bool) -> StreamGuard:
        """A guard for one answer stream."""
        ...

    def instead(self, text: str, shell: dict[str, Any], seen: Seen) -> dict[str, Any] | None:
        """A whole answer that says `text`, named by `shell`; None where answers say nothing."""
        ...

    def answer(self, tree: dict[str, Any], seen: Seen, unknown: "Unknown") -> bool:
        """Read usage and text length of a JSON answer; drop what would bypass the guard, and say whether one did.

        What is of no kind that the door knows is for `unknown` to let pass.
        """
        ...


def counts(value: Any) -> bool:
    """Whether a value can be a number of tokens."""
    return type(value) is int and 0 <= value <= _MOST_TOKENS


def break_off(stream: StreamGuard, seen: Seen, held: bytes) -> bytes:
    """The last bytes of a stream without its dialect's end: clients would take what came for a whole answer."""
    if stream.blocked is not None:
        return b""
    seen.failed, stream.over = BROKE_OFF, True
    return held + stream.cut(
        GatewayError(Kind.BACKEND_ANSWER_INVALID, "The model's answer broke off.", cause=BROKE_OFF)
    )


def invalid(param: str, expected: str) -> GatewayError:
    """A REQUEST_INVALID that names the field and what belongs there, never what was there."""
    return GatewayError(Kind.REQUEST_INVALID, f"'{param}' must be {expected}.", param=param)


def check_spelling(body: dict[str, Any], fields: frozenset[str]) -> None:
    """Refuse fields that some readers take for one of `fields`: Go's, for one, do not mind case."""
    for name in body:
        if name not in fields and name.casefold() in fields:
            raise invalid(name.casefold(), "written in lower case, as here")


def require_str(body: dict[str, Any], name: str, limit_chars: int) -> str:
    """`body[name]` as a non-empty string within bounds."""
    value = body.get(name)
    if type(value) is not str or not 0 < len(value) <= limit_chars:
        raise invalid(name, f"a string of 1 to {limit_chars} characters")
    return value


def require_bool(body: dict[str, Any], name: str) -> bool:
    """`body[name]` as a boolean, False when absent or null."""
    value = body.get(name)
    if value is None:
        return False
    if type(value) is not bool:
        raise invalid(name, "true or false")
    return value
