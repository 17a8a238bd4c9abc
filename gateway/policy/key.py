"""One API key of a policy, and the shapes of its parts, which keys of the registry share. Holds no key."""

import ipaddress
from datetime import datetime
from functools import lru_cache
from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.model import Key
from gateway.policy.problem import Problems, shown
from gateway.policy.rate import read_rate
from gateway.policy.tree import Scalar, Sequence

KEY_ID: Final = shape(r"[a-z0-9]{12}", "the 12 characters (a-z, 0-9) between osk_ and the secret")
PRINCIPAL: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._@+:/-]{0,127}", "up to 128 of A-Z a-z 0-9 . _ @ + : / -")
#: RFC 6749 section 3.3 allows more; these need no quoting anywhere.
SCOPE: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", "a scope of up to 64 of A-Z a-z 0-9 . _ : / -")
DIGEST: Final = shape(r"[0-9a-f]{64}", "the HMAC-SHA-256 of the key, 64 hex digits in lower case")
PEPPER: Final = shape(r"[A-Za-z0-9._-]{1,32}", "the version of a pepper, 1 to 32 of A-Z a-z 0-9 . _ -")
NETWORK: Final = shape(r"[0-9a-f.:]{2,39}/[0-9]{1,3}", "a network such as 192.0.2.0/24 or 2001:db8::/32")
LAST_SECOND: Final = 253_402_300_799  # 9999-12-31, the last date that Python can print
_EXPIRY: Final = shape(r"[0-9]{1,12}|[0-9T:.Z+-]{19,35}", "unix seconds or a time such as 2030-01-31T00:00:00Z")
#: Most networks of one key: each request from outside compares with all of them.
MAX_NETWORKS: Final = 64


def read_key(name: Scalar, tenant: str, models: frozenset[str], table: Table, problems: Problems) -> Key:
    """One entry of keys.yaml, for a tenant and models that the loader has looked up."""
    if isinstance(node := table.node("models"), Sequence) and not node.items:
        problems.add(node.mark, (*table.path, "models"), "empty", "leave it out for all models of the tenant")
    read = Key(
        id=name.text,
        tenant=tenant,
        principal=table.text("principal", PRINCIPAL),
        scopes=tuple(word.text for word in table.words("scopes", SCOPE, optional=True)),
        digest=table.text("digest", DIGEST),
        pepper=table.text("pepper", PEPPER),
        expires_at=_expiry(table, problems),
        disabled=table.flag("disabled"),
        rate=read_rate(table.table("rate")),
        models=models,
        cidrs=_networks(table, problems),
    )
    table.close()
    return read


@lru_cache(maxsize=1024)  # the keys of a tenant name the same few networks
def network_fault(text: str) -> str:
    """Why the text is not a network in its only spelling, or "". Others may let in more than their writer meant."""
    if not NETWORK.pattern.match(text):
        return f"expected {NETWORK.expected}"
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"expected {NETWORK.expected}"
    if str(network) != text:
        return f"bits are set beyond the prefix, or it is spelled unusually: did you mean {network}?"
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        return "an IPv4 network is written as such: addresses are compared after unmapping"
    return ""


def _networks(table: Table, problems: Problems) -> tuple[str, ...]:
    path = (*table.path, "cidrs")
    if isinstance(node := table.node("cidrs"), Sequence) and not node.items:
        problems.add(node.mark, path, "empty", "leave it out for every address")
    found = table.words("cidrs", NETWORK, optional=True)
    if len(found) > MAX_NETWORKS:
        problems.add(found[0].mark, path, f"more than {MAX_NETWORKS} networks", "name larger ones")
        return ()
    for at, word in enumerate(found):
        fault = network_fault(word.text)
        if fault:
            problems.add(word.mark, (*path, f"[{at}]"), fault)
    return tuple(sorted({word.text for word in found}))


def _expiry(table: Table, problems: Problems) -> int | None:
    word = table.scalar("expires_at", _EXPIRY, optional=True)
    if word is None:
        return None
    path = (*table.path, "expires_at")
    if word.text.isdigit():
        seconds = int(word.text)
    else:
        try:
            moment = datetime.fromisoformat(word.text)
        except ValueError:
            problems.add(word.mark, path, f"expected {_EXPIRY.expected}, found {shown(word.text)}")
            return None
        if moment.tzinfo is None:
            problems.add(word.mark, path, f"{shown(word.text)} has no time zone", "end it in Z for UTC")
            return None
        seconds = int(moment.timestamp())
    if not 0 < seconds <= LAST_SECOND:
        problems.add(word.mark, path, "expected a time between 1970 and 9999")
        return None
    return seconds
