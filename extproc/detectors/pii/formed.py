"""Two ways to describe an entity in a few lines: by its form alone, or by a label before it. Finds nothing itself."""

import re
from collections.abc import Callable, Iterator
from string import ascii_letters, digits
from typing import Final

from extproc.guardrails.rule import Rule, Shape

Accept = Callable[[str], bool]

ALNUM: Final = ascii_letters + digits
#: Not inside a longer word or number.
_BEFORE: Final = r"(?<![0-9A-Za-z])"
_AFTER: Final = r"(?![0-9A-Za-z])"
_BEFORE_TRIGGER: Final = rb"(?:^|[^0-9A-Za-z])"

#: What stands between a label and its value: a few small words, then a few signs. Quotes are there for JSON in text.
_JOINT_WORDS: Final = r"(?:[ _-]?(?:no|nr|num|number|id|code|is|was|on))"
_JOINT_SIGNS: Final = r"[][ .:=#\"'`(<>*|_\n\t-]"
_JOINT: Final = rf"{_JOINT_WORDS}{{0,2}}{_JOINT_SIGNS}{{1,6}}"
#: Longest label and what may stand behind it, in characters: two words of seven, and six signs.
_LABEL_CHARS: Final = 28
LABEL_BEFORE_CHARS: Final = _LABEL_CHARS + 2 * 7 + 6


def _always(_value: str) -> bool:
    return True


def formed(
    rule: str,
    placeholder: str,
    *,
    trigger: bytes,
    trigger_chars: int,
    pattern: str,
    limit_chars: int,
    alphabet: str,
    opens: str,
    accept: Accept = _always,
    opening: re.Pattern[str] | None = None,
) -> Rule:
    """An entity that its form tells. `trigger` matches its first `trigger_chars` characters, or fewer of them.

    `pattern` matches the whole entity, at most `limit_chars - 1`: one more is read to see that it ends.
    """
    body = re.compile(rf"{_BEFORE}(?:{pattern}){_AFTER}")

    def find(text: str, end: int) -> Iterator[tuple[int, int]]:
        for start in range(max(0, end - trigger_chars), end):
            match = body.match(text, start, start + limit_chars)
            if match is not None and accept(match.group()):
                yield match.span()

    return Rule(
        id=rule,
        placeholder=placeholder,
        triggers=(_BEFORE_TRIGGER + trigger,),
        find=find,
        before_chars=1,
        shapes=(Shape(limit_chars=limit_chars, alphabet=alphabet, opens=opens, opening=opening),),
    )


def labelled(
    rule: str,
    placeholder: str,
    *,
    labels: tuple[str, ...],
    pattern: str,
    limit_chars: int,
    alphabet: str = ALNUM + "-",
    opens: str = ALNUM,
    accept: Accept = _always,
    opening: re.Pattern[str] | None = None,
) -> Rule:
    """An entity that only its label tells from any other number: "Passport no: X1234567"."""
    if any(len(label) > _LABEL_CHARS for label in labels):
        raise ValueError(f"{rule}: a label is longer than {_LABEL_CHARS} characters")
    names = "|".join(sorted(labels, key=len, reverse=True))
    ahead = re.compile(rf"{_BEFORE}(?:{names}){_JOINT}\Z", re.IGNORECASE)
    body = re.compile(rf"(?:{pattern}){_AFTER}")

    def find(text: str, end: int) -> Iterator[tuple[int, int]]:
        start = end - 1
        match = body.match(text, start, start + limit_chars)
        if match is None or not accept(match.group()):
            return
        if ahead.search(text[max(0, start - LABEL_BEFORE_CHARS) : start]):
            yield match.span()

    first = "".join(sorted(set(opens)))
    trigger = rb"(?i)(?:^|[^0-9a-z])(?:%b)%b[%b]" % (names.encode(), _JOINT.encode(), re.escape(first).encode())
    return Rule(
        id=rule,
        placeholder=placeholder,
        triggers=(trigger,),
        find=find,
        before_chars=LABEL_BEFORE_CHARS,
        shapes=(Shape(limit_chars=limit_chars, alphabet=alphabet, opens=opens, opening=opening),),
    )
