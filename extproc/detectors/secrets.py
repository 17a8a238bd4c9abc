"""Keys and tokens that open something: told by the fixed prefixes of their issuers, or by what they are assigned to.

Entropy alone tells nothing: hashes and identifiers have as much.

A token that is longer than its rule's window is swallowed to its end by the rule's tail, so no length leaks.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import log2
from string import ascii_letters, ascii_uppercase, digits
from typing import Final

from extproc.detectors.pii.formed import labelled
from extproc.guardrails.rule import Rule, Shape, Tail

_PLACEHOLDER: Final = "[SECRET]"
_ALNUM: Final = ascii_letters + digits
_TOKEN: Final = _ALNUM + "_-"
#: A token starts after something that no token contains, or after a newline that is still escaped ("\\nsk-…").
_START: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"
_START_TRIGGER: Final = rb"(?:^|[^A-Za-z0-9_-]|\\[nrt])"
_START_CHARS: Final = 2


def _prefixed(
    rule: str, heads: dict[int, bytes], shape: str, *, alphabet: str, limit_chars: int, opens: str, longer: bool = True
) -> Rule:
    """A rule for tokens with a known prefix. `heads`: triggers by their fixed length, so that the start is known."""
    pattern = re.compile(_START + shape)

    def find(text: str, end: int) -> Iterator[tuple[int, int]]:
        for head_chars in heads:
            start = end - head_chars
            match = pattern.match(text, start, start + limit_chars) if start >= 0 else None
            if match is not None:
                yield match.span()

    return Rule(
        id=rule,
        placeholder=_PLACEHOLDER,
        triggers=tuple(_START_TRIGGER + head for head in heads.values()),
        find=find,
        before_chars=_START_CHARS,
        shapes=(Shape(limit_chars=limit_chars, alphabet=alphabet, opens=opens),),
        tail=Tail(alphabet=alphabet) if longer else None,
    )


OPENAI: Final = _prefixed(
    "secrets.openai",
    {23: rb"sk-[A-Za-z0-9_-]{20}"},
    # Twelve letters and digits in a row tell a key from kebab-case names such as sk-loading-spinner-container.
    r"sk-(?!ant-)(?=(?:[A-Za-z0-9]*[_-])*?(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{12})[A-Za-z0-9_-]{20,}",
    alphabet=_TOKEN,
    limit_chars=67,  # project keys have base64url characters; a run of twelve is all but sure in the first 64
    opens="s",
)
ANTHROPIC: Final = _prefixed(
    "secrets.anthropic",
    {27: rb"sk-ant-[A-Za-z0-9_-]{20}"},
    r"sk-ant-[A-Za-z0-9_-]{20,}",
    alphabet=_TOKEN,
    limit_chars=40,  # the rest of about 108 is the tail's
    opens="s",
)
AWS_ACCESS_KEY: Final = _prefixed(
    "secrets.aws_access_key",
    {20: rb"A(?:KIA|SIA)[A-Z0-9]{16}"},
    r"A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    alphabet=ascii_uppercase + digits,
    limit_chars=21,  # 20, and the character behind that must not go on
    opens="A",
    longer=False,
)
GITHUB: Final = _prefixed(
    "secrets.github",
    {40: rb"gh[oprsu]_[A-Za-z0-9]{36}", 33: rb"github_pat_[A-Za-z0-9_]{22}"},
    r"(?:gh[oprsu]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    alphabet=_ALNUM + "_",
    limit_chars=48,
    opens="g",
)
SLACK: Final = _prefixed(
    "secrets.slack",
    {15: rb"x(?:ox[abeoprs]|app)-[A-Za-z0-9-]{10}"},
    r"x(?:ox[abeoprs]|app)-(?=[A-Za-z-]*[0-9])[A-Za-z0-9-]{10,}",
    alphabet=_ALNUM + "-",
    limit_chars=40,
    opens="x",
)
GOOGLE_API: Final = _prefixed(
    "secrets.google_api",
    {39: rb"AIza[A-Za-z0-9_-]{35}"},
    r"AIza[A-Za-z0-9_-]{35,}",
    alphabet=_TOKEN,
    limit_chars=40,
    opens="A",
)
STRIPE: Final = _prefixed(
    "secrets.stripe",
    {24: rb"[rs]k_live_[A-Za-z0-9]{16}"},  # test keys open nothing
    r"[rs]k_live_[A-Za-z0-9]{16,}",
    alphabet=_ALNUM + "_",
    limit_chars=32,
    opens="rs",
)
#: Head of a token by its length, and a token, for issuers with one kind of token each.
_VENDORS: Final = {
    24: (rb"(?:(?:hv[bs]\.|gsk_|xai-)[A-Za-z0-9_-]{20})", r"hv[bs]\.[A-Za-z0-9_-]{20,}|(?:gsk_|xai-)[A-Za-z0-9]{20,}"),
    25: (rb"(?:ya29\.|pypi-)[A-Za-z0-9_-]{20}", r"ya29\.[A-Za-z0-9_-]{20,}|pypi-Ag[A-Za-z0-9_-]{18,}"),
    26: (rb"glpat-[A-Za-z0-9_-]{20}", r"glpat-[A-Za-z0-9_-]{20,}"),
    27: (rb"GOCSPX-[A-Za-z0-9_-]{20}", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    33: (rb"hf_[A-Za-z0-9]{30}", r"hf_[A-Za-z0-9]{30,}"),
    34: (rb"SK[0-9a-f]{32}", r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    36: (rb"dapi[0-9a-f]{32}", r"dapi[0-9a-f]{32,}"),
    38: (rb"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32,}"),
    39: (rb"do[opr]_v1_[0-9a-f]{32}", r"do[opr]_v1_[0-9a-f]{32,}"),
    40: (rb"npm_[A-Za-z0-9]{36}", r"npm_[A-Za-z0-9]{36,}"),
    42: (rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{16}", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{16,}"),
}  # fmt: skip
VENDOR_TOKEN: Final = replace(
    _prefixed(
        "secrets.vendor_token",
        {chars: head for chars, (head, _) in _VENDORS.items()},
        "(?:" + "|".join(shape for _, shape in _VENDORS.values()) + ")",
        alphabet=_TOKEN + ".",
        limit_chars=48,
        opens="GSdghnpsxy",
    ),
    tail=Tail(alphabet=_TOKEN),  # a full stop behind a token is a sentence's
)

_LABELS: Final = (
    "password", "passwd", "passphrase", "pwd", "identified by", "db[_-]?pass(?:word)?", "user[_-]?pass(?:word)?",
    "smtp[_-]?pass(?:word)?", "secret", "token", "api[_-]?key", "apikey", "access[_-]?key", "account[_-]?key",
    "auth[_-]?key", "encryption[_-]?key", "signing[_-]?key", "shared[_-]?access[_-]?key", "secret[_-]?key",
    "secret[_-]?access[_-]?key", "client[_-]?secret",
)  # fmt: skip
_SIGNS: Final = "+~!@$%^"  # of passwords; what else a value may hold stands in names, in Markdown and in entities too
_VALUE: Final = _ALNUM + _SIGNS + "#&*/=_.-"
_VALUE_CHARS: Final = 64
#: What reads a secret instead of being one: names with dots, addresses, and what stands for a value.
_NO_VALUE: Final = re.compile(
    r"[A-Za-z_]+(?:\.[A-Za-z_]\w*)+|[^@]+@[^@]+\.[A-Za-z]{2,}|.*(?:x{4}|\*{3}|example\.com|placeholder|change.?me|your[_-]).*",
    re.IGNORECASE,
)
_LEAST_BITS: Final = 2.5  # a character, of what is short: eight different ones have three
_LONG: Final = 32  # from here on, one figure among letters will do: no name in code is as long


def _random(value: str) -> bool:
    """Whether nobody would have made up `value` to be read: three kinds of characters, well mixed."""
    if _NO_VALUE.fullmatch(value) is not None:
        return False
    figures = [char.isdigit() for char in value if char.isalnum()]
    changes = sum(one is not other for one, other in pairwise(figures))
    signs = any(char in _SIGNS for char in value)
    kinds = signs + any(figures) + any(map(str.islower, value)) + any(map(str.isupper, value))
    bits = -sum(count / len(value) * log2(count / len(value)) for count in Counter(value).values())
    # Two changes between letters and digits tell ab12cd from handler2; four do where there is one case only.
    mixed = changes >= 4 or (kinds >= 3 and (signs or changes >= 2)) or (len(value) >= _LONG and changes > 0)
    return mixed and bits >= _LEAST_BITS


ASSIGNED: Final = replace(
    labelled(
        "secrets.assigned",
        _PLACEHOLDER,
        labels=_LABELS,
        pattern=r"[A-Za-z0-9+/][A-Za-z0-9+/=_.~!@#$%^&*-]{7,}(?![(\[{])",
        limit_chars=_VALUE_CHARS,
        alphabet=_VALUE,
        opens=_ALNUM + "+/",
        accept=_random,
    ),
    tail=Tail(alphabet=_VALUE),
)

_JWT_CHARS: Final = 200
JWT: Final = _prefixed(
    "secrets.jwt",
    {11: rb"eyJ[A-Za-z0-9_-]{8}"},
    # Two dots (RFC 7515, 7.1), or so long that the second dot is not in the window: then it is taken for a token.
    rf"eyJ(?:[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]{{4,}}\.[A-Za-z0-9_.-]*|[A-Za-z0-9_.-]{{{_JWT_CHARS - 3}}})",
    alphabet=_TOKEN + ".",
    limit_chars=_JWT_CHARS,
    opens="e",
)

_PEM_LABEL: Final = r"[A-Z0-9 ]{0,32}PRIVATE KEY"
_PEM_HEAD: Final = rf"(?:-----BEGIN {_PEM_LABEL}(?: BLOCK)?-----|---- BEGIN {_PEM_LABEL} ----)"
_PEM_PATTERN: Final = re.compile(_PEM_HEAD)
_PEM_HEAD_CHARS: Final = 65  # the longest header that the pattern allows
_PEM_DASHES: Final = 5  # "-----" of RFC 7468, "---- " of RFC 4716


def _find_private_key(text: str, end: int) -> Iterator[tuple[int, int]]:
    start = text.rfind("BEGIN", max(0, end - _PEM_HEAD_CHARS), end) - _PEM_DASHES
    match = _PEM_PATTERN.match(text, start) if start >= 0 else None
    if match is not None:
        yield match.span()


PRIVATE_KEY: Final = Rule(
    id="secrets.private_key",
    placeholder=_PLACEHOLDER,
    triggers=(_PEM_HEAD.encode(),),
    find=_find_private_key,
    before_chars=1,
    shapes=(
        Shape(
            limit_chars=_PEM_HEAD_CHARS,
            alphabet=ascii_uppercase + digits + " -",
            opens="-",
            opening=re.compile(r"-{1,4}\Z|-----(?:B|\Z)|---- (?:B|\Z)"),
        ),
    ),
    tail=Tail(
        # Base64, white space, RFC 1421 headers, and what surrounds the lines of a key in code, quotes and logs: escaped
        # newlines, string quotes, plus signs, "> " and comment marks. Anything else ends the key.
        alphabet=_ALNUM + "+/=-_ \t\r\n\\:;,.\"'>|#*()",
        cap_chars=16 * 1024,  # an RSA-16384 key has 12.6 KiB
        # The closing line; or, when there is none, the end of a sentence.
        closes=re.compile(r"-----END [A-Z0-9 ]{0,44}-----|---- END [A-Z0-9 ]{1,44} ----|\.[ \t\r\n]"),
        closes_chars=59,
    ),
)

_USERINFO: Final = _ALNUM + "-._~%!$&()*+,;=:^"
_USERINFO_CLASS: Final = r"[A-Za-z0-9._~%!$&()*+,;=:^@-]"
_SCHEME_CHARS: Final = len("://")
_USERINFO_CHARS: Final = 160
_PASSWORD: Final = re.compile(r"[^:@]*:(?![*x]+\Z)[^@].*\Z")  # "****" and "xxxx" stand for a password


def _find_url_password(text: str, end: int) -> Iterator[tuple[int, int]]:
    start = text.rfind("://", max(0, end - _USERINFO_CHARS - 4), end) + _SCHEME_CHARS
    if start < _SCHEME_CHARS:
        return
    stop = end - 1 if end - start <= _USERINFO_CHARS and text[end - 1] == "@" else start + _USERINFO_CHARS
    if stop <= end and _PASSWORD.match(text, start, stop):
        yield start, stop


#: The user and password of a URL (RFC 3986, 3.2.1), not its scheme and host: those tell the reader what was removed.
URL_PASSWORD: Final = Rule(
    id="secrets.url_password",
    placeholder=_PLACEHOLDER,
    triggers=(
        rf"://{_USERINFO_CLASS}{{2,{_USERINFO_CHARS}}}@".encode(),
        rf"://{_USERINFO_CLASS}{{{_USERINFO_CHARS}}}".encode(),
    ),
    find=_find_url_password,
    before_chars=_SCHEME_CHARS,
    shapes=(
        Shape(
            limit_chars=_USERINFO_CHARS,
            alphabet=_USERINFO + "@",
            opens=_USERINFO + "@",
            opening=re.compile(r"(?<=://)"),
        ),
    ),
    tail=Tail(alphabet=_USERINFO),  # a password that is longer than the window ends at its "@"
)
SECRETS: Final = (
    OPENAI, ANTHROPIC, AWS_ACCESS_KEY, GITHUB, SLACK, GOOGLE_API, STRIPE, JWT, PRIVATE_KEY, URL_PASSWORD,
    VENDOR_TOKEN, ASSIGNED,
)  # fmt: skip
