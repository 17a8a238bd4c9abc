"""Words and phrases that a tenant bans from answers: where they stand, in any case, between words. Judges nothing else.

They are compared word by word, as system prompts are (`extproc.detectors.leak`): look-alike letters, accents and
invisible characters do not hide them, and whatever stands between the words of a phrase does not either. Lists of
requests, which only ask whether, are `extproc.detectors.terms`.
"""

from collections.abc import Mapping
from typing import Final

from extproc.detectors.leak import OPEN_END, WINDOW_CHARS, Words
from extproc.guardrails.finding import Finding
from extproc.guardrails.rule import Rule, Shape

FAMILY: Final = "banned"


class Banned:
    """A tenant's lists, by rule. Immutable."""

    __slots__ = ("_beginnings", "_by_first", "rules")

    def __init__(self, banned: Mapping[str, tuple[str, ...]]) -> None:
        self.rules: Final = tuple(_rule(f"{FAMILY}.{name}") for name in sorted(banned))
        by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        beginnings: set[tuple[str, ...]] = set()
        for name, terms in banned.items():
            for term in terms:
                words = tuple(Words(term).folded)
                by_first.setdefault(words[0], []).append((words, f"{FAMILY}.{name}"))
                beginnings.update([words[:count] for count in range(1, len(words))])
        self._by_first: Final = by_first
        self._beginnings: Final = frozenset(beginnings)

    def scan(self, text: str, most: int) -> list[Finding]:
        """Every term in `text`, in order of their starts; no more than those of one word beyond `most`."""
        words = Words(text)
        found: list[Finding] = []
        for at, word in enumerate(words.folded):
            if len(found) > most:
                break
            for term, rule in self._by_first.get(word, ()):
                stop = at + len(term)
                if tuple(words.folded[at:stop]) == term:
                    start, end = words.spans[at][0], words.spans[stop - 1][1]
                    if end - start <= WINDOW_CHARS:
                        found.append(Finding(rule, start, end))
        return found

    def undecided_from(self, text: str) -> int:
        """First index from which a term may still grow if more text follows; len(text) where none can."""
        base = max(0, len(text) - WINDOW_CHARS)
        words = Words(text[base:])
        whole = len(words.folded)  # of these words it is known where they end
        first = len(text)
        if whole and words.spans[-1][1] == len(text) - base and OPEN_END.search(text):
            whole -= 1
            if words.letters[whole]:
                first = base + words.spans[whole][0]
        for at in range(whole - 1, -1, -1):
            if words.folded[at] in self._by_first and tuple(words.folded[at:whole]) in self._beginnings:
                first = base + words.spans[at][0]
        return first


def _rule(name: str) -> Rule:
    return Rule(
        id=name,
        placeholder="[REMOVED]",
        triggers=(),
        find=lambda _text, _end: (),
        before_chars=1,
        shapes=(Shape(limit_chars=WINDOW_CHARS, alphabet="", opens=""),),
    )
