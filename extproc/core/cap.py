"""The cap on output tokens that an obligation sets: what asks for more is refused, what asks for nothing gets it. Pure.

A request may ask for several answers, and a provider bills each: the cap is on their sum.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from extproc.providers.door import Door, check_spelling, invalid
from gateway.errors import GatewayError, Kind

#: What chat servers take for the limit (OpenAI's two; vLLM, TGI, llama.cpp and Ollama read some of the others from the
#: same body). Whoever found one that is not looked at would have no cap.
SPELLINGS: Final = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens"),
    *("max_new_tokens", "n_predict", "num_predict"),
)
_COUNTS: Final = ("n", "best_of")
_READ: Final = frozenset((*SPELLINGS, *_COUNTS))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says of its output."""

    caps: dict[str, int]  # by spelling, of each answer
    answers: int  # each is billed
    bounded: bool  # whether one of `caps` is a spelling that every server of the route knows


def wishes(body: dict[str, Any], door: Door) -> Wishes:
    """Every cap and count that some server would read.

    Raises:
        GatewayError: one has a form that readers do not agree on; -1, for one, is no end to llama.cpp.
    """
    body = door.plain(body)
    check_spelling(body, _READ)
    counts = [_whole(body, name) for name in _COUNTS]
    caps = {name: value for name in SPELLINGS if (value := _whole(body, name)) is not None}
    known = {door.cap_field, *door.cap_spellings}
    return Wishes(caps, max(1, *[count or 1 for count in counts]) * door.prompts(body), not known.isdisjoint(caps))


def cap(body: dict[str, Any], door: Door, most: int | None) -> tuple[str, int] | None:
    """The field and value to write into the request; None where it asks for no more than `most` by itself.

    Raises:
        GatewayError: it asks for more, or in a form that readers do not agree on.
    """
    if most is None or not door.cap_field:
        return None
    wanted = wishes(body, door)
    answers = wanted.answers
    each = most // answers
    for name, value in wanted.caps.items():
        if value > each:
            raise _too_much(door.cap_field if "." in door.cap_field else name, most, answers)
    if wanted.bounded:
        return None
    if each < 1:
        raise _too_much("n", most, answers)
    return door.cap_field, each


def splice(raw: bytes, field: str, value: bool | int) -> bytes:
    """Behind the first brace, so that every other byte of the client's body stays as it was."""
    start = raw.index(b"{") + 1
    written = orjson.dumps(put({}, field, value))
    return b"%b%b,%b" % (raw[:start], written[1:-1], raw[start:])


def put(tree: dict[str, Any], field: str, value: bool | int) -> dict[str, Any]:
    """Write a field into a request; `outer.inner` stands in an object of its own. The same tree."""
    outer, _, inner = field.rpartition(".")
    if outer:
        tree[outer] = {**(tree.get(outer) or {}), inner: value}
    else:
        tree[field] = value
    return tree


def _whole(body: dict[str, Any], name: str) -> int | None:
    """A positive whole number; null is absent, as the OpenAI API has it."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise invalid(name, "a whole number of at least 1")
    return value


def _too_much(name: str, most: int, answers: int) -> GatewayError:
    of = f", over all {answers} answers that it asks for" if answers > 1 else ""
    return GatewayError(
        Kind.MAX_TOKENS_EXCEEDED, f"You may ask for at most {most} output tokens in one request{of}.", param=name
    )
