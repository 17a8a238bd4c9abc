"""The audit record of one exchange: who, what, which decisions, what it cost. Pure; never holds prompt text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

SCHEMA: Final = "ostiary.audit/0"
#: `Record.writer` of a copy of a request that went to a mirror: never of a charge.
MIRROR: Final = "mirror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How often one rule fired in one direction, and what policy did about it. Never the matched text."""

    rule: str
    direction: str  # "request" | "response"
    count: int
    action: str  # what was done: an action's name; to a placeholder in an answer "restore", or "keep" where it stayed
    would: str  # what policy asks for, also in shadow mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one exchange. `source` is "provider" or "estimate". The details are parts of the two totals."""

    input_tokens: int = 0
    output_tokens: int = 0
    source: str = "estimate"
    cached_tokens: int = 0  # of input: read from the provider's cache
    cache_write_tokens: int = 0  # of input: written to it
    audio_input_tokens: int = 0
    reasoning_tokens: int = 0  # of output
    audio_output_tokens: int = 0
    cost_micros: int | None = None  # millionths of `currency`, by the policy's prices; None: it has none
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finished exchange. Times are unix seconds; sizes are bytes."""

    writer: str  # "authz" | "inspect" | "mirror": which service put it on record
    request_id: str
    started_at: float
    duration_s: float
    tenant: str = ""
    principal: str = ""
    key_id: str = ""
    policy: str = ""
    method: str = ""
    path: str = ""
    model: str = ""
    backend: str = ""
    status: int = 0
    outcome: str = ""  # "completed" | "refused" | "cut" | "aborted" | "failed"
    code: str = ""  # stable error code where the gateway refused or cut
    reason: str = ""  # for operators: why, without request text
    streamed: bool = False
    request_bytes: int = 0
    answer_bytes: int = 0
    found: tuple[Found, ...] = ()
    usage: Usage | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> bytes:
        """One JSON object, newline terminated: the form on disk."""
        return orjson.dumps({"schema": SCHEMA, **_fields(self)}, option=orjson.OPT_APPEND_NEWLINE)


def _fields(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in _NAMES}


_NAMES: Final = tuple(Record.__dataclass_fields__)
