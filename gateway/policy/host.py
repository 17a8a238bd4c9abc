"""Whether a host of a URL may be reached at all, and whether that stays on this machine. Resolves nothing."""

import ipaddress
import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123, section 2.1


def bad_host(host: str, *, v6: bool) -> str:
    """Why nothing can be reached at `host`, or ""."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        well_formed = all(_LABEL.fullmatch(label) for label in labels) and len(host) <= 253
        # A name whose last label is a number is an IPv4 address to some resolvers (WHATWG URL, 3.5).
        if v6 or not well_formed or re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
            return "not a host name or address"
        return ""
    # Link-local holds the credential services of clouds (169.254.169.254).
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return "not an address of a server"
    return ""


def is_loopback(host: str) -> bool:
    """Whether traffic to `host` stays on this machine. Names other than localhost may resolve anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # RFC 6761, section 6.3
