"""Lists of words and phrases, found in texts in any case, form and script that looks alike. Pure.

Knows literals only. Linear in the texts' length; decides nothing.
"""

import re
from functools import lru_cache
from itertools import groupby, takewhile
from typing import Final

from extproc.detectors.injection.normalise import latin, plain


class Folded:
    """A text with its plain form and with look-alike letters folded; the same thrice for honest ASCII."""

    __slots__ = ("looks", "low", "text")

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self.low: Final = text if text.isascii() else plain(text)
        self.looks: Final = text if text.isascii() else latin(text)


class Terms:
    """One list, compiled. Terms stand between words."""

    __slots__ = ("_likeness", "_plain")

    def __init__(self, terms: tuple[str, ...]) -> None:
        self._plain: Final = _words({form for term in terms for form in (term, plain(term))})
        self._likeness: Final = _words({latin(term) for term in terms})

    def found(self, folded: Folded) -> bool:
        """Whether any term is in the text. Terms of another script are folded as the text is."""
        if self._plain.search(folded.text) is not None:
            return True
        if folded.low is folded.text:
            return False
        if self._plain.search(folded.low) is not None:
            return True
        return folded.looks != folded.low and self._likeness.search(folded.looks) is not None


@lru_cache(maxsize=1024)  # lists of all tenants; compiling one takes milliseconds
def compiled(terms: tuple[str, ...]) -> Terms:
    """The list, from memory after the first time."""
    return Terms(terms)


def _words(forms: set[str]) -> re.Pattern[str]:
    """An alternation of literals: no repeats but of a gap, so no backtracking beyond the longest term."""
    words = {" ".join(form.split()) for form in forms} - {""}
    if not words:
        return _NEVER
    return re.compile(rf"(?<!\w)(?:{_either(sorted(words))})(?!\w)", re.IGNORECASE)


_NEVER: Final = re.compile(r"(?!)")


def _either(words: list[str]) -> str:
    """Sorted words by their common beginnings: tried one by one, 2000 would cost seconds for each MiB of text."""
    least, most = words[0], words[-1]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(least, most, strict=False)))
    start = least[:same]
    tails = [word[same:] for word in words]
    literal = re.escape(start).replace("\\ ", r"\s{1,8}")
    if len(tails) == 1:
        return literal
    ends = [_either(list(group)) for _, group in groupby(tails, key=lambda tail: tail[:1])]
    return f"{literal}(?:{'|'.join(ends)})"
