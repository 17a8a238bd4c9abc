"""The words of a text as they are compared with others, and runs of them that stand in it. Knows no word itself.

What is between words does not count, neither do case, accents, look-alike letters nor invisible characters; so
Markdown, other punctuation and other line ends change nothing.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from extproc.detectors.injection.normalise import latin
from extproc.guardrails.finding import Finding

#: Longest run as it stands in a text, gaps included, and so the most that waits for its end.
WINDOW_CHARS: Final = 200
#: A longer word is none, and no run reaches over it: it may be an encoding, and its beginning may be out of sight.
_WORD_CHARS: Final = 40
#: A character of a script without spaces is a word, and tells as much as this many letters.
_UNSPACED_LETTERS: Final = 3
_UNSPACED: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_IDEOGRAPHS: Final = ("\u3400", "\u9fff")
_INVISIBLE: Final = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[{_INVISIBLE}])*")
_ASCII_TOKEN: Final = re.compile(r"[a-z0-9]+")
_OPEN_END: Final = re.compile(rf"(?:[^\W_{_UNSPACED}]|[{_INVISIBLE}])\Z")


class Words:
    """The words of a text: as they are compared, how many letters each has, and where it stands."""

    __slots__ = ("folded", "letters", "spans")

    def __init__(self, text: str) -> None:
        self.folded: Final[list[str]] = []
        self.letters: Final[list[int]] = []
        self.spans: Final[list[tuple[int, int]]] = []
        if text.isascii():  # the same, three times as fast
            for token in _ASCII_TOKEN.finditer(text.lower()):
                word = token.group()
                self._add(word, len(word), token.span())
            return
        for token in _TOKEN.finditer(text):
            word = token.group()
            letters = _UNSPACED_LETTERS if len(word) == 1 and not word.isascii() else len(word)
            if _IDEOGRAPHS[0] <= word <= _IDEOGRAPHS[1] and len(word) == 1:  # nothing to fold, and each is a word
                self._add(word, letters, token.span())
                continue
            self._add(word.lower() if word.isascii() else latin(word).replace(" ", ""), letters, token.span())

    def _add(self, word: str, letters: int, span: tuple[int, int]) -> None:
        self.folded.append(word)
        self.letters.append(letters if letters <= _WORD_CHARS else 0)
        self.spans.append(span)

    def runs(
        self, starts: Iterable[int], stops: Callable[[int], Iterable[tuple[str, int]]], most: int
    ) -> list[Finding]:
        """Runs in order of their starts, no more than those of one word beyond `most`.

        `starts`: places of words that may begin one. `stops`: of the runs that do begin there, the rule and the place
        behind the last word.
        """
        found: list[Finding] = []
        for at in starts:
            if len(found) > most:
                break
            start = self.spans[at][0]
            for rule, stop in stops(at):
                end = self.spans[stop - 1][1]
                if end - start <= WINDOW_CHARS:
                    found.append(Finding(rule, start, end))
        return found


class Tail:
    """The end of a text, as far back as a run that is not whole may begin."""

    __slots__ = ("_base", "whole", "words")

    def __init__(self, text: str) -> None:
        self._base: Final = max(0, len(text) - WINDOW_CHARS)
        self.words: Final = Words(text[self._base :])
        count = len(self.words.folded)
        grows = count and self.words.spans[-1][1] == len(text) - self._base and _OPEN_END.search(text)
        #: Of so many words it is known where they end; the one behind them, if there is one, may still grow.
        self.whole: Final = count - 1 if grows else count

    def start(self, at: int) -> int:
        """Where in the text a word begins."""
        return self._base + self.words.spans[at][0]
