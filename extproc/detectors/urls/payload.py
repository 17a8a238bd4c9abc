"""Whether a URL carries data out: long values that no person would type, or sentences, in path, query or fragment."""

import re
from typing import Final
from urllib.parse import unquote_plus

#: A UUID has 32 letters and digits, a Git commit 40: identifiers, too short to carry a conversation.
_VALUE_CHARS: Final = 41
_PATH_CHARS: Final = 49
_LABEL_CHARS: Final = 32  # names for DNS carry at most 63 characters a label
_QUERY_CHARS: Final = 160  # in all: a search has some thirty, tracking some hundred
_SENTENCE_CHARS: Final = 48
_SENTENCE_GAPS: Final = 6
#: Share of neighbours of different kinds (small, capital, digit): base64 0.64, hex 0.47, words in a path below 0.2.
_TURNS: Final = 0.3
_VALUES: Final = re.compile(r"[/?&#;=,:]")
_PIECES: Final = re.compile(r"[A-Za-z0-9]+")
_KINDS: Final = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "a" * 26 + "A" * 26 + "0" * 10
)
_TURN: Final = re.compile(r"aA|Aa|a0|0a|A0|0A")


def carries(host: str, rest: str) -> bool:
    """Whether data travel in `rest`, what follows the authority, or in the labels of `host`."""
    path, mark, query = rest.partition("?")
    if not mark:
        path, mark, query = rest.partition("#")
    if any(_encoded(label, _LABEL_CHARS) for label in host.split(".")):
        return True
    if any(_encoded(value, _PATH_CHARS) for value in path.split("/")):
        return True
    return bool(query) and (
        len(query) >= _QUERY_CHARS or any(map(_tells, _VALUES.split(query))) or _encoded(query, 2 * _VALUE_CHARS)
    )


def _tells(value: str) -> bool:
    return _encoded(value, _VALUE_CHARS) or _sentence(value)


def _encoded(value: str, least: int) -> bool:
    """At least `least` letters and digits in an order that is no words."""
    if len(value) < least:
        return False
    pieces = _PIECES.findall(value)
    if any(len(piece) >= least for piece in pieces):
        return True
    run = "".join(pieces)
    if len(run) < least:
        return False
    kinds = run.translate(_KINDS)
    return len(_TURN.findall(kinds)) + len(_TURN.findall(kinds, 1)) >= _TURNS * len(run) and _mixed(kinds)


def _mixed(kinds: str) -> bool:
    return "0" in kinds and ("a" in kinds or "A" in kinds)


def _sentence(value: str) -> bool:
    if len(value) < _SENTENCE_CHARS:
        return False
    plain = unquote_plus(value)
    return len(plain) >= _SENTENCE_CHARS and plain.count(" ") + plain.count("_") >= _SENTENCE_GAPS
