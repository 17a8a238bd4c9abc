"""Tokens of an answer while it comes: what is certain is counted once, only the last words are counted again. Pure."""

import unicodedata
from typing import Final

from extproc.counting.tokenizer import Tokenizer

#: Text is counted when so much has come: a call costs 0.3 us and 30 ns a character, most of it saved by waiting.
_STEP_CHARS: Final = 512
#: Text without any certain boundary (a base64 run, say) is cut here all the same, and a token is added for it.
_MOST_CHARS: Final = 4096
_LOOK_BACK_CHARS: Final = 256  # for a boundary: longer than words are
_BYTES_PER_CHAR: Final = 4  # the most in UTF-8, and no encoding has more tokens than bytes


class Running:
    """The count of one text that grows. `push` costs an append; whoever needs the exact number asks for it."""

    __slots__ = ("_chars", "_parts", "_pending", "_settled", "_tokenizer", "_wait", "_wide")

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._settled = 0  # tokens of the encoding in text that is counted for good
        self._chars = self._wide = 0  # of that text
        self._parts: list[str] = []  # not yet counted for good
        self._pending = 0  # characters in them
        self._wait = _STEP_CHARS  # characters that may pend before they are counted

    def push(self, text: str) -> None:
        """More text came."""
        self._parts.append(text)
        self._pending += len(text)
        if self._pending >= self._wait:
            self._settle()

    @property
    def at_most(self) -> int:
        """A bound that costs nothing: never below `tokens`."""
        return self._weigh(self._settled, self._chars, self._wide) + _BYTES_PER_CHAR * self._pending + 1

    @property
    def tokens(self) -> int:
        """Tokens of all text so far, as if it had come at once; one more for each cut without a boundary."""
        tail = self._settle()
        if not tail:
            return self._weigh(self._settled, self._chars, self._wide)
        raw = self._settled + self._tokenizer.raw(tail)
        return self._weigh(raw, self._chars + len(tail), self._wide + _wide(tail))

    def beyond(self, limit: int) -> bool:
        """Whether more than `limit` tokens have come. Counts only when they might have."""
        return self.at_most > limit and self.tokens > limit

    def _settle(self) -> str:
        """Count for good up to the last certain boundary; the rest, which is short, is returned and kept."""
        text = "".join(self._parts)
        cut = _boundary(text)
        if cut == 0 and len(text) >= _MOST_CHARS:
            cut = len(text)
            self._settled += 1
        if cut:
            self._settled += self._tokenizer.raw(text[:cut])
            self._chars += cut
            self._wide += _wide(text[:cut])
            text = text[cut:]
        self._parts = [text] if text else []
        self._pending = len(text)
        # Text that has shown no boundary yet is joined and looked at again only after as much again.
        self._wait = min(max(_STEP_CHARS, 2 * self._pending), _MOST_CHARS)
        return text

    def _weigh(self, raw: int, chars: int, wide: int) -> int:
        return self._tokenizer.weigh(raw, chars, wide)


def _boundary(text: str) -> int:
    """The last place where the encodings certainly split, or 0.

    Both split texts into words first, and a word of letters ends before what is neither letter, mark, digit nor
    apostrophe, whatever follows. Tokens never span two words, so the counts of both sides add up.
    """
    for at in range(len(text) - 1, max(len(text) - _LOOK_BACK_CHARS, 0), -1):
        if text[at - 1].isalpha() and _ends_word(text[at]):
            return at
    return 0


def _ends_word(char: str) -> bool:
    return char == " " or (char != "'" and unicodedata.category(char)[0] in "ZPSC")


def _wide(text: str) -> int:
    return 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text)
