"""The expressions compiled, and one pass of them over a text. Knows the engine; what it looks for is `expressions`."""

from functools import cache
from typing import Final

import hyperscan

from extproc.detectors.content.classes import CLASSES
from extproc.detectors.content.expressions import CONTEXTS, EXPRESSIONS

#: Characters in which terms belong together: two or three sentences. What one window cuts stands whole in the next.
WINDOW_CHARS: Final = 320
STRIDE_CHARS: Final = 224
#: Evidence that is worth a second look: two weak terms are not.
DOUBTFUL: Final = 2.5
Evidence = tuple[float, ...]
NOTHING: Final[Evidence] = (0.0,) * len(CLASSES)
_Rule = tuple[tuple[int, ...], float, tuple[int, ...]]


@cache
def _compiled() -> tuple[hyperscan.Database, list[list[_Rule]]]:
    """The expressions compiled, and by the last part of each rule: places, weight, the other parts.

    Once a process: it takes seconds. What it gives is never changed.
    """
    rules = (*EXPRESSIONS, *CONTEXTS)
    sources = sorted({part for _, _, parts in rules for part in parts})
    number = {source: at for at, source in enumerate(sources)}
    by_last: list[list[_Rule]] = [[] for _ in sources]
    for places, weight, parts in rules:
        *others, last = [number[part] for part in parts]
        by_last[last].append((places, weight, tuple(others)))
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[source.encode() for source in sources],
        ids=list(range(len(sources))),
        flags=hyperscan.HS_FLAG_SINGLEMATCH,  # one report an expression: hostile text cannot fire each byte
    )
    return database, by_last


class Lexicon:
    """All expressions, with a scratch space of its own. Not for concurrent threads: the space belongs to one scan."""

    __slots__ = ("_hits", "_match", "_rules", "_scratch")

    def __init__(self) -> None:
        database, self._rules = _compiled()
        self._scratch: Final = hyperscan.Scratch(database)
        self._match: Final = database.scan
        self._hits: Final[set[int]] = set()

    def scan(self, low: str) -> Evidence:
        """Evidence for each class in a normalised text, of the window with most of it; never below zero.

        The whole text is tried as if it were one window: mostly it holds too little to be worth cutting up. Contexts
        count only where they stand: prevention in one paragraph excuses nothing in another.
        """
        whole, most = self._window(low)
        if len(low) <= WINDOW_CHARS or most < DOUBTFUL:
            return whole
        worst = NOTHING
        for start in range(0, len(low) - WINDOW_CHARS + STRIDE_CHARS, STRIDE_CHARS):
            found, _ = self._window(low[start : start + WINDOW_CHARS])
            if found is not NOTHING:
                worst = tuple(map(max, worst, found))
        return worst

    def _window(self, low: str) -> tuple[Evidence, float]:
        """Evidence of one window, and what one class had most of before contexts took theirs."""
        hits = self._hits
        hits.clear()
        self._match(low.encode("utf-8", "replace"), self._on_hit, scratch=self._scratch)
        if not hits:
            return NOTHING, 0.0
        evidence, against = [0.0] * len(CLASSES), [0.0] * len(CLASSES)
        for hit in hits:
            for places, weight, others in self._rules[hit]:
                if not others or hits.issuperset(others):
                    side = evidence if weight > 0 else against
                    for place in places:
                        side[place] += weight
        return tuple([max(has + less, 0.0) for has, less in zip(evidence, against, strict=True)]), max(evidence)

    def _on_hit(self, expression: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        self._hits.add(expression)
