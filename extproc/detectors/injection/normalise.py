"""What a text says once its disguises are taken off: a plain view, and further views of what its encodings hide.

Never raises. Every opening is one pass over the text and none makes it longer than its characters allow, so there is no
budget that an attacker could use up with decoys atext of the real thing. Judges nothing.
"""
# ruff: noqa: RUF001 - look-alikes are the subject

import base64
import binascii
import html
import re
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Base64 inside base64: one layer more than what red-team tools (garak's encoding probes, for one) produce.
DEPTH_MAX: Final = 2
#: Fewer hidden tag characters than this can be an emoji flag (at most 6 and a terminator).
TAGS_MIN: Final = 8


class Opening(StrEnum):
    """How a view was won. The gates of `patterns` name which of them are worth trying."""

    PLAIN = "plain"
    TAGS = "tags"
    HOMOGLYPH = "homoglyph"
    LEET = "leet"
    SPLIT = "split"
    ENTITY = "entity"
    URL = "url"
    BASE64 = "base64"
    HEX = "hex"
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
    }
)  # fmt: skip
_MIXED: Final = re.compile("[a-z][\u0370-\u052f\u0131\u0251\u0261]|[\u0370-\u052f\u0131\u0251\u0261][a-z]")
_LEET: Final = str.maketrans("013457@$!|", "oieastasil")
_SINGLES: Final = re.compile(r"(?<![a-z0-9])[a-z0-9](?:[^a-z0-9\n]{1,2}[a-z0-9]){3,}(?![a-z0-9])")
_GAP: Final = re.compile(r"[^a-z0-9]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s,:]?){8,}")
_HEX_NOISE: Final = re.compile(r"0x|\\x|[^0-9a-fA-F]")
_ESCAPE: Final = re.compile(r"\\u\{?([0-9a-fA-F]{4})\}?|\\x([0-9a-fA-F]{2})")
_ROT13: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
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


def hidden(text: str, low: str) -> list[View]:
    """Views that only non-ASCII text can have: tag characters and letters of a look-alike script inside words."""
    views = []
    tags = "".join(_TAGS.findall(text))
    if len(tags) >= TAGS_MIN:
        shown = "".join(chr(ord(char) - 0xE0000) for char in tags)
        views.append(View(Opening.TAGS, plain(shown)))
    if _MIXED.search(low):
        views.append(View(Opening.HOMOGLYPH, low.translate(_LOOKALIKES)))
    return views


def open_as(opening: Opening, text: str) -> list[View]:
    """What `text` says when read as `opening`; nothing if it is not so encoded. Linear."""
    match opening:
        case Opening.LEET:
            found = [text.lower().translate(_LEET)]
        case Opening.SPLIT:
            found = [_SINGLES.sub(_joined, plain(text))]
        case Opening.ENTITY:
            found = [html.unescape(text)]
        case Opening.URL:
            found = [urllib.parse.unquote_plus(text)]
        case Opening.ESCAPE:
            found = [_ESCAPE.sub(_escaped, text)]
        case Opening.ROT13:
            found = [text.lower().translate(_ROT13)]
        case Opening.REVERSED:
            found = [text[::-1]]
        case Opening.BASE64:
            found = _runs(_BASE64, text, _from_base64)
        case Opening.HEX:
            found = _runs(_HEX, text, _from_hex)
        case _:
            found = []
    return [View(opening, plain(each)) for each in found if each and each != text]


def _joined(match: re.Match[str]) -> str:
    """Letters set apart, put together. Whatever parts most of them is nothing, any other gap was one between words."""
    gaps = _GAP.findall(match[0])
    usual = Counter(gaps).most_common(1)[0][0]
    return _GAP.sub(lambda gap: "" if gap[0] == usual else " ", match[0])


def _escaped(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def _runs(shape: re.Pattern[str], text: str, decode: Callable[[str], str | None], depth: int = 1) -> list[str]:
    """Decoded runs of one layer, joined, and of the layers inside."""
    pieces = [piece for run in shape.finditer(text) if (piece := decode(run[0])) is not None]
    if not pieces:
        return []
    opened = "\n".join(pieces)
    deeper = _runs(shape, opened, decode, depth + 1) if depth < DEPTH_MAX else []
    return [opened, *deeper]


def _from_base64(run: str) -> str | None:
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _readable(base64.b64decode(body[: len(body) - (len(body) % 4 == 1)] + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return None


def _from_hex(run: str) -> str | None:
    digits = _HEX_NOISE.sub("", run.replace("0x", ""))
    return _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _readable(data: bytes) -> str | None:
    """Text, or None when the bytes are a key, a hash or a picture."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "ignore")
        if len(text) < _PRINTABLE_SHARE * len(data):
            return None
    good = sum(char.isalnum() or char.isspace() or char in ".,;:!?'\"-_()/<>[]{}|#*" for char in text)
    return text if text and good >= _PRINTABLE_SHARE * len(text) else None
