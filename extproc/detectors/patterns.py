"""A tenant's regular expressions on answers, run by Hyperscan: where they match, and where one may still grow.

Linear in the text whatever the pattern is. Of several matches that begin at one place the longest counts.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import hyperscan

from extproc.detectors.banned import FAMILY
from extproc.guardrails.finding import Finding
from extproc.guardrails.rule import Rule, Shape
from gateway.policy.pattern import Pattern, PatternError, read_pattern

#: A match is reported without them at its ends: in JSON they would take its form away.
_FORM: Final = ",:{}[] \t\r\n"
_KEPT: Final = 256  # sets of patterns that stay compiled; tenants reload with the ones they had


class Patterns:
    """A tenant's expressions, by rule. Not for concurrent threads: Hyperscan's scratch space belongs to one scan."""

    __slots__ = ("_database", "_names", "_runs", "_scratch", "rules")

    def __init__(self, patterns: Mapping[str, str]) -> None:
        read = [(f"{FAMILY}.{name}", read_pattern(source)) for name, source in sorted(patterns.items())]
        self._names: Final = tuple(name for name, _ in read)
        self._runs: Final = tuple((re.compile(f"[{each.signs}]", _flag(each)), each.most) for _, each in read)
        self._database: Final = _compiled(tuple(each for _, each in read))
        self._scratch: Final = hyperscan.Scratch(self._database)
        self.rules: Final = tuple(_rule(name, each) for name, each in read)

    def scan(self, text: str, most: int) -> list[Finding]:
        """Every match in `text`, in order of their starts; one more than `most` where there are more than that."""
        data = text.encode("utf-8", "replace")  # a lone surrogate is one character, as in `text`, that matches nothing
        hits: list[tuple[int, int, int]] = []

        def on_hit(expression: int, start: int, end: int, _flags: int, _context: object) -> bool:
            hits.append((start, end, expression))
            return len(hits) > most

        try:
            self._database.scan(data, match_event_handler=on_hit, scratch=self._scratch)
        except hyperscan.ScanTerminated:
            return [Finding(self._names[0], 0, 1)] * (most + 1)
        if not hits:
            return []
        places = _characters({place for start, end, _ in hits for place in (start, end)}, data)
        longest: dict[tuple[int, str], int] = {}
        for begin, end, expression in hits:
            start, stop = places[begin], places[end]
            told = text[start:stop]
            start += len(told) - len(told.lstrip(_FORM))
            stop -= len(told) - len(told.rstrip(_FORM))
            if start < stop:
                key = (start, self._names[expression])
                longest[key] = max(longest.get(key, 0), stop)
        return [Finding(rule, start, stop) for (start, rule), stop in sorted(longest.items())]

    def undecided_from(self, text: str) -> int:
        """First index from which a match may still begin or grow if more text follows; len(text) where none can."""
        size = first = len(text)
        for signs, most in self._runs:
            at = size
            while at > max(0, size - most) and at - 1 >= 0 and signs.match(text, at - 1):
                at -= 1
            first = min(first, at)
        return first


def fault(source: str) -> str | None:
    """Why a pattern cannot be run, or None."""
    try:
        Patterns({"x": source})
    except PatternError as error:
        return str(error)
    except hyperscan.error:
        return "too large for the engine"
    return None


def _flag(pattern: Pattern) -> int:
    return re.IGNORECASE if pattern.caseless else 0


@lru_cache(_KEPT)
def _compiled(patterns: tuple[Pattern, ...]) -> hyperscan.Database:
    usual = hyperscan.HS_FLAG_SOM_LEFTMOST | hyperscan.HS_FLAG_UTF8
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[each.expression.encode() for each in patterns],
        ids=list(range(len(patterns))),
        flags=[usual | (hyperscan.HS_FLAG_CASELESS if each.caseless else 0) for each in patterns],
    )
    return database


def _characters(places: set[int], data: bytes) -> dict[int, int]:
    """Byte offsets to character offsets, in one pass."""
    if data.isascii():
        return {place: place for place in places}
    told: dict[int, int] = {}
    done = chars = 0
    for place in sorted(places):
        chars += len(data[done:place].decode())
        done = place
        told[place] = chars
    return told


def _rule(name: str, pattern: Pattern) -> Rule:
    return Rule(
        id=name,
        placeholder="[REMOVED]",
        triggers=(),
        find=lambda _text, _end: (),
        before_chars=pattern.most + 1,  # a match is told from its leftmost start
        shapes=(Shape(limit_chars=pattern.most, alphabet="", opens=""),),
    )
