"""E-mail addresses (RFC 5321 addr-spec without quoted local parts and address literals), Latin-1 letters included."""

import re
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Final

from extproc.guardrails.rule import Rule, Shape

_LATIN: Final = "".join(chr(code) for code in range(0xC0, 0x100) if code not in {0xD7, 0xF7})
_WORD: Final = ascii_letters + digits + _LATIN
#: The characters of real mailboxes, the apostrophe of names such as O'Brien among them. RFC 5322 also allows braces
#: and the like: in text and code they belong to what surrounds the address far more often than to the address.
_LOCAL: Final = _WORD + "._%+-'"
_LOCAL_CHARS: Final = 64  # RFC 5321, 4.5.3.1.1
_DOMAIN_CHARS: Final = 135  # RFC 1035 allows 253; with the local part and "@" this makes 200, and longer ones are cut
_DOMAIN: Final = re.compile(
    rf"(?:[{_WORD}](?:[{_WORD}-]{{0,61}}[{_WORD}])?\.)+[{ascii_letters}{_LATIN}][{_WORD}-]*[{_WORD}]"
)


def _find(text: str, end: int) -> Iterator[tuple[int, int]]:
    at = text.rindex("@", 0, end)
    window = text[max(0, at - _LOCAL_CHARS) : at]
    local = window[len(window.rstrip(_LOCAL)) :].lstrip(".%+-'")
    start = at - len(local)
    if not local:
        return
    domain = _DOMAIN.match(text, at + 1, at + 1 + _DOMAIN_CHARS)
    if domain is not None:
        yield start, domain.end()


EMAIL: Final = Rule(
    id="pii.email",
    placeholder="[EMAIL]",
    triggers=(rb"[A-Za-z0-9_\x80-\xff.%+'-]@[A-Za-z0-9\x80-\xff-]{1,126}\.",),  # a label of 63, two bytes a letter
    find=_find,
    before_chars=_LOCAL_CHARS,  # whether an address starts here depends on the whole local part
    shapes=(Shape(limit_chars=_LOCAL_CHARS + 1 + _DOMAIN_CHARS, alphabet=_LOCAL + "@", opens=_WORD + "_"),),
)
