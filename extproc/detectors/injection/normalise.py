"""What a text says once its disguises are taken off: a plain view, and further views of what its encodings hide.

Never raises. Every opening is a fixed number of passes over the text and none makes it longer than its characters
allow, so there is no budget that an attacker could use up with decoys ahead of the real thing. Judges nothing; which
openings are tried, and in which order, is `unfold`'s business.
"""
# ruff: noqa: RUF001 - look-alikes are the subject

import base64
import html
import re
import sys
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Layers that are opened, of whichever kinds: one more than what red-team tools (garak's encoding probes, for one)
#: produce. Each layer adds at most three quarters of the one outside it to the text that is judged.
DEPTH_MAX: Final = 2
#: Fewer hidden tag characters than this can be an emoji flag (at most 6 and a terminator).
TAGS_MIN: Final = 8
#: Printable bytes in a row, among bytes that are no text, that are taken for words: by chance about 1 in 10^7 places.
STRETCH_MIN_BYTES: Final = 16


class Opening(StrEnum):
    """How a view was won. The gates of `patterns` name which of them are worth trying."""

    PLAIN = "plain"
    TAGS = "tags"
    SELECTORS = "selectors"
    HOMOGLYPH = "homoglyph"
    LEET = "leet"
    SPLIT = "split"
    ENTITY = "entity"
    URL = "url"
    BASE64 = "base64"
    HEX = "hex"
    JSON = "json"
    ESCAPE = "escape"
    ROT13 = "rot13"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text: lower case, compatibility forms and accents folded."""

    opening: Opening
    text: str


#: Accents: the range that Latin, Greek and Cyrillic use. Marks of Indic scripts are letters and stay.
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
#: Zero-width, bidirectional controls, soft hyphen, variation selectors: invisible, used to break words apart.
_INVISIBLE: Final = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
                               "\u2060-\u2064\u2066-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]+")  # fmt: skip
_NON_ASCII: Final = re.compile("[^\x00-\x7f]+")
_TAGS: Final = re.compile("[\U000e0020-\U000e007e]+")
#: Variation selectors in a row: 256 of them, one for each value of a byte. Honest text has one behind a character.
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
#: Scripts written without spaces: each character becomes a word, so that bigrams of words are bigrams of characters.
_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f]")
_FOREIGN_PUNCTUATION: Final = re.compile(
    "[\u00a0-\u00bf\u2000-\u206f\u3000-\u303f\uff00-\uff0f\u060c\u061b\u061f\u0964]+"
)
#: Cyrillic and Greek letters that a reader takes for Latin ones (the common part of Unicode's confusables table).
_LOOKALIKES: Final = str.maketrans(
    {
        "а": "a", "в": "b", "е": "e", "з": "3", "і": "i", "ј": "j", "к": "k", "м": "m", "н": "h", "о": "o", "р": "p",
        "с": "c", "т": "t", "у": "y", "х": "x", "ѕ": "s", "ԁ": "d", "һ": "h", "ԛ": "q", "ԝ": "w", "п": "n", "г": "r",
        "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "τ": "t", "υ": "u",
        "χ": "x", "ω": "w", "γ": "y", "ı": "i", "ɡ": "g", "ɑ": "a", "ѵ": "v", "ь": "b", "€": "e",
        # Armenian letters that pass for Latin ones.
        "օ": "o", "ո": "n", "ս": "u", "հ": "h", "յ": "j", "ց": "g", "զ": "q", "ա": "w", "ք": "p",
        # Small capitals, which have no compatibility form.
        "ᴀ": "a", "ʙ": "b", "ᴄ": "c", "ᴅ": "d", "ᴇ": "e", "ꜰ": "f", "ɢ": "g", "ʜ": "h", "ɪ": "i", "ᴊ": "j", "ᴋ": "k",
        "ʟ": "l", "ᴍ": "m", "ɴ": "n", "ᴏ": "o", "ᴘ": "p", "ʀ": "r", "ꜱ": "s", "ᴛ": "t", "ᴜ": "u", "ᴠ": "v", "ᴡ": "w",
        "ʏ": "y", "ᴢ": "z",
        # Letters in black circles and squares, and those of flags.
        **{chr(first + n): chr(0x61 + n) for first in (0x1F150, 0x1F170, 0x1F1E6) for n in range(26)},
    }
)  # fmt: skip
_STRANGERS: Final = "\u0131\u0251\u0261\u0370-\u0556\u0561-\u0586"
_SMALL_CAPITALS: Final = "\u0262\u026a\u0274\u0280\u0299\u029c\u029f\u028f\u1d00-\u1d22\ua730\ua731"
_ENCLOSED: Final = "\U0001f150-\U0001f169\U0001f170-\U0001f189\U0001f1e6-\U0001f1ff"
#: Whether `_MIXED`, which costs a hundred times as much, can match at all.
_SUSPECT: Final = re.compile(f"[{_STRANGERS}{_SMALL_CAPITALS}{_ENCLOSED}]")
#: A word of two scripts, or set apart letters of two, or letters in a row of kinds that no honest word is made of (two
#: enclosed ones are a flag).
_MIXED: Final = re.compile(
    f"[a-z][{_STRANGERS}]|[{_STRANGERS}][a-z]|"
    rf"\b(?:[a-z][^\w\n]{{1,3}}[{_STRANGERS}]|[{_STRANGERS}][^\w\n]{{1,3}}[a-z])\b|"
    f"[{_SMALL_CAPITALS}]{{2}}|[{_ENCLOSED}]{{3}}"
)
_LEET: Final = str.maketrans("013456789@$!|+", "oieasgtbgasilt")
#: The same with 1 for l: "a11", "ru1es". No single table can tell which is meant.
_LEET_ELL: Final = str.maketrans("013456789@$!|+", "oleasgtbgasilt")
_SINGLES: Final = re.compile(r"(?<![a-z0-9])[a-z0-9](?:[^a-z0-9]{1,3}[a-z0-9]){3,}(?![a-z0-9])")
_GAP: Final = re.compile(r"[^a-z0-9]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
#: Lines of one length broken for mail or PEM: each must be joined to the next, for a word may be cut between them.
#: Anchored and possessive: from the middle of a run without an end of line, each place would be tried.
_WRAPPED: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}+(?:\r?\n[ \t>]{0,4}[A-Za-z0-9+/_-]{2,})+={0,2}")
_WRAP: Final = re.compile(r"[\s>]+")
_HEX: Final = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s,:;-]{0,2}){8,}[0-9a-fA-F]?")
#: Longer than any message, key or record that people encode; files are, and their three samples cost nothing.
_LONG_RUN: Final = 64 * 1024
_SAMPLE: Final = 4096
_HEX_NOISE: Final = re.compile(r"0x|\\x|[^0-9a-fA-F]")
#: What every JSON string is written with, and what only who wants to hide letters writes them with.
_JSON: Final = re.compile(r"\\([nrtbf\"'/\\])")
_UNESCAPED: Final = {"n": "\n", "r": "\n", "t": "\t", "b": "", "f": "\n"}
#: Four digits first, as JSON and JavaScript read them: in `\u0040example` the e is the word's own.
_ESCAPE: Final = re.compile(r"\\(?:u\{0{0,6}([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4}|[0-9a-fA-F]{2,3})|x([0-9a-fA-F]{2}))")
#: Bounded, since `html.unescape` raises ValueError for a number of thousands of digits.
_ENTITY: Final = re.compile(r"&(?:#0{0,32}[0-9]{1,7}|#[xX]0{0,32}[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?")
_STRETCH: Final = re.compile(rb"[\t\n\r\x20-\x7e]{%d,}" % STRETCH_MIN_BYTES)
_ROT13: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
_USUAL: Final = frozenset(".,;:!?'\"-_()/<>[]{}|#*%&\\=+@$")
_PRINTABLE_SHARE: Final = 0.85  # of decoded text; chance decodings of identifiers and hashes fall far below it


def plain(text: str) -> str:
    """Lower case, compatibility forms and accents folded, invisible characters gone. One pass for honest ASCII."""
    if text.isascii():
        return text.lower()
    odd = "".join(_NON_ASCII.findall(text))  # mostly few: what they do not need is not done to the whole text
    if _INVISIBLE.search(odd):
        text = _INVISIBLE.sub("", text)
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    text = unicodedata.normalize("NFC", text).lower()
    if _TAGS.search(odd):
        text = _TAGS.sub("", text)
    if _FOREIGN_PUNCTUATION.search(odd):
        text = _FOREIGN_PUNCTUATION.sub(" ", text)
    return _UNSPACED.sub(r" \g<0> ", text) if _UNSPACED.search(odd) else text


def latin(text: str) -> str:
    """`text` as a reader of Latin letters takes it: every look-alike as what it passes for."""
    return plain(text).translate(_LOOKALIKES)


def hidden(text: str, low: str) -> list[View]:
    """Views that only non-ASCII text can have: invisible characters that spell, and letters of a look-alike script."""
    views = []
    odd = "".join(_NON_ASCII.findall(text))  # nearly always a small part of the text, and all that is asked about
    tags = "".join(_TAGS.findall(odd))
    if len(tags) >= TAGS_MIN:
        views.append(View(Opening.TAGS, "".join(chr(ord(char) - 0xE0000) for char in tags)))
    if spoken := [said for run in _SELECTORS.findall(odd) if (said := _readable(_selected(run)))]:
        views.append(View(Opening.SELECTORS, "\n".join(spoken)))
    if _SUSPECT.search(low) and _MIXED.search(low):
        views.append(View(Opening.HOMOGLYPH, low.translate(_LOOKALIKES)))
    return views


def open_as(opening: Opening, text: str) -> list[str]:
    """What `text` says when read as `opening`, not yet plain; nothing if it is not so encoded. Linear, one layer."""
    match opening:
        case Opening.LEET:
            low = text.lower()
            found = [low.translate(_LEET), low.translate(_LEET_ELL)]
        case Opening.SPLIT:
            low = plain(text)
            found = [_SINGLES.sub(_joined, low), _SINGLES.sub(_run_together, low)]
        case Opening.ENTITY:
            found = [_ENTITY.sub(_entity, text)]
        case Opening.URL:
            found = [urllib.parse.unquote(text)]  # a plus stays: base64 has some
        case Opening.JSON:
            found = [_JSON.sub(_unescaped, text)]
        case Opening.ESCAPE:
            found = [_ESCAPE.sub(_escaped, text)]
        case Opening.ROT13:
            found = [text.lower().translate(_ROT13)]
        case Opening.REVERSED:
            found = [text[::-1]]
        case Opening.BASE64:
            found = [_runs(_BASE64, text, _from_base64), _runs(_WRAPPED, text, _from_base64)]
        case Opening.HEX:
            found = [_runs(_HEX, text, _from_hex)]
        case _:
            found = []
    return [each for n, each in enumerate(found) if each and each != text and each not in found[:n]]


def encoded_runs(
    text: str, openings: Container[Opening], spend: Callable[[int], None]
) -> Iterator[tuple[int, int, str]]:
    """Runs of base64 and hex, of those that `openings` has, with something to read: begin, end, what they say.

    `spend` is told the length of each run before it is decoded. Long runs are looked into first, at three places: files
    that travel as text have nothing to read in any of them.
    """
    shapes = [(_BASE64, _from_base64)] if Opening.BASE64 in openings else []
    if shapes and "\n" in text:
        shapes.append((_WRAPPED, _from_base64))
    if Opening.HEX in openings:
        shapes.append((_HEX, _from_hex))
    for shape, decode in shapes:
        for found in shape.finditer(text):
            run = found[0] if shape is not _HEX else _whole_bytes(found, text)
            if len(run) > _LONG_RUN and not any(map(decode, _samples(run))):
                continue
            spend(len(run))
            said = decode(run)
            if said:
                yield found.start(), found.start() + len(run), said


def _whole_bytes(found: re.Match[str], text: str) -> str:
    """A run of hex without the beginning of the word behind it ("be" of "behind") and without what parts the two."""
    run = found[0]
    if text[found.end() : found.end() + 1].isalnum():
        last = max(run.rfind(gap) for gap in " \t\r\n,:;-")
        run = run[: last + 1] or run
    return run.rstrip(" \t\r\n,:;-")


def _samples(run: str) -> Iterator[str]:
    half = len(run) // 2 // 4 * 4
    yield run[:_SAMPLE]
    yield run[half : half + _SAMPLE]
    yield run[-_SAMPLE:]


def _joined(match: re.Match[str]) -> str:
    """Letters set apart, put together. Whatever parts most of them is nothing, any other gap was one between words."""
    gaps = _GAP.findall(match[0])
    usual = Counter(gaps).most_common(1)[0][0]
    return _GAP.sub(lambda gap: "" if gap[0] == usual else " ", match[0])


def _run_together(match: re.Match[str]) -> str:
    """The same without any gap, for gaps that change from letter to letter."""
    return _GAP.sub("", match[0])


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _unescaped(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[1], match[1])


def _escaped(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or match[3], 16)
    return chr(code) if code <= sys.maxunicode else match[0]


def _selected(run: str) -> bytes:
    """The bytes behind variation selectors: the first sixteen, and those of the supplement."""
    return bytes(code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16 for code in map(ord, run))


def _runs(shape: re.Pattern[str], text: str, decode: Callable[[str], str | None]) -> str:
    """Decoded runs, joined."""
    return "\n".join(piece for run in shape.finditer(text) if (piece := decode(run[0])))


def _from_base64(run: str) -> str | None:
    """A run decoded. Letters right before it look like part of it, so that any of four starts may be right."""
    body = _WRAP.sub("", run).rstrip("=").replace("-", "+").replace("_", "/")
    return _first_readable(_decoded64(body[skip:]) for skip in range(4))


def _decoded64(body: str) -> bytes:
    size = len(body) - (len(body) % 4 == 1)  # no byte has a single character
    return base64.b64decode(body[:size] + "=" * (-size % 4))


def _from_hex(run: str) -> str | None:
    digits = _HEX_NOISE.sub("", run.replace("0x", ""))
    return _first_readable(bytes.fromhex(digits[skip : skip + (len(digits) - skip) // 2 * 2]) for skip in range(2))


def _first_readable(readings: Iterable[bytes]) -> str | None:
    """The first reading that is text; else words that stand in any of them."""
    stretches: list[bytes] = []
    for data in readings:
        said = _readable(data)
        if said is not None:
            return said
        stretches += _STRETCH.findall(data)
    return b"\n".join(stretches).decode("ascii") if stretches else None


def _readable(data: bytes) -> str | None:
    """Text, or None when the bytes are a key, a hash or a picture."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "ignore")
        if len(text) < _PRINTABLE_SHARE * len(data):
            return None
    shown = _INVISIBLE.sub("", text)
    good = sum(char.isalnum() or char.isspace() or char in _USUAL or _TAGS.match(char) is not None for char in shown)
    return text if shown and good >= _PRINTABLE_SHARE * len(shown) else None
