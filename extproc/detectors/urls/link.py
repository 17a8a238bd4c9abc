"""Where a URL stands in a text, how far it goes, and whether an interface would load it by itself. Judges nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from string import ascii_letters, digits
from typing import Final

from extproc.detectors.urls.host import host_of

#: What is read of a URL, its scheme included. What is longer is told as such: nobody can say what it carries.
LINK_CHARS: Final = 200
#: What is read before one: Markdown's alternative text, or the name of an attribute.
BEFORE_CHARS: Final = 64
#: Letters that names of hosts are written with beside ASCII: Latin, Greek, Cyrillic, Armenian, full width, and the
#: ideographic full stop, which browsers take for a dot.
_LETTERS: Final = (
    "".join(map(chr, (*range(0xC0, 0x250), *range(0x370, 0x588), *range(0x1E00, 0x2000), *range(0xFF0E, 0xFF5B))))
    + "\u3002"
)
#: RFC 3986 and what browsers and writers of templates add; neither quotes, angle brackets nor what ends a table's cell.
LINK_ALPHABET: Final = ascii_letters + digits + "-._~:/?#[]@!$&'()*+,;=%\\{}" + _LETTERS
_CLASS: Final = f"[{re.escape(LINK_ALPHABET)}]"

#: In link positions a scheme needs no slashes, and slashes no scheme.
_PLACE: Final = r"(?:(?<=\]\()|(?<=\(<)|(?<==)|(?<==[\"'])|(?<=url\())"
#: The parts before the host. WHATWG URL 4.4 takes any number of slashes, in either direction.
_HEAD: Final = re.compile(
    rf"(?i:https?):(?:[/\\]{{1,8}}|(?<=\]\(.{{5}})|(?<=\]\(.{{6}})|(?<==[\"'].{{5}})|(?<==[\"'].{{6}}))"
    rf"|{_PLACE}[/\\]{{2,8}}|(?<![A-Za-z0-9@/\\.-])(?i:www)(?=\.)"
)
#: A run that is Markdown's text of a link ends before its address.
_RUN: Final = re.compile(rf"(?:(?!\]\(){_CLASS})*")
TRIGGERS: Final = (
    rb"[hH][tT][tT][pP][sS]?:[!-~]",
    rb"[wW][wW][wW]\.",
    rb"[(<=\"'][/\\]{2}",
)
#: How far the head of each trigger reaches back from its end.
_WIDTHS: Final = (6, 7, 4, 2)
OPENING: Final = re.compile(
    r"(?i:https?:|h(?:t(?:t(?:ps?)?)?)?\Z)|(?i:(?<![A-Za-z0-9@/\\.-])w(?:w(?:\Z|w(?:\.|\Z))|\Z))|(?<=[(<=\"'])[/\\](?:[/\\]|\Z)"
)
_TRAILING: Final = ".,;:!?'*_~\\"
_PAIRS: Final = {")": "(", "]": "["}
_LOADS: Final = re.compile(
    r"(?:\b(?i:src|srcset|poster|background|data|icon)[ \t]?=[ \t]?[\"']?|(?<![\w.])url\([\"']?)\Z"
)


class Place(Enum):
    """How a URL stands in its text."""

    BARE = "bare"
    LINK = "link"
    LOADED = "loaded"  # an image or the like: shown without anybody's click


@dataclass(frozen=True, slots=True)
class Link:
    """One URL: text[start:end)."""

    start: int
    end: int
    host: str
    rest: str  # behind the authority
    place: Place
    whole: bool  # False: it goes on beyond what is read


def links(text: str, end: int) -> Iterator[Link]:
    """The URLs whose trigger ends at `end`."""
    for width in _WIDTHS:
        start = end - width
        head = _HEAD.match(text, start, start + LINK_CHARS) if start >= 0 else None
        if head is None or head.end() < end - 2:
            continue
        run = _RUN.match(text, head.end(), start + LINK_CHARS)
        stop = head.end() if run is None else run.end()
        whole = stop < start + LINK_CHARS
        if whole:
            stop = _trimmed(text, head.end(), stop)
        begun = head.end() if text[start] not in "wW" else start
        if stop <= begun:
            continue
        rest = text[begun:stop]
        host, after = host_of(rest)
        if begun == start and "." not in host:
            continue  # "www." ends a sentence
        yield Link(start, stop, host, rest[after:], _place(text, start), whole)


def _trimmed(text: str, begin: int, stop: int) -> int:
    """Without what belongs to the sentence around it."""
    while stop > begin:
        last = text[stop - 1]
        opened = _PAIRS.get(last)
        if opened is not None:
            if text.count(last, begin, stop) <= text.count(opened, begin, stop):
                break
        elif last not in _TRAILING:
            break
        stop -= 1
    return stop


def _place(text: str, start: int) -> Place:
    window = text[max(0, start - BEFORE_CHARS) : start]
    before = window.rstrip(" \t\n<")
    if before.endswith("]("):
        return _inline(before[:-2], full=start >= BEFORE_CHARS)
    if before.endswith("]:"):
        return Place.LOADED  # a reference, which an image elsewhere may use
    if _LOADS.search(before):
        return Place.LOADED
    return Place.LINK if before.endswith(("=", '"', "'")) else Place.BARE


def _inline(label: str, *, full: bool) -> Place:
    """Whether the brackets before an address are an image's. Where they cannot be seen, they may be."""
    depth = 1
    for at in range(len(label) - 1, -1, -1):
        if label[at] == "]":
            depth += 1
        elif label[at] == "[":
            depth -= 1
            if not depth:
                return Place.LOADED if label[:at].endswith("!") else Place.LINK
    return Place.LOADED if full else Place.LINK
