"""Puts values back where an answer names their placeholders, as far as their surroundings allow. Before any rule looks.

The streaming invariant holds as for `HoldBack`: however a text is cut into pushes, what comes out and what is counted
are the same. What waits between pushes is what may still become a placeholder of this exchange, or is one whose next
characters decide: at most `Aliases.limit_chars`, 101 with the kinds of this release; in prose, nothing or a
few letters.

A placeholder is known in any case of its letters, without its brackets, and with the backslashes that writers of
Markdown put before brackets and underscores. It stays what it is

- where the reader's software would send the value on (`Surroundings`),
- at the end of a link's own text, `…](`, and as the beginning of an address, `…@`, `….example` or `…x.example`: chats
  make links of such words, and fetch what they link to,
- in arguments of a tool that policy does not name.
"""

import re
from typing import Final

import orjson

from extproc.core.aliases import BEHIND_CHARS, CODE_CHARS, CONSONANTS, Alias, Aliases
from extproc.core.escape import QUOTE, Source
from extproc.core.surroundings import Surroundings

_CODES: Final = CONSONANTS + CONSONANTS.lower()
_CODE: Final = re.compile(rf"\\?_[Tt]([{_CODES}]{{{CODE_CHARS}}})")
_OPENING: Final = re.compile(r"\\?\[\Z")
_CLOSING: Final = re.compile(r"\\?\]")
#: Every character that a placeholder may contain, however it is written.
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_\\[]"
#: Where one may begin.
_BEGINNING: Final = re.compile(r"\\?\[|\\\Z|(?<![A-Za-z0-9])[A-Za-z]")
_WORD: Final = re.compile(r"[A-Za-z0-9]\Z")
#: What a host's label may go on with. Invisible characters are none to whoever resolves it (UTS 46, section 4).
_LABEL: Final = r"[\w\-\u00ad\u200b-\u200d\u2060\ufeff]{0,63}"
#: What makes an address of a placeholder before it, also written as Markdown and HTML have it.
_ADDRESS: Final = re.compile(_LABEL + r"(?:\\?[@\uff20]|[.\uff0e\uff61]\w|&[#A-Za-z])")
#: What may stand behind a placeholder and does not tell yet whether it stays.
_UNTOLD: Final = re.compile(r"\]|" + _LABEL + r"[.\uff0e\uff61&\\]?")


class Restoring:
    """What the channels of one answer need to put values back: the map, and which tools may be given values."""

    __slots__ = ("_tools", "aliases", "joined")

    def __init__(self, aliases: Aliases, tools: frozenset[str]) -> None:
        """`tools`: names, of which a final * covers any ending."""
        self.aliases: Final = aliases
        self.joined: Final = Surroundings()  # of texts that clients join: a tag may begin in one and end in the next
        self._tools: Final = tools

    def text(self, spans: list[tuple[int, int]], tool: str | None, *, joined: bool) -> "Restorer":
        """For one channel of text: words of the model, or what it tells `tool`."""
        where = self.joined if joined else None
        restorer = Restorer(self.aliases, spans, where, allowed=tool is None or self.trusts(tool))
        restorer.escapes = tool is None and self.aliases.escapes
        return restorer

    def source(self, spans: list[tuple[int, int]], tool: str) -> "Restorer":
        """For one channel of JSON source: arguments of `tool`."""
        return SourceRestorer(self.aliases, spans, None, allowed=self.trusts(tool))

    def trusts(self, tool: str) -> bool:
        """Whether arguments of `tool` may hold values."""
        return tool in self._tools or any(name.endswith("*") and tool.startswith(name[:-1]) for name in self._tools)


