"""What may never be logged, as one pure function. Bounded in size, depth and time; knows no structlog.

Two nets, because either alone has holes: values under names that sound secret are masked whole, and text that
looks like a credential is masked wherever it stands. Prompt text is kept out by who logs: no net sees it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Final

MASK: Final = "[redacted]"
CUT: Final = "...[cut]"

#: Longest text of one value: four screen lines, and far above any reason or path that we log ourselves.
TEXT_CHARS: Final = 1024
#: Values in one event, counted through all levels. Our widest event has about 25.
NODES: Final = 128
#: Levels of nesting. Our own events have one.
DEPTH: Final = 4
_NAME_CHARS: Final = 64

_INT64: Final = 2**63  # beyond it orjson refuses an integer

# --- names --------------------------------------------------------------------------------------------------

_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SECRET_WORDS: Final = frozenset(
    {
        "authorization", "authorisation", "cookie", "cookies", "password", "passwd", "passphrase", "pwd",
        "secret", "secrets", "token", "pepper", "peppers", "credential", "credentials", "bearer", "jwt",
        "apikey", "apikeys", "csrf", "otp",
    },
)  # fmt: skip
#: "key" alone is a word of dictionaries and caches; behind these it is a secret.
_SECRET_KEYS: Final = frozenset({"api", "private", "access", "signing", "encryption", "secret", "master", "hmac"})
#: A name that ends so tells something about a secret, not the secret: `token_count`, `secret_file`, `key_id`.
_HARMLESS_ENDS: Final = frozenset(
    {
        "id",
        "ids",
        "count",
        "file",
        "path",
        "dir",
        "name",
        "kind",
        "type",
        "version",
        "bytes",
        "chars",
        "s",
        "ms",
    },
)


@lru_cache(maxsize=512)  # names are few; the bound is for those that come from outside
def _named(name: str) -> tuple[str, bool]:
    """The name as it may be shown, and whether its value may not."""
    return text(name)[:_NAME_CHARS], _secret_name(name)


def _secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _HARMLESS_ENDS:
        return False
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return any(end in {"key", "keys"} and start in _SECRET_KEYS for start, end in pairwise(words))


# --- text ---------------------------------------------------------------------------------------------------

# Runs are possessive (++), and a run that failed cannot hold the start of its branch: each place of a text
# is tried once by each branch, so the time is linear. Every branch starts with one literal character (hence b and
# B): only then does `re` skip the places where none can start, which makes it five times as fast.
_MARKED: Final = re.compile(
    r"""
      osk_[A-Za-z0-9_]++                                          # our own API keys
    | ocs_[A-Za-z0-9_\-]{8,}+                                     # secrets of our own service accounts
    | s(?<![A-Za-z0-9]s)k[-_][A-Za-z0-9_\-]{8,}+                  # OpenAI, Anthropic, Stripe
    | b[Ee][Aa][Rr][Ee][Rr][ \t:=]++(?!tokens?(?:[\s.,;]|$)|realm=)[^\s"',;]++
    | B[Ee][Aa][Rr][Ee][Rr][ \t:=]++(?!tokens?(?:[\s.,;]|$)|realm=)[^\s"',;]++
    | b(?<![A-Za-z0-9]b)[Aa][Ss][Ii][Cc][ \t]++(?=[a-z]*+[A-Z0-9+/=])[A-Za-z0-9+/]{4,}+=*+
    | B(?<![A-Za-z0-9]B)[Aa][Ss][Ii][Cc][ \t]++(?=[a-z]*+[A-Z0-9+/=])[A-Za-z0-9+/]{4,}+=*+
    | eyJ[A-Za-z0-9_\-]{8,}+(?:\.[A-Za-z0-9_\-]*+)*+              # JWT: base64url of {"
    | AKIA[A-Z0-9]{12,}+ | ASIA[A-Z0-9]{12,}+                      # AWS
    | AIza[A-Za-z0-9_\-]{20,}+                                    # Google
    | gh[opsur]_[A-Za-z0-9]{16,}+ | github_pat_[A-Za-z0-9_]{16,}+  # GitHub
    | glpat-[A-Za-z0-9_\-]{16,}+                                  # GitLab
    | hf_[A-Za-z0-9]{16,}+ | hvs\.[A-Za-z0-9_\-]{16,}+            # Hugging Face, Vault
    | xox[a-z]-[A-Za-z0-9\-]{8,}+                                 # Slack
    | ://[^\s/@"']*+(?=@)                                         # user and password of a URL
    | -----BEGIN[^-]*+-----[^-]*+(?:-----END[^-]*+-----)?+         # PEM
    """,
    re.VERBOSE,
)
#: Shorter runs are ids: a UUID has 36 characters, a trace id 32.
_RUN_CHARS: Final = 40
_RUN: Final = re.compile(rf"[A-Za-z0-9+/_\-]{{{_RUN_CHARS},}}+=*+")
#: 32 bytes of hex: a pepper as well as a digest. The digest is the smaller loss.
_HEX_CHARS: Final = 64
_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{_HEX_CHARS},}}+")
_RUN_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_=-."


def text(value: str) -> str:
    """`value` without what looks like a credential, at most `TEXT_CHARS` long, encodable as UTF-8."""
    cut = len(value) > TEXT_CHARS
    if cut:
        # A credential cut in half would be too short to be seen: the last, broken word goes as a whole.
        value = value[:TEXT_CHARS].rstrip(_RUN_ALPHABET)
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()  # lone surrogates, which no encoder takes
    value = _MARKED.sub(MASK, value)
    if len(value) >= _RUN_CHARS:
        value = _RUN.sub(_dense, value)
    return value + CUT if cut else value


def _dense(match: re.Match[str]) -> str:
    """Masks a run that looks random; words, paths, lower-case trace contexts and dates are left."""
    run = match.group()
    if _HEX.search(run):
        return MASK
    mixed = run != run.lower() and run != run.upper() and any(map(str.isdigit, run))
    return MASK if mixed else run


# --- values -------------------------------------------------------------------------------------------------


def event(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `fields` that holds JSON types only and no secret that either net can see."""
    return _mapping(fields, DEPTH, [NODES])


def _mapping(fields: Mapping[Any, Any], depth: int, left: list[int]) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key, value in fields.items():
        left[0] -= 1
        if left[0] < 0:
            clean["cut"] = True
            break
        name, secret = _named(key[:TEXT_CHARS] if isinstance(key, str) else f"<{type(key).__name__}>")
        if secret and value is not None and not isinstance(value, bool):
            clean[name] = MASK
        else:
            clean[name] = _value(value, depth, left)
    return clean


def _value(value: Any, depth: int, left: list[int]) -> Any:
    kind = type(value)
    if kind is str:
        return text(value)
    if kind is bool or value is None or kind is float:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else CUT
    return _rare(value, depth, left)


def _rare(value: Any, depth: int, left: list[int]) -> Any:
    """Containers, and everything that is told by its type alone: a repr may show what its object holds."""
    if isinstance(value, str):  # enums and other subclasses: their text, not their repr
        return text(str.__str__(value))
    if isinstance(value, PurePath):
        return text(str(value))
    if isinstance(value, int):
        return _value(int(value), depth, left)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth <= 1:
            return CUT
        if isinstance(value, Mapping):
            return _mapping(value, depth - 1, left)
        return _items(value, depth - 1, left)
    return f"<{type(value).__name__}>"


def _items(values: Any, depth: int, left: list[int]) -> list[Any]:
    clean: list[Any] = []
    for value in values:
        left[0] -= 1
        if left[0] < 0:
            clean.append(CUT)
            break
        clean.append(_value(value, depth, left))
    return clean
