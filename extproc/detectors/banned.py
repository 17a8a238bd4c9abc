"""Words and phrases that a tenant bans from answers: where they stand, in any case, between words. Judges nothing else.

They are compared word by word, as system prompts are (`extproc.detectors.words`): look-alike letters, accents and
invisible characters do not hide them, and whatever stands between the words of a phrase does not either. Lists of
requests, which only ask whether, are `extproc.detectors.terms`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from extproc.detectors.words import WINDOW_CHARS, Tail, Words
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
        starts = [at for at, word in enumerate(words.folded) if word in self._by_first]
        return words.runs(starts, lambda at: self._terms_at(words, at), most)

    def undecided_from(self, text: str) -> int:
        """First index from which a term may still grow if more text follows; len(text) where none can."""
        tail = Tail(text)
        words, whole = tail.words, tail.whole
        first = tail.start(whole) if whole < len(words.folded) and words.letters[whole] else len(text)
        for at in range(whole - 1, -1, -1):
            if words.folded[at] in self._by_first and tuple(words.folded[at:whole]) in self._beginnings:
                first = tail.start(at)
        return first

    def _terms_at(self, words: Words, at: int) -> Iterator[tuple[str, int]]:
        for term, rule in self._by_first[words.folded[at]]:
            stop = at + len(term)
            if tuple(words.folded[at:stop]) == term:
                yield rule, stop


def _rule(name: str) -> Rule:
    return Rule(
        id=name,
        placeholder="[REMOVED]",
        triggers=(),
        find=lambda _text, _end: (),
        before_chars=1,
        shapes=(Shape(limit_chars=WINDOW_CHARS, alphabet="", opens=""),),
    )
