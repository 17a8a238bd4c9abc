"""The rules on URLs, for a tenant's lists of hosts. Static rules know no lists; `finds` gives those of a tenant."""

import re
from collections.abc import Callable, Iterator, Mapping
from string import ascii_letters, digits
from typing import Final

from extproc.detectors.urls.host import Hosts
from extproc.detectors.urls.link import BEFORE_CHARS, LINK_ALPHABET, LINK_CHARS, OPENING, TRIGGERS, Link, Place, links
from extproc.detectors.urls.payload import carries
from extproc.guardrails.rule import Find, Rule, Shape
from gateway.policy.model import Urls

_PLACEHOLDER: Final = "[URL]"
FORBIDDEN: Final = "url.forbidden"
UNKNOWN: Final = "url.unknown"
HOMOGRAPH: Final = "url.homograph"
EXFILTRATION: Final = "url.exfiltration"
SCHEME: Final = "url.scheme"

_SHAPE: Final = Shape(limit_chars=LINK_CHARS, alphabet=LINK_ALPHABET, opens=LINK_ALPHABET, opening=OPENING)
_Judge = Callable[[Hosts, Link], bool]


def _forbidden(hosts: Hosts, link: Link) -> bool:
    # An authority that does not end where reading ends may still turn out to be any host's.
    return hosts.denied(link.host) or (
        hosts.denies_some and not link.whole and not link.rest and not hosts.allowed(link.host)
    )


def _unknown(hosts: Hosts, link: Link) -> bool:
    return hosts.allows_some and not hosts.allowed(link.host)


def _homograph(hosts: Hosts, link: Link) -> bool:
    return not hosts.allowed(link.host) and hosts.imitates(link.host)


def _exfiltration(hosts: Hosts, link: Link) -> bool:
    if hosts.allowed(link.host):
        return False
    if not link.whole or (link.place is Place.LOADED and "?" in link.rest):
        return True
    return carries(link.host, link.rest)


_JUDGES: Final[Mapping[str, _Judge]] = {
    FORBIDDEN: _forbidden, UNKNOWN: _unknown, HOMOGRAPH: _homograph, EXFILTRATION: _exfiltration,
}  # fmt: skip


def _find(judge: _Judge, hosts: Hosts) -> Find:
    def find(text: str, end: int) -> Iterator[tuple[int, int]]:
        for link in links(text, end):
            if judge(hosts, link):
                yield link.start, link.end

    return find


def finds(urls: Urls) -> Mapping[str, Find]:
    """What finds URLs for a tenant with these lists, by rule."""
    hosts = Hosts(urls)
    return {rule: _find(judge, hosts) for rule, judge in _JUDGES.items()}


def _rules() -> Iterator[Rule]:
    for rule, find in finds(Urls()).items():
        yield Rule(
            id=rule,
            placeholder=_PLACEHOLDER,
            triggers=TRIGGERS,
            find=find,
            before_chars=BEFORE_CHARS,
            shapes=(_SHAPE,),
        )


#: What may stand where a link leads: these, and addresses without a scheme.
_HARMLESS: Final = r"(?!(?:https?|mailto|tel|sms|ftps?|geo):|data:image/(?:png|jpe?g|gif|webp)[;,])"
_SCHEME_CHARS: Final = 32
_SCHEME_ALPHABET: Final = ascii_letters + digits + "+.-&#;:"
#: Markdown's address, an attribute that takes one, or an autolink of those that run or read something.
_SCHEME: Final = re.compile(
    rf"(?i)(?:(?<=\]\()|(?<=\(<)|(?<==)|(?<==[\"']))"
    rf"(?:{_HARMLESS}[a-z][a-z0-9+.-]{{1,24}}:|[a-z]{{0,16}}&(?:#x?[0-9a-f]{{1,7}}|colon|tab|newline);)"
    rf"|(?:(?<=<)|(?<=\]: )){_HARMLESS}(?:javascript|vbscript|data|file):"
)
_ATTRIBUTE: Final = re.compile(r"(?i)\b(?:href|src|srcset|action|formaction|poster|background)=[\"']?\Z")
_SCHEME_BEFORE_CHARS: Final = 14  # `formaction="`, and a character before it


def _find_scheme(text: str, end: int) -> Iterator[tuple[int, int]]:
    floor = max(0, end - _SCHEME_CHARS)
    start = max(text.rfind(mark, floor, end) for mark in "(<='\" ") + 1
    match = _SCHEME.match(text, start, start + _SCHEME_CHARS) if start else None
    if match is None:
        return
    before = text[max(0, start - _SCHEME_BEFORE_CHARS) : start]
    if before[-1:] in "=\"'" and not _ATTRIBUTE.search(before):
        return
    yield match.span()


_LINK_SCHEME: Final = Rule(
    id=SCHEME,
    placeholder=_PLACEHOLDER,
    triggers=(
        rb"\]\(<?[A-Za-z0-9+.-]{0,24}[:&]",
        rb"\]: [A-Za-z0-9+.-]{0,24}[:&]",
        rb"=[\"']?[A-Za-z0-9+.-]{0,24}[:&]",
        rb"<[A-Za-z]{4,10}:",
    ),
    find=_find_scheme,
    before_chars=_SCHEME_BEFORE_CHARS,
    shapes=(
        Shape(
            limit_chars=_SCHEME_CHARS,
            alphabet=_SCHEME_ALPHABET,
            opens=ascii_letters + "&",
            opening=re.compile(r"(?<=[(<='\"])[A-Za-z&]|(?<=\]: )[A-Za-z&]"),
        ),
    ),
)
URLS: Final[tuple[Rule, ...]] = (*_rules(), _LINK_SCHEME)
