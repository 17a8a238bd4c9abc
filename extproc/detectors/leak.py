"""A system prompt that comes back: windows of its words, as hashes, and where they stand in an answer. Keeps no text.

A window begins at a word (`extproc.detectors.words`) and takes in as many as make up WINDOW_LETTERS letters and digits.
A finding is one window, so a run that goes on is many findings that overlap, and the guard makes one region of them.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from extproc.detectors.words import WINDOW_CHARS, Tail, Words
from extproc.guardrails.finding import Finding
from extproc.guardrails.rule import Rule, Shape

RULE_ID: Final = "leak.system_prompt"
#: About nine words of English. Measured in docs/detectors.md: shorter runs are phrases that anybody writes.
WINDOW_LETTERS: Final = 40
#: Words of a prompt that are watched, 300 bytes each. Longer ones hold documents, which an answer may well repeat.
PROMPT_WORDS: Final = 1500
#: Text that is read for them; longer words are none of any prompt's.
_PROMPT_CHARS: Final = 32 * 1024
#: Words that tell whether a window may begin, before it is whole.
_BEGINNING: Final = 3


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
                stop = _window(words, at)
                if stop:
                    windows.add(_hashed(words, at, stop))
                    firsts.add(hash(words.folded[at]))
                    beginnings.update(
                        [_hashed(words, at, end) for end in range(at + 2, 1 + min(at + _BEGINNING, stop))]
                    )
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
        starts = [at for at, word in enumerate(words.folded) if hash(word) in self._firsts]
        return words.runs(starts, lambda at: self._windows_at(words, at), most)

    def undecided_from(self, text: str) -> int:
        """First index from which a window may still grow if more text follows; len(text) where none can."""
        tail = Tail(text)
        words, whole = tail.words, tail.whole
        first, letters = len(text), 0
        for at in range(len(words.folded) - 1, -1, -1):
            letters += words.letters[at] if at < whole else 0
            if not words.letters[at] or letters >= WINDOW_LETTERS:
                break  # what begins here or before is a whole window, or none
            if at >= whole or (hash(words.folded[at]) in self._firsts and self._may_begin(words, at, whole)):
                first = tail.start(at)
        return first

    def _windows_at(self, words: Words, at: int) -> Iterator[tuple[str, int]]:
        if self._may_begin(words, at, len(words.folded)):
            stop = _window(words, at)
            if stop and _hashed(words, at, stop) in self._windows:
                yield RULE_ID, stop

    def _may_begin(self, words: Words, at: int, stop: int) -> bool:
        """Whether a window may begin with words[at:stop], whose first is known to begin one."""
        letters = words.letters[at]
        for end in range(at + 2, 1 + min(at + _BEGINNING, stop)):
            if letters >= WINDOW_LETTERS:
                break
            if _hashed(words, at, end) not in self._beginnings:
                return False
            letters += words.letters[end - 1]
        return True


def _window(words: Words, at: int) -> int:
    """Behind the last word of the window that begins at `at`; 0 where there is none."""
    letters = 0
    for stop in range(at, len(words.letters)):
        count = words.letters[stop]
        if not count:
            return 0
        letters += count
        if letters >= WINDOW_LETTERS:
            return stop + 1
    return 0


def _hashed(words: Words, at: int, stop: int) -> int:
    """A number for the words [at, stop). Another process has other numbers."""
    return hash(tuple(words.folded[at:stop]))


#: Found by the exchange's own canary (`Scanner.watching`), never by a trigger.
SYSTEM_PROMPT: Final = Rule(
    id=RULE_ID,
    placeholder="[SYSTEM_PROMPT]",
    triggers=(),
    find=lambda _text, _end: (),
    before_chars=1,
    shapes=(Shape(limit_chars=WINDOW_CHARS, alphabet="", opens=""),),
)
