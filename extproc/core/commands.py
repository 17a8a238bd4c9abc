"""What an exchange wants done. Frozen, closed union `Command`; the pump performs each in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from extproc.core.heard import Heard
from extproc.core.questions import Question
from gateway.audit.record import Record
from gateway.budgets.model import Amounts
from gateway.errors import Rendered
from gateway.identity import Caller
from gateway.policy.copies import Mirror


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """Header edits: every name in `remove` goes first, then `put` overwrites or adds."""

    put: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PassRequestHead:
    """Let request headers go on to the next filter (the body is still held by Envoy)."""


@dataclass(frozen=True, slots=True)
class PassRequestBody:
    """Let the request go upstream. `body` None leaves Envoy's buffered bytes untouched."""

    change: HeaderChange
    body: bytes | None
    metadata: Mapping[str, str]  # written to contract.OSTIARY_NAMESPACE


@dataclass(frozen=True, slots=True)
class PassResponseHead:
    """Let response headers go to the client, changed."""

    change: HeaderChange


@dataclass(frozen=True, slots=True)
class SendBody:
    """Send bytes of the answer. With `end_of_stream` the client's stream ends and Envoy closes the upstream."""

    body: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class PassResponseTrailers:
    """Let response trailers end the answer, without the named ones."""

    remove: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in place of the upstream (ImmediateResponse): a refusal, or a page that the gateway owns."""

    rendered: Rendered
    details: str  # for Envoy's access log: the error code, no spaces


@dataclass(frozen=True, slots=True)
class Copy:
    """Send this to a mirror, if it has room: nobody waits for it, and nothing comes of it but a record and counts."""

    mirror: Mirror
    caller: Caller
    model: str
    path: str  # the front door's
    body: bytes = field(repr=False)  # as it leaves for the backend, in the caller's dialect
    tokens_in: int  # roughly
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask others, all at once; the pump brings every reply, or that there is none, back as one `Answered`."""

    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """Hand the audit record over. Exactly one in the life of an exchange."""

    record: Record


@dataclass(frozen=True, slots=True)
class Settle:
    """Charge what was set aside; `used` None: nothing went upstream. Exactly one for each reservation."""

    used: Amounts | None


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep an answer that ended, if it may be kept: whoever does it judges that, when the caller has the answer."""

    answer: Heard


Command = (
    PassRequestHead
    | PassRequestBody
    | PassResponseHead
    | SendBody
    | PassResponseTrailers
    | Answer
    | Copy
    | Ask
    | Put
    | Settle
    | Keep
)
