"""A tenant's regular expressions, read into a form whose longest match and whose characters are known. Runs none.

The language is small on purpose: what is not listed here is refused, never guessed. Repeats have a most, since text of
a stream waits for as long as a match may still grow; there are no anchors, look-around or back-references, which no
window can decide.
"""

import re
from dataclasses import dataclass
from typing import Final

#: Of a match. So many characters of an answer may wait for it.
MOST_CHARS: Final = 64
_SOURCE_CHARS: Final = 200
_DEPTH: Final = 8  # of groups: deeper than any that a person reads
#: No sign of a match: the quotes of JSON that a tool is called with, as rules see them (extproc.core.escape).
_NEVER: Final = r"\x00\x01"
_CLASSES: Final = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \t\r\n\f\v"}
_SPECIAL: Final = frozenset("*+?{}^$|()[]\\.")
#: What stands between the values of JSON. A pattern of nothing else would take its form away.
_FORM: Final = frozenset(",:{}[] ")
_REPEAT: Final = re.compile(r"\{([0-9]{1,2})(?:,([0-9]{1,2}))?\}|\?")


class PatternError(ValueError):
    """What is wrong with a pattern, for its author."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One expression, written anew for the engine."""

    expression: str
    signs: str  # body of a character class: every character that a match may hold
    most: int  # characters of the longest match
    caseless: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    source: str
    least: int
    most: int


class _Reader:
    """Recursive descent over one source."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.signs: list[str] = []
        self.tells = False  # something that is not only JSON's form

    def alternation(self, depth: int) -> _Piece:
        if depth > _DEPTH:
            raise PatternError(f"groups are nested deeper than {_DEPTH}")
        branches = [self._sequence(depth)]
        while self._take("|"):
            branches.append(self._sequence(depth))
        joined = "|".join(branch.source for branch in branches)
        return _Piece(joined, min(each.least for each in branches), max(each.most for each in branches))

    def _sequence(self, depth: int) -> _Piece:
        pieces: list[_Piece] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            pieces.append(self._repeated(self._atom(depth)))
        source = "".join(each.source for each in pieces)
        return _Piece(source, sum(each.least for each in pieces), sum(each.most for each in pieces))

    def _repeated(self, atom: _Piece) -> _Piece:
        found = _REPEAT.match(self.source, self.at)
        if found is None:
            if self.source[self.at : self.at + 1] in {"*", "+", "{"}:
                raise PatternError("a repeat needs a most, such as {0,20}")
            return atom
        self.at = found.end()
        if self.source[self.at : self.at + 1] in {"?", "+", "*", "{"}:
            raise PatternError("one repeat behind another")
        low, high = (0, 1) if found[1] is None else (int(found[1]), int(found[2] or found[1]))
        if low > high or not atom.most:
            raise PatternError("a repeat of nothing, or whose most is less than its least")
        return _Piece(f"(?:{atom.source}){{{low},{high}}}", atom.least * low, atom.most * high)

    def _atom(self, depth: int) -> _Piece:
        char = self.source[self.at]
        self.at += 1
        if char == "(":
            if self._take("?") and not self._take(":"):
                raise PatternError("only (...) and (?:...) are groups")
            inner = self.alternation(depth + 1)
            if not self._take(")"):
                raise PatternError("a group does not end")
            return _Piece(f"(?:{inner.source})", inner.least, inner.most)
        if char == "[":
            return self._class()
        if char == ".":
            return self._any(r"\n")
        if char == "\\":
            return self._escape()
        if char in _SPECIAL:
            raise PatternError(f"{char} has no meaning here; write \\{char} for the character")
        return self._literal(char)

    def _literal(self, char: str) -> _Piece:
        if not char.isprintable():
            raise PatternError("a character that cannot be seen")
        self.tells |= char not in _FORM
        self.signs.append(re.escape(char))
        return _Piece(re.escape(char), 1, 1)

    def _escape(self) -> _Piece:
        letter = self.source[self.at : self.at + 1]
        self.at += 1
        if letter == "b":
            return _Piece(r"\b", 0, 0)
        if letter in _CLASSES:
            self.tells |= letter != "s"
            self.signs.append(_CLASSES[letter])
            return _Piece(f"[{_CLASSES[letter]}]", 1, 1)
        if letter.lower() in _CLASSES and letter:
            return self._any(_CLASSES[letter.lower()])
        if not letter or letter.isalnum():
            raise PatternError(f"\\{letter} is not known; there are \\d \\w \\s \\D \\W \\S \\b")
        return self._literal(letter)

    def _any(self, but: str) -> _Piece:
        self.tells = True
        self.signs.append(r"\x02-\U0010ffff")
        return _Piece(f"[^{but}{_NEVER}]", 1, 1)

    def _class(self) -> _Piece:
        but = self._take("^")
        body: list[str] = []
        while not self._take("]"):
            first = self._member()
            if len(first) == 1 and self.source[self.at : self.at + 1] == "-" and self.source[self.at + 1 :][:1] != "]":
                self.at += 1
                last = self._member()
                if len(last) != 1 or last < first:
                    raise PatternError("a range that runs backwards, or to no character")
                body.append(f"{re.escape(first)}-{re.escape(last)}")
            else:
                body.append(first if len(first) > 1 else re.escape(first))
            self.tells |= first not in _FORM
        if not body:
            raise PatternError("a class of nothing")
        if but:
            return self._any("".join(body))
        self.signs += body
        return _Piece(f"[{''.join(body)}]", 1, 1)

    def _member(self) -> str:
        char = self.source[self.at : self.at + 1]
        self.at += 1
        if not char or char == "[" or not char.isprintable():
            raise PatternError("a class does not end, or holds [ without \\ before it")
        if char != "\\":
            return char
        letter = self.source[self.at : self.at + 1]
        self.at += 1
        if letter in _CLASSES:
            return _CLASSES[letter]
        if not letter or letter.isalnum() or not letter.isprintable():
            raise PatternError(f"\\{letter} is not known in a class; there are \\d \\w \\s")
        return letter

    def _take(self, char: str) -> bool:
        there = self.source.startswith(char, self.at)
        self.at += there
        return there


def read_pattern(source: str) -> Pattern:
    """The pattern that `source` says.

    Raises:
        PatternError: it says none, or one that is not bounded.
    """
    if len(source) > _SOURCE_CHARS:
        raise PatternError(f"longer than {_SOURCE_CHARS} characters")
    caseless = source.startswith("(?i)")
    reader = _Reader(source.removeprefix("(?i)"))
    whole = reader.alternation(0)
    if reader.at < len(reader.source):
        raise PatternError(f"{reader.source[reader.at]} without its beginning")
    if not whole.least:
        raise PatternError("it matches where nothing is")
    if whole.most > MOST_CHARS:
        raise PatternError(f"it matches up to {whole.most} characters; {MOST_CHARS} may wait")
    if not reader.tells:
        raise PatternError("it matches nothing but blanks and signs between values")
    return Pattern(whole.source, "".join(dict.fromkeys(reader.signs)), whole.most, caseless)
