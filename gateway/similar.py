"""What a worker asks the index of answered questions, and what it may be told: both sides of one JSON contract. No I/O.

The index (`ostiary analyse`, engine `similar`) tells under which name the answer to a like question may lie. It sees no
answer, and its word is not enough for one: the entry itself must say that it belongs where it was looked for.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.policy.kept import Likeness

SCHEMA: Final = "ostiary.similar/1"
PATH: Final = "/v1/similar"
#: What our own process calls the engine.
ENGINE: Final = "similar"

#: Characters of a question. What people ask in one breath is shorter, and longer ones are seldom asked again.
CHARS: Final = (16, 1000)
#: Answered questions of a tenant in one index, and of all tenants (1.2 kB each; 2.2 kB where each has its own place).
ENTRIES: Final = (1, 100_000)
QUESTION_MAX_BYTES: Final = 16 * 1024  # the longest question in escapes of six bytes, and its names
ANSWER_MAX_BYTES: Final = 1024
DEADLINE_MAX_MS: Final = 5000
LIFE_MAX_S: Final = 7 * 86_400  # of answers: gateway.policy.cache

Schema = Literal["ostiary.similar/1"]  # without a default: an answer that lacks it is another program's
#: HMACs in hex (`gateway.cache.seal`): they tell nothing of what was asked.
Name = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Identifier = Annotated[str, Meta(min_length=1, max_length=128)]
Words = Annotated[str, Meta(max_length=CHARS[1])]
Share = Annotated[float, Meta(ge=0, le=1)]


class SimilarError(ValueError):
    """Not the contract. Says nothing of what stood there."""


class Find(Struct, frozen=True, kw_only=True, tag_field="op", tag="find"):
    """Is there a question in the partition that is `text` in other words?"""

    schema: Schema
    tenant: Identifier
    partition: Name
    text: Words
    likeness: Likeness
    deadline_ms: Annotated[int, Meta(ge=1, le=DEADLINE_MAX_MS)]


class Put(Struct, frozen=True, kw_only=True, tag_field="op", tag="put"):
    """The answer to `text` lies under `name` for so long."""

    schema: Schema
    tenant: Identifier
    partition: Name
    name: Name
    text: Words
    life_s: Annotated[int, Meta(ge=1, le=LIFE_MAX_S)]
    entries: Annotated[int, Meta(ge=ENTRIES[0], le=ENTRIES[1])]  # most of the tenant


class Drop(Struct, frozen=True, kw_only=True, tag_field="op", tag="drop"):
    """There is no answer under `name` any more."""

    schema: Schema
    tenant: Identifier
    partition: Name
    name: Name


class Near(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to each of them. `name` is empty where nothing is near enough, and for `Put` and `Drop`."""

    schema: Schema
    name: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    likeness: Share = 0.0


Question = Find | Put | Drop
_QUESTIONS: Final[msgspec.json.Decoder[Question]] = msgspec.json.Decoder(Question)
_NEAR: Final = msgspec.json.Decoder(Near)
_ENCODER: Final = msgspec.json.Encoder()


def write(said: Question | Near) -> bytes:
    """As it is sent.

    Raises:
        SimilarError: a text with half a surrogate pair, which UTF-8 cannot write.
    """
    try:
        return _ENCODER.encode(said)
    except UnicodeEncodeError:
        raise SimilarError("not a text") from None


def read_question(raw: bytes) -> Question:
    """What is asked in a body of at most `QUESTION_MAX_BYTES`.

    Raises:
        SimilarError: not the contract.
    """
    if len(raw) > QUESTION_MAX_BYTES:
        raise SimilarError("too large")
    try:
        return _QUESTIONS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SimilarError("not the contract") from None


def read_near(raw: bytes) -> Near:
    """The answer.

    Raises:
        SimilarError: not the contract.
    """
    try:
        return _NEAR.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SimilarError("not the contract") from None
