"""What the gateway asks an adviser about texts, and what it may be told: both sides of one JSON contract. No I/O.

An adviser is any process that judges texts over HTTP: our own (`ostiary analyse`) or somebody else's. What it says is
data from outside: everything is bounded and checked against the question before anything acts on it.
"""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

SCHEMA: Final = "ostiary.advice/1"
PATH: Final = "/v1/advice"
#: Engines of our own process, each under its own path with its own queue.
INJECTION: Final = "injection"
NER: Final = "ner"

TEXTS_MAX: Final = 1024  # what a request of the largest schema has in messages and tools, with room
QUESTION_MAX_BYTES: Final = 4 * 1024 * 1024  # the largest body that the gateway takes, once more for escapes
ANSWER_MAX_BYTES: Final = 1024 * 1024  # 4,096 findings of 250 bytes
FINDINGS_MAX: Final = 4096  # beyond, a text is a list of names: whoever reads an answer has said enough
DEADLINE_MAX_MS: Final = 60_000  # nobody waits longer for a verdict; a larger number is a mistake

Schema = Literal["ostiary.advice/1"]  # without a default: an answer that lacks it is another program's
Provenance = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
#: A rule's id as policies name it: two or more words with dots between.
RuleId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)+$", max_length=64)]
Identifier = Annotated[str, Meta(max_length=128)]
Count = Annotated[int, Meta(ge=0, le=QUESTION_MAX_BYTES)]


class AdviceError(ValueError):
    """Not the contract. Says where, never what stood there."""


class Text(Struct, frozen=True, kw_only=True):
    """One text to judge, and where its words come from (`extproc.detectors.injection.provenance`)."""

    provenance: Provenance
    text: str


class Question(Struct, frozen=True, kw_only=True):
    """Some texts of one request or answer. What is found out after `deadline_ms` nobody reads."""

    schema: Schema
    request_id: Identifier
    tenant: Identifier
    direction: Literal["request", "response"]
    texts: Annotated[tuple[Text, ...], Meta(max_length=TEXTS_MAX)]
    deadline_ms: Annotated[int, Meta(ge=1, le=DEADLINE_MAX_MS)]


class Advised(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding in the text of that number. `start` and `end` are characters (code points); None: the whole text."""

    rule: RuleId
    text: Count
    score: Annotated[float, Meta(ge=0, le=1)]
    start: Count | None = None
    end: Count | None = None


class Advice(Struct, frozen=True, kw_only=True):
    """The answer. `partial` numbers the texts that were not judged to their end: silence about them says nothing."""

    schema: Schema
    findings: Annotated[tuple[Advised, ...], Meta(max_length=FINDINGS_MAX)] = ()
    partial: Annotated[tuple[Count, ...], Meta(max_length=TEXTS_MAX)] = ()


_QUESTIONS: Final = msgspec.json.Decoder(Question)
_ADVICE: Final = msgspec.json.Decoder(Advice)
_ENCODER: Final = msgspec.json.Encoder()
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def write_question(question: Question) -> bytes:
    """A question as it is sent. Half a surrogate pair, which UTF-8 cannot write, becomes "?": places stay the same."""
    try:
        return _ENCODER.encode(question)
    except UnicodeEncodeError:
        texts = tuple(msgspec.structs.replace(each, text=_SURROGATE.sub("?", each.text)) for each in question.texts)
        return _ENCODER.encode(msgspec.structs.replace(question, texts=texts))


def read_question(raw: bytes) -> Question:
    """The question in a body of at most `QUESTION_MAX_BYTES`.

    Raises:
        AdviceError: not the contract.
    """
    if len(raw) > QUESTION_MAX_BYTES:
        raise AdviceError("too large")
    try:
        return _QUESTIONS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        raise _refused(failure) from None


def write_advice(advice: Advice) -> bytes:
    """An answer as it is sent."""
    return _ENCODER.encode(advice)


def read_advice(raw: bytes, question: Question) -> Advice:
    """The answer to `question`: every finding is about a text that was asked about, and lies inside it.

    Raises:
        AdviceError: not the contract; nothing of it is to be believed.
    """
    if len(raw) > ANSWER_MAX_BYTES:
        raise AdviceError("too large")
    try:
        found = _ADVICE.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        raise _refused(failure) from None
    for number, finding in enumerate(found.findings):
        if not _inside(finding, question):
            raise AdviceError(f"outside of what was asked at $.findings[{number}]")
    if any(number >= len(question.texts) for number in found.partial):
        raise AdviceError("outside of what was asked at $.partial")
    return found


def _inside(finding: Advised, question: Question) -> bool:
    if finding.text >= len(question.texts):
        return False
    if finding.start is None or finding.end is None:
        return finding.start is finding.end
    return finding.start < finding.end <= len(question.texts[finding.text].text)


def _refused(failure: Exception) -> AdviceError:
    """Only the place: the library's message may quote a value."""
    if not isinstance(failure, msgspec.ValidationError):
        return AdviceError("not JSON in UTF-8")
    _, at, place = str(failure).rpartition(" - at ")
    return AdviceError(f"unexpected value at {place.strip('`')}" if at else "unexpected value")
