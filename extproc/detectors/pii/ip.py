"""IP addresses (RFC 791, RFC 4291) that can tell who or where somebody is: no loopback, masks, versions or times."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address, IPv6Network, ip_network
from string import digits, hexdigits
from typing import Final

from extproc.guardrails.rule import Rule, Shape

_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"  # no leading zeros: some readers take them for octal
#: Whole, and not the beginning of a longer version number. Loopback, "any" and netmasks tell nothing about anybody.
_V4: Final = re.compile(rf"(?!127\.|255\.|0\.0\.0\.0)(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?[0-9])(?![A-Za-z_])")
_V4_START: Final = re.compile(r"(?<![0-9A-Za-z_.])(?<![A-Za-z]-)(?=[0-9]{1,3}\.)")
_V4_CHARS: Final = 15
_V4_READ_CHARS: Final = _V4_CHARS + 2  # a dot and a digit behind it make a longer version number
_BEFORE_CHARS: Final = 12  # the longest word below, what separates it, and the character before it
#: Four-part version, build and section numbers look like addresses; the word before them tells.
_NUMBERED: Final = ("version", "ver", "ver.", "release", "build", "section", "chapter", "clause", "§")
_NUMBERED_WORD: Final = re.compile(rf"(?<![a-z])(?:{'|'.join(map(re.escape, _NUMBERED))})\Z")
_NUMBERED_GAPS: Final = " :="
_NUMBERED_GAPS_CHARS: Final = 2


#: The parts of the IPv6 space in use. Anything else that parses (`a::b`, eight pairs of hex digits) is code or data.
_V6_NETWORKS: Final = tuple(
    ip_network(network)
    for network in ("2000::/3", "fc00::/7", "fe80::/10", "ff00::/8", "::ffff:0:0/96", "64:ff9b::/96")
)
_V6_CHARS: Final = 45  # eight groups with an IPv4 address in the last two
_V6_RUN: Final = hexdigits + ":."
_V6_BODY: Final = re.compile(rf"[{hexdigits}:.]+")


def _is_numbered(text: str, start: int) -> bool:
    """Whether the number at `start` is introduced as a version or section."""
    before = text[max(0, start - _BEFORE_CHARS) : start]
    word = before.rstrip(_NUMBERED_GAPS).lower()
    if len(before) - len(word) > _NUMBERED_GAPS_CHARS or not word.endswith(_NUMBERED):
        return False
    return _NUMBERED_WORD.search(word) is not None  # "server" ends like "ver"


def _find_v4(text: str, end: int) -> Iterator[tuple[int, int]]:
    for head in _V4_START.finditer(text, max(0, end - _V4_CHARS), end):
        start = head.start()
        match = _V4.match(text, start, start + _V4_READ_CHARS)
        if match is not None and not _is_numbered(text, start):
            yield start, match.end()


def _is_v6(word: str) -> bool:
    try:
        address = IPv6Address(word)
    except AddressValueError:
        return False
    return any(isinstance(network, IPv6Network) and address in network for network in _V6_NETWORKS)


def _find_v6(text: str, end: int) -> Iterator[tuple[int, int]]:
    window = text[max(0, end - _V6_CHARS) : end]
    start = end - (len(window) - len(window.rstrip(_V6_RUN)))
    if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        return
    body = _V6_BODY.match(text, start, start + _V6_CHARS)
    if body is None:
        return
    word = body.group().rstrip(".")
    if word.endswith(":") and not word.endswith("::"):  # "2001:db8::1: reachable"
        word = word[:-1]
    after = text[start + len(word) : start + len(word) + 1]
    if not (after.isalnum() or after == "_") and _is_v6(word):
        yield start, start + len(word)


V4: Final = Rule(
    id="pii.ipv4",
    placeholder="[IP]",
    triggers=(rb"(?:^|[^0-9A-Za-z_.])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",),
    find=_find_v4,
    before_chars=_BEFORE_CHARS,
    shapes=(Shape(limit_chars=_V4_READ_CHARS, alphabet=digits + ".", opens=digits),),
)
V6: Final = Rule(
    id="pii.ipv6",
    placeholder="[IP]",
    triggers=(rb"(?:^|[^0-9A-Za-z_:.])(?:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}|:):",),
    find=_find_v6,
    before_chars=1,
    shapes=(Shape(limit_chars=_V6_CHARS + 1, alphabet=_V6_RUN, opens=hexdigits + ":"),),
)
