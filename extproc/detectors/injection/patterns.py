"""The expressions compiled, and one pass of them over a text. Knows the engine; what it looks for is `expressions`."""

import re
from functools import cache
from typing import Final

import hyperscan

from extproc.detectors.injection.expressions import EXPRESSIONS, GATES
from extproc.detectors.injection.normalise import Opening, plain

_NON_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


@cache
def _compiled() -> hyperscan.Database:
    """Once a process: it takes a second. Never changed afterwards."""
    sources = [source for _, source in EXPRESSIONS] + [source for _, source in GATES]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[_folded(source).encode() for source in sources],
        ids=list(range(len(sources))),
        flags=hyperscan.HS_FLAG_SINGLEMATCH,  # one report an expression: hostile text cannot fire each byte
    )
    return database


class Patterns:
    """All expressions, with a scratch space of its own. Not for concurrent threads: the space belongs to one scan."""

    __slots__ = ("_hits", "_match", "_scratch")

    def __init__(self) -> None:
        database = _compiled()
        self._hits: list[int] = []
        self._scratch: Final = hyperscan.Scratch(database)
        self._match: Final = database.scan

    def scan(self, low: str) -> tuple[set[str], list[Opening]]:
        """Rules that fire in a normalised text, and openings that its shape makes worth trying."""
        self._hits.clear()
        self._match(low.encode("utf-8", "replace"), self._on_hit, scratch=self._scratch)
        if not self._hits:
            return set(), []
        rules = {EXPRESSIONS[hit][0] for hit in self._hits if hit < len(EXPRESSIONS)}
        gates = [GATES[hit - len(EXPRESSIONS)][0] for hit in sorted(self._hits) if hit >= len(EXPRESSIONS)]
        return rules, gates

    def _on_hit(self, expression: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        self._hits.append(expression)


def _folded(source: str) -> str:
    """Literals outside ASCII as `plain` folds them. ASCII is left alone: there case means syntax."""
    return source if source.isascii() else _NON_ASCII.sub(lambda run: plain(run[0]).strip(), source)