class Restorer:
    """One channel of text."""

    __slots__ = ("_aliases", "_at", "_before", "_buf", "_joined", "_spans", "_where", "allowed", "escapes")

    def __init__(
        self, aliases: Aliases, spans: list[tuple[int, int]], where: Surroundings | None, *, allowed: bool
    ) -> None:
        """`spans` is told where values went, in characters of the text that comes out; `where`: what is joined."""
        self.escapes = False  # whether values are written as JSON strings are
        self.allowed = allowed  # may be taken back, for what comes then
        self._aliases = aliases
        self._spans = spans
        self._joined = where is not None
        self._where = Surroundings() if where is None else where
        self._buf = ""
        self._before = ""  # the last character that is not in _buf any more
        self._at = 0  # characters that came out

    @property
    def held(self) -> int:
        """Characters that wait."""
        return len(self._buf)

    def push(self, text: str) -> str:
        """Take more text; return what may go on to the rules."""
        return self._take(self._buf + text, last=False)

    def flush(self) -> str:
        """The text is complete: return the rest."""
        return self._take(self._buf, last=True)

    def whole(self, text: str) -> str:
        """`push(text) + flush()` of a fresh channel."""
        return self._take(text, last=True)

    def _take(self, buf: str, *, last: bool) -> str:
        parts: list[str] = []
        done = fed = 0  # copied so far; told to the surroundings so far
        hold = -1
        for match in _CODE.finditer(buf):
            alias = self._aliases.of(match.group(1).upper())
            start = -1 if alias is None else self._begins(buf, match.start(), alias.kind)
            if alias is None or start < done:
                continue
            start, end, loose = _brackets(buf, start, match.end(), last=last)
            behind = buf[end : end + BEHIND_CHARS]
            if loose or (not last and _UNTOLD.fullmatch(behind) is not None):
                hold = start
                break
            self._pass(buf[fed:start])
            if self._keeps(behind, closed=buf[end - 1] == "]") or not self._aliases.affords(alias):
                fed = start
                self._aliases.count(alias, restored=False)
                continue
            parts.append(self._copied(buf, done, start))
            parts.append(self._put(alias))
            done = fed = end
        if hold < 0:
            hold = len(buf) if last else self._open_from(buf, done)
        parts.append(self._copied(buf, done, hold))
        if not last or self._joined:  # else nobody asks any more: the end of a long answer costs nothing
            self._pass(buf[fed:hold])
        self._forget(buf, hold)
        return "".join(parts)

    def _begins(self, buf: str, end: int, kind: str) -> int:
        """Where the kind begins that must stand before buf[end], or -1 when it does not."""
        at = end
        for letter in reversed(kind):
            at -= 1
            if at < 0 or not buf[at].isascii() or buf[at].upper() != letter:
                return -1
            if letter == "_" and at and buf[at - 1] == "\\":
                at -= 1
        return -1 if _WORD.search(buf[at - 1] if at else self._before) else at

    def _keeps(self, behind: str, *, closed: bool) -> bool:
        """Whether a placeholder with `behind` behind it stays where it is."""
        if not self.allowed or self._where.carry or behind.startswith("](") or (closed and behind.startswith("(")):
            return True
        return _ADDRESS.match(behind) is not None

    def _open_from(self, buf: str, done: int) -> int:
        """First index from which a placeholder may still begin or grow; len(buf) when none can."""
        size = len(buf)
        first = max(done, size - self._aliases.limit_chars)
        first = first + len(buf[first:].rstrip(_ALPHABET))
        for beginning in _BEGINNING.finditer(buf, first):
            at = beginning.start()
            if at == 0 and buf[0] not in "\\[" and _WORD.search(self._before):
                continue
            if self._may_become(buf[at:]):
                return at
        return size

    def _may_become(self, text: str) -> bool:
        """Whether a placeholder may begin with all of `text`, or one with some of it and need more to be judged."""
        begun = text.removeprefix("\\").removeprefix("[").replace("\\", "").upper()
        for head in self._aliases.heads:
            if head.startswith(begun):
                return True
            if (
                begun.startswith(head)
                and len(begun) < len(head) + CODE_CHARS
                and not begun[len(head) :].strip(CONSONANTS)
            ):
                return True
        return False

    # --- what differs for JSON source ---------------------------------------------------------------------

    def _pass(self, text: str) -> None:
        """Tell the surroundings what goes by."""
        self._where.feed(text)

    def _copied(self, buf: str, start: int, stop: int) -> str:
        self._at += stop - start
        return buf[start:stop]

    def _put(self, alias: Alias) -> str:
        """The value, as it is written here."""
        value = alias.value
        if self.escapes:
            value = orjson.dumps(value).decode()[1:-1]
        self._aliases.count(alias, restored=True)
        self._spans.append((self._at, self._at + len(value)))
        self._at += len(value)
        self._where.feed(value)
        return value

    def _forget(self, buf: str, upto: int) -> None:
        self._before = buf[upto - 1] if upto else self._before
        self._buf = buf[upto:]


class SourceRestorer(Restorer):
    """One channel of JSON source: read decoded, values written escaped, and only into strings."""

    __slots__ = ("_inside", "_source")

    def __init__(
        self, aliases: Aliases, spans: list[tuple[int, int]], where: Surroundings | None, *, allowed: bool
    ) -> None:
        super().__init__(aliases, spans, where, allowed=allowed)
        self._source = Source()
        self._inside = False

    def push(self, text: str) -> str:
        """Take more source; return what may go on to the rules, source too."""
        return self._take(self._buf + self._source.decode(text, len(self._buf), last=False), last=False)

    def flush(self) -> str:
        """The source is complete: return the rest."""
        return self._take(self._buf + self._source.decode("", len(self._buf), last=True), last=True)

    def whole(self, text: str) -> str:
        """`push(text) + flush()` of a fresh channel."""
        return self._take(self._source.decode(text, 0, last=True), last=True)

    def _keeps(self, behind: str, *, closed: bool) -> bool:
        return not self._inside or super()._keeps(behind, closed=closed)

    def _pass(self, text: str) -> None:
        """Another string is another text."""
        strings = text.count(QUOTE)
        if strings:
            self._inside ^= strings % 2 == 1
            self._where.reset()
            text = text.rpartition(QUOTE)[2]
        self._where.feed(text)

    def _copied(self, buf: str, start: int, stop: int) -> str:
        super()._copied(buf, start, stop)
        return self._source.slice(start, stop)

    def _put(self, alias: Alias) -> str:
        return orjson.dumps(super()._put(alias)).decode()[1:-1]

    def _forget(self, buf: str, upto: int) -> None:
        super()._forget(buf, upto)
        self._source.drop(upto)


def _brackets(buf: str, start: int, end: int, *, last: bool) -> tuple[int, int, bool]:
    """The span with its pair of brackets, if it has one, and whether more text may tell otherwise."""
    opening = _OPENING.search(buf, max(0, start - 2), start)
    if opening is None:
        return start, end, False
    closing = _CLOSING.match(buf, end)
    if closing is not None:
        return opening.start(), closing.end(), False
    loose = not last and buf[end:] in {"", "\\"}
    return (opening.start() if loose else start), end, loose
