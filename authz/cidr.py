"""Whether an address lies in one of some networks. Pure; an address that cannot be read lies in none."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def any_holds(cidrs: Iterable[str], address: str) -> bool:
    """Whether one of the networks (`192.0.2.0/24`) holds the address. IPv4 in IPv6 counts as IPv4."""
    try:
        parsed: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in _network(cidr) for cidr in cidrs)


@lru_cache(maxsize=4096)  # the networks of a policy's keys; parsing one costs more than asking it
def _network(cidr: str) -> _Network:
    return ipaddress.ip_network(cidr)
