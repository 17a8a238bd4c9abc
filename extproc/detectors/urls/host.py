"""Hosts of URLs: as a browser reads them, which list names them, and whether one passes for another. No network."""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote

from extproc.detectors.injection.normalise import latin
from gateway.policy.model import Urls

#: Names that are imitated most (brands in the phishing reports of several years), each as its owner writes it.
_IMITATED: Final = (
    "adobe.com", "amazon.com", "americanexpress.com", "anthropic.com", "apple.com", "bankofamerica.com",
    "binance.com", "chase.com", "chatgpt.com", "citibank.com", "claude.ai", "cloudflare.com", "coinbase.com",
    "dhl.com", "discord.com", "docusign.com", "dropbox.com", "ebay.com", "facebook.com", "fedex.com", "github.com",
    "gitlab.com", "gmail.com", "google.com", "hsbc.com", "icloud.com", "instagram.com", "linkedin.com",
    "mastercard.com", "microsoft.com", "microsoftonline.com", "netflix.com", "office.com", "okta.com", "openai.com",
    "outlook.com", "paypal.com", "roblox.com", "salesforce.com", "slack.com", "spotify.com", "steamcommunity.com",
    "steampowered.com", "stripe.com", "telegram.org", "twitter.com", "usps.com", "walmart.com", "wellsfargo.com",
    "whatsapp.com", "wikipedia.org", "yahoo.com", "youtube.com",
)  # fmt: skip
#: Scripts whose letters pass for Latin ones. No honest label has letters of two of them, or of one and Latin.
_ALIKE: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN"})
_ENDS: Final = re.compile(r"[/\\?#]")
_ESCAPED: Final = re.compile(r"\\([._~@:-])")  # Markdown takes the backslash away
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-z]{2,8});")
#: What the eye does not tell apart in ASCII, and the Cyrillic letter that is only a stroke.
_STROKES: Final = str.maketrans("01i5\u04cf", "ollsl")


def host_of(rest: str) -> tuple[str, int]:
    """The host at the beginning of `rest`, what follows a URL's slashes, and where the authority ends."""
    loose = _ESCAPED.sub(r"\1", rest) if "\\" in rest else rest
    if "&" in loose:
        loose = _ENTITY.sub(lambda entity: html.unescape(entity.group()), loose)
    ends = _ENDS.search(loose)
    authority = loose if ends is None else loose[: ends.start()]
    after = len(rest) - (0 if ends is None else len(loose) - ends.start())
    name = authority.rpartition("@")[2]
    if not name.startswith("["):
        name = name.partition(":")[0]
    return canonical(unquote(name)), after


def canonical(name: str) -> str:
    """A host in one form: lower case, compatibility forms folded, Punycode read (RFC 3492), no dot at the end."""
    name = name if name.isascii() else unicodedata.normalize("NFKC", name).replace("\u3002", ".")
    name = name.lower().strip(".")
    if "xn--" not in name:
        return name
    return ".".join(map(_label, name.split(".")))


def _label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode").lower()
    except UnicodeError:  # no label of anybody's; it is on no list
        return label


class Hosts:
    """A tenant's lists. The most specific entry decides; where both lists have it, the host is denied."""

    __slots__ = ("_allow", "_deny", "_known", "_skeletons")

    def __init__(self, urls: Urls) -> None:
        self._allow: Final = _entries(urls.allow)
        self._deny: Final = _entries(urls.deny)
        known = {entry.removeprefix("*.") for entry in self._allow} | set(_IMITATED)
        self._known: Final = frozenset(known)
        self._skeletons: Final = frozenset(map(_skeleton, known))

    @property
    def allows_some(self) -> bool:
        """Whether there is a list of hosts that are known."""
        return bool(self._allow)

    @property
    def denies_some(self) -> bool:
        """Whether there is a list of hosts that are not wanted."""
        return bool(self._deny)

    def allowed(self, host: str) -> bool:
        """Whether the list of allowed hosts decides over `host`."""
        return self._listed(host) is self._allow

    def denied(self, host: str) -> bool:
        """Whether the list of denied hosts decides over `host`."""
        return self._listed(host) is self._deny

    def imitates(self, host: str) -> bool:
        """Whether a reader may take `host` for another: letters of two scripts in a label, or a known name's look."""
        if not host.isascii() and any(_mixed(label) for label in host.split(".")):
            return True
        names = list(_ends_of(host))
        if any(name in self._known for name in names):
            return False
        return any(_skeleton(name) in self._skeletons for name in names)

    def _listed(self, host: str) -> frozenset[str] | None:
        for entry in _covering(host):
            if entry in self._deny:
                return self._deny
            if entry in self._allow:
                return self._allow
        return None


def _entries(listed: Iterable[str]) -> frozenset[str]:
    return frozenset("*." + canonical(entry[2:]) if entry.startswith("*.") else canonical(entry) for entry in listed)


def _covering(host: str) -> Iterator[str]:
    """Every entry that covers `host`, most specific first."""
    yield host
    _, dot, below = host.partition(".")
    while dot:
        yield f"*.{below}"
        _, dot, below = below.partition(".")
    yield "*"


def _ends_of(host: str) -> Iterator[str]:
    """`a.b.com`, `b.com`. A host has at most a hundred labels: what is read of a URL is bounded."""
    while host:
        yield host
        host = host.partition(".")[2]
        if "." not in host:
            break


def _mixed(label: str) -> bool:
    scripts = {unicodedata.name(char, "").partition(" ")[0] for char in label if char.isalpha()}
    return len(scripts & _ALIKE) > 1


def _skeleton(host: str) -> str:
    if not host.isascii():
        host = latin(host)
    return host.translate(_STROKES).replace("rn", "m").replace("vv", "w")
