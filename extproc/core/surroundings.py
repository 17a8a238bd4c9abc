r"""Whether a text stands where a reader's software would send it on: in a URL, a link's target, a tag. Judges nothing.

What counts is what some renderer could make of the text, so it errs towards yes. Followed one character after another:
what `feed` is told in pieces it understands as it would the whole. Linear, with a state of a few dozen characters.

- A URL is a run up to ASCII white space or `<` (where GFM ends an autolink) once something in it makes it one: `//`,
  a scheme that needs no slashes, `www.`, a host with a dot and a path, or a character reference, which may be any of
  these (CommonMark, 4.7: a reference definition may be written in them).
- A link's target, also an image's, is what stands behind `](`, up to its closing parenthesis or a blank line
  (CommonMark, 6.3).
- A tag is what stands behind `<` and a letter, `/`, `!` or `?`, up to `>` outside quotes (HTML, 13.2.5). The same is
  taken for the beginning of a link's target in angle brackets, which may be escaped: `<\/`, `<&#47;`.
- What stands behind a tag `<style>` or `<script>`, up to the next `</`: both can fetch.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final

#: Makes a URL of the run that it stands in. Backslashes are slashes to browsers (URL Standard, 4.4).
_MARK: Final = re.compile(
    r"[/\\]{2}|:[/\\]|www\.|&(?:#|[a-z][a-z0-9]{1,31};)|\w[.\u3002\uff0e\uff61]\w{2,24}(?::[0-9]{1,5})?[/\\?#]|"
    r"(?:https?|wss?|ftp|mailto|xmpp|data|javascript|vbscript|blob):",
    re.IGNORECASE,
)
_MARK_CHARS: Final = 40  # no mark is longer
_OPENER: Final = re.compile(r"\]\(|<[A-Za-z/!?\\&]")
_ENDS: Final = " \t\n\v\f\r<"
_FETCHING: Final = frozenset({"style", "script"})
_NAME_CHARS: Final = 8  # of a tag's name: one more than tell these from all others


class _Place(Enum):
    TEXT = 0
    TARGET = 1
    TAG = 2
    RAW = 3  # the content of a tag that holds no markup


class Surroundings:
    """What a text has come to. Starts outside of everything."""

    __slots__ = (
        "_blank",
        "_depth",
        "_equals",
        "_escaped",
        "_last",
        "_name",
        "_named",
        "_place",
        "_quote",
        "_run",
        "_url",
    )

    def __init__(self) -> None:
        self.reset()

    @property
    def carry(self) -> bool:
        """Whether what follows would be sent on."""
        return self._url or self._place is not _Place.TEXT

    def reset(self) -> None:
        """Another text begins, which no reader joins to this one."""
        self._url = False
        self._run = ""  # end of the run that may become a URL
        self._last = ""
        self._enter(_Place.TEXT)

    def _enter(self, place: _Place, name: str = "") -> None:
        self._place = place
        self._name, self._named = name.lower(), False  # of a tag; whether all of it is known
        self._depth = 0  # open parentheses of a target
        self._quote = ""  # what ends the quoted part
        self._escaped = self._equals = self._blank = False

    def feed(self, text: str) -> None:
        """Go on with `text`."""
        if text:
            self._follow_run(text)
            self._follow_markup(text)
            self._last = text[-1]

    def _follow_run(self, text: str) -> None:
        cut = max([text.rfind(end) for end in _ENDS]) + 1
        if cut:
            self._url, self._run = False, ""
            text = text[cut:]
        if not self._url:
            run = self._run + text
            self._url = _MARK.search(run) is not None
            self._run = run[-_MARK_CHARS:]

    def _follow_markup(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self._place is _Place.TEXT:
                pair = _OPENER.match(self._last + text[0]) if at == 0 and self._last else None
                opener = pair or _OPENER.search(text, at)
                if opener is None:
                    return
                self._enter(_Place.TARGET if opener.group() == "](" else _Place.TAG, opener.group()[1:])
                at = 1 if pair else opener.end()
            else:
                at = self._leave(text, at)

    def _leave(self, text: str, at: int) -> int:
        """Go on from `at` until the place is left; say behind which character that is, or the text's end."""
        place = self._place
        step = _STEPS[place]
        for index in range(at, len(text)):
            step(self, text[index])
            if self._place is not place:
                return index + 1
        return len(text)

    def _in_target(self, char: str) -> None:
        if char == "\n":
            if self._blank:
                self._place = _Place.TEXT
            self._blank, self._quote, self._escaped = True, "", False
            return
        if char not in " \t\r":
            self._blank = False
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif self._quote:
            self._quote = "" if char == self._quote else self._quote
        elif char == "<":
            self._quote = ">"
        elif char == "(":
            self._depth += 1
        elif char == ")":
            self._depth -= 1
            if self._depth < 0:
                self._place = _Place.TEXT

    def _in_tag(self, char: str) -> None:
        if not self._named and char.isalnum() and len(self._name) < _NAME_CHARS:
            self._name += char.lower()
        else:
            self._named = True
        if self._quote:
            self._quote = "" if char == self._quote else self._quote
        elif char == ">" and not self._escaped:  # in a link's target it may be escaped
            self._enter(_Place.RAW if self._name in _FETCHING else _Place.TEXT)
            return
        elif char in "\"'" and self._equals:
            self._quote = char
        self._escaped = char == "\\"
        if not char.isspace():
            self._equals = char == "="

    def _in_raw(self, char: str) -> None:
        if char == "/" and self._escaped:
            self._enter(_Place.TAG, char)
            return
        self._escaped = char == "<"


_STEPS: Final[dict[_Place, Callable[[Surroundings, str], None]]] = {
    _Place.TARGET: Surroundings._in_target,  # noqa: SLF001 - the class's own table
    _Place.TAG: Surroundings._in_tag,  # noqa: SLF001
    _Place.RAW: Surroundings._in_raw,  # noqa: SLF001
}
