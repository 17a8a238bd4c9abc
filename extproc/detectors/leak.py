"""A system prompt that comes back: windows of its words, as hashes, and where they stand in an answer. Keeps no text.

A window begins at a word and takes in as many as make up WINDOW_LETTERS letters and digits. What is between words does
not count, neither do case, accents, look-alike letters nor invisible characters; so Markdown, other punctuation and
other line ends change nothing. A finding is one window, so a run that goes on is many findings that overlap, and the
guard makes one region of them.
"""

import re
from collections.abc import Iterable
from typing import Final

from extproc.detectors.injection.normalise import latin
from extproc.guardrails.finding import Finding
from extproc.guardrails.rule import Rule, Shape

RULE_ID: Final = "leak.system_prompt"
#: About nine words of English. Measured in docs/detectors.md: shorter runs are phrases that anybody writes.
WINDOW_LETTERS: Final = 40
#: Longest window as it stands in an answer, gaps included, and so the most that waits for its end.
WINDOW_CHARS: Final = 200
#: A longer word is none, and no window reaches over it: it may be an encoding, and its beginning may be out of sight.
_WORD_CHARS: Final = 40
#: Words of a prompt that are watched, 300 bytes each. Longer ones hold documents, which an answer may well repeat.
PROMPT_WORDS: Final = 1500
#: Text that is read for them; longer words are none of any prompt's.
_PROMPT_CHARS: Final = 32 * 1024
#: A character of a script without spaces is a word, and tells as much as this many letters.
_UNSPACED_LETTERS: Final = 3
_UNSPACED: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_IDEOGRAPHS: Final = ("\u3400", "\u9fff")
_INVISIBLE: Final = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[{_INVISIBLE}])*")
_ASCII_TOKEN: Final = re.compile(r"[a-z0-9]+")
OPEN_END: Final = re.compile(rf"(?:[^\W_{_UNSPACED}]|[{_INVISIBLE}])\Z")
#: Words that tell whether a window may begin, before it is whole.
_BEGINNING: Final = 3


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

    def window(self, at: int) -> int:
        """Behind the last word of the window that begins at `at`; 0 where there is none."""
        letters = 0
        for stop in range(at, len(self.letters)):
            count = self.letters[stop]
            if not count:
                return 0
            letters += count
            if letters >= WINDOW_LETTERS:
                return stop + 1
        return 0

    def hashed(self, at: int, stop: int) -> int:
        """A number for the words [at, stop). Another process has other numbers."""
        return hash(tuple(self.folded[at:stop]))


class Canary:
    """The windows of one exchange's system prompts. Immutable."""

    __slots__ = ("_beginnings", "_firsts", "_windows")

    def __init__(self, prompts: Iterable[str]) -> None:
        windows: set[int] = set()
        firsts: set[int] = set()
        beginnings: set[int] = set()
        left = PROMPT_WORDS
        for prompt in prompts:
            words = Words(prompt[:_PROMPT_CHARS])
            for at in range(min(left, len(words.folded))):
                stop = words.window(at)
                if stop:
                    windows.add(words.hashed(at, stop))
                    firsts.add(hash(words.folded[at]))
                    beginnings.update([words.hashed(at, end) for end in range(at + 2, 1 + min(at + _BEGINNING, stop))])
            left -= min(left, len(words.folded))
        self._windows: Final = frozenset(windows)
        self._firsts: Final = frozenset(firsts)
        self._beginnings: Final = frozenset(beginnings)

    def __bool__(self) -> bool:
        """Whether there is anything to watch for: a shorter prompt has no window."""
        return bool(self._windows)

    def scan(self, text: str, most: int) -> list[Finding]:
        """Every window of the prompt in `text`, in order; no more than one beyond `most`."""
        words = Words(text)
        found: list[Finding] = []
        for at, word in enumerate(words.folded):
            if len(found) > most:
                break
            if hash(word) in self._firsts and self._may_begin(words, at, len(words.folded)):
                stop = words.window(at)
                if stop and words.hashed(at, stop) in self._windows:
                    start, end = words.spans[at][0], words.spans[stop - 1][1]
                    if end - start <= WINDOW_CHARS:
                        found.append(Finding(RULE_ID, start, end))
        return found

    def undecided_from(self, text: str) -> int:
        """First index from which a window may still grow if more text follows; len(text) where none can."""
        base = max(0, len(text) - WINDOW_CHARS)
        words = Words(text[base:])
        whole = len(words.folded)  # of these words it is known where they end
        if whole and words.spans[-1][1] == len(text) - base and OPEN_END.search(text):
            whole -= 1
        first, letters = len(text), 0
        for at in range(len(words.folded) - 1, -1, -1):
            letters += words.letters[at] if at < whole else 0
            if not words.letters[at] or letters >= WINDOW_LETTERS:
                break  # what begins here or before is a whole window, or none
            if at >= whole or (hash(words.folded[at]) in self._firsts and self._may_begin(words, at, whole)):
                first = base + words.spans[at][0]
        return first

    def _may_begin(self, words: Words, at: int, stop: int) -> bool:
        """Whether a window may begin with words[at:stop], whose first is known to begin one."""
        letters = words.letters[at]
        for end in range(at + 2, 1 + min(at + _BEGINNING, stop)):
            if letters >= WINDOW_LETTERS:
                break
            if words.hashed(at, end) not in self._beginnings:
                return False
            letters += words.letters[end - 1]
        return True


#: Found by the exchange's own canary (`Scanner.watching`), never by a trigger.
SYSTEM_PROMPT: Final = Rule(
    id=RULE_ID,
    placeholder="[SYSTEM_PROMPT]",
    triggers=(),
    find=lambda _text, _end: (),
    before_chars=1,
    shapes=(Shape(limit_chars=WINDOW_CHARS, alphabet="", opens=""),),
)
