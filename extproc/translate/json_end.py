"""Where a JSON object that comes in pieces ends, without keeping the pieces. Judges nets of brackets, not grammar."""

import re
from typing import Final

_MARK: Final = re.compile(r'["\\{}\[\]]')
_QUOTE_OR_ESCAPE: Final = re.compile(r'["\\]')


class JsonEnd:
    """Watches one object or array."""

    __slots__ = ("_depth", "_escaped", "_quoted", "ended")

    def __init__(self) -> None:
        self.ended = False  # the outermost bracket is closed
        self._depth = 0
        self._quoted = False
        self._escaped = False  # the next character is escaped

    def push(self, text: str) -> bool:
        """Take the next piece. False: something that says more stands behind the end."""
        at, end = 0, len(text)
        while at < end:
            if self.ended:
                return not text[at:].strip()
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_QUOTE_OR_ESCAPE if self._quoted else _MARK).search(text, at)
            if found is None:
                return True
            at = found.end()
            mark = found.group()
            if mark == "\\":
                self._escaped = self._quoted
            elif mark == '"':
                self._quoted = not self._quoted
            elif mark in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                self.ended = self._depth <= 0
        return True
