r"""Text that is JSON source, such as streamed tool-call arguments: judged decoded, released as it was written.

Escapes are decoded for the rules only, so that `\u0040` hides no "@". A structural quote becomes a NUL, which no rule
takes into a span: a finding never leaves its string. A finding outside strings can only be a bare number; it becomes
`0`, and JSON stays JSON. Knows nothing about objects or arrays.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from extproc.core.holdback import HoldBack, Spans
from extproc.guardrails.finding import Finding

if TYPE_CHECKING:
    from extproc.core.restore import Restorer, Restoring
    from extproc.guardrails.guard import Guard, Tally

QUOTE: Final = "\0"  # a structural quote
_CONTROL: Final = "\x01"  # a NUL of the document
_SIMPLE: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX: Final = re.compile(r"[0-9A-Fa-f]{4}")
_HEX_BEGUN: Final = re.compile(r"[0-9A-Fa-f]{0,3}\Z")
_LOW: Final = re.compile(r"\\u([dD][c-fC-F][0-9A-Fa-f]{2})")
_LOW_BEGUN: Final = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9A-Fa-f]?)?)?)?)?\Z")
_DECODED: Final = itemgetter(0)
_REPLACEMENT: Final = "\ufffd"  # a lone surrogate


class Source:
    """JSON source that was decoded and not yet forgotten: which piece of it a piece of the decoded text came from."""

    __slots__ = ("_jumps", "_pending", "_raw")

    def __init__(self) -> None:
        self._raw = ""  # what the decoded text came from
        self._pending = ""  # an escape that is not complete, at most eleven characters
        self._jumps: list[tuple[int, int]] = []  # (index in the decoded text, index in _raw) behind each escape

    def decode(self, text: str, size: int, *, last: bool) -> str:
        """The logical characters of `text`, behind `size` of them that were not forgotten."""
        source = self._pending + text
        self._pending = ""
        if "\\" not in source:
            self._raw += source
            return _plain(source)
        parts: list[str] = []
        raw_size = len(self._raw)
        at = 0
        while (escape := source.find("\\", at)) >= 0:
            parts.append(_plain(source[at:escape]))
            size += escape - at
            taken = _escape(source, escape, last=last)
            at = escape
            if taken is None:
                self._pending = source[escape:]
                source = source[:escape]
                break
            character, width = taken
            parts.append(character)
            size += 1
            at += width
            self._jumps.append((size, raw_size + at))
        parts.append(_plain(source[at:]))
        self._raw += source
        return "".join(parts)

    def slice(self, start: int, stop: int) -> str:
        """The source of the decoded characters [start, stop)."""
        return self._raw[self._index(start) : self._index(stop)]

    def drop(self, gone: int) -> None:
        """Forget the source of the first `gone` characters."""
        if not gone:
            return
        raw_gone = self._index(gone)
        self._raw = self._raw[raw_gone:]
        self._jumps = [(decoded - gone, raw - raw_gone) for decoded, raw in self._jumps if decoded > gone]

    def _index(self, index: int) -> int:
        """Where in _raw the decoded character `index` begins."""
        jump = bisect_right(self._jumps, index, key=_DECODED)
        if not jump:
            return index
        decoded, raw = self._jumps[jump - 1]
        return raw + index - decoded


class EscapedHoldBack(HoldBack):
    """One channel of JSON source. The streaming invariant holds as for HoldBack; `held` counts decoded characters."""

    __slots__ = ("_inside", "_source")

    def __init__(self, guard: "Guard", tally: "Tally", *, tool: str = "", exempt: Spans = ()) -> None:
        """`tool`: whose arguments they are. `exempt`: as of HoldBack."""
        super().__init__(guard, tally, tool=tool, exempt=exempt)
        self._source = Source()
        self._inside = False  # whether _buf[_pos] is inside a string

    def push(self, text: str) -> str:
        """Take more source; return what may be released now."""
        if self.blocked is not None:
            return ""
        if self._restorer is not None:
            text = self._restorer.push(text)
        buf = self._buf + self._source.decode(text, len(self._buf), last=False)
        upto = self._guard.scanner.undecided_from(buf)
        if upto <= self._pos:
            self._buf = buf
            return ""
        return self._slow(buf, upto, self._guard.scanner.scan(buf))

    def flush(self) -> str:
        """The source is complete: decide and release the rest. Ends the channel."""
        if self.blocked is not None:
            return ""
        rest = "" if self._restorer is None else self._restorer.flush()
        return self.all_of(rest)

    def all_of(self, source: str) -> str:
        """`push(source) + flush()` in one, of source in which nothing is to be restored."""
        buf = self._buf + self._source.decode(source, len(self._buf), last=True)
        return self._slow(buf, len(buf), self._guard.scanner.scan(buf))

    def _slow(self, buf: str, upto: int, findings: Sequence[Finding]) -> str:
        parts = []
        seen = self._pos
        for start, stop, put in self._judge(buf, upto, findings):
            if start < stop:
                parts.append(self._source.slice(start, stop))
            if put:
                self._inside ^= buf.count(QUOTE, seen, stop) % 2 == 1
                seen = stop
                parts.append(put if self._inside else "0")
        self._inside ^= buf.count(QUOTE, seen, upto) % 2 == 1
        self._source.drop(self._forget(buf, upto))
        return "".join(parts)

    def _restores(self, restoring: "Restoring", tool: str | None, *, joined: bool) -> "Restorer":
        del joined  # arguments are read one by one
        return restoring.source(self._exempt, tool or "")


def decoded(source: str) -> str:
    """JSON source as the rules see it, also where it breaks off."""
    parts: list[str] = []
    at = 0
    while (escape := source.find("\\", at)) >= 0:
        parts.append(_plain(source[at:escape]))
        character, width = _escape(source, escape, last=True) or ("", 1)
        parts.append(character)
        at = escape + width
    parts.append(_plain(source[at:]))
    return "".join(parts)


def _plain(source: str) -> str:
    return source.replace(QUOTE, _CONTROL).replace('"', QUOTE)


def _escape(source: str, at: int, *, last: bool) -> tuple[str, int] | None:
    """The character that the escape at `at` stands for, and the escape's length; None while it may go on.

    What is no escape is taken for the character behind the backslash, as lenient readers do; strict ones refuse it.
    """
    letter = source[at + 1 : at + 2]
    if not letter:
        return ("\\", 1) if last else None
    if letter != "u":
        return _SIMPLE.get(letter, _CONTROL if letter == QUOTE else letter), 2
    digits = _HEX.match(source, at + 2)
    if digits is None:
        return ("u", 2) if last or _HEX_BEGUN.match(source, at + 2) is None else None
    code = int(digits.group(), 16)
    if 0xD800 <= code < 0xDC00:  # high surrogates (Unicode, 3.9)
        low = _LOW.match(source, at + 6)
        if low is not None:
            return chr(0x10000 + ((code - 0xD800) << 10) + int(low.group(1), 16) - 0xDC00), 12
        return (_REPLACEMENT, 6) if last or _LOW_BEGUN.match(source, at + 6) is None else None
    if 0xDC00 <= code < 0xE000:  # low surrogates
        return _REPLACEMENT, 6
    return (_CONTROL if code == 0 else chr(code)), 6
