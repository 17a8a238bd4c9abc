"""Slows down guessing: failed authentications by client address, counted by one worker in memory. Judges no credential.

A worker counts its share, `failures / workers`, as the local limiter does (gateway/limits/local.py): Envoy spreads the
requests of one address over all workers.
"""

import ipaddress
import math
from collections import OrderedDict
from typing import Final

from gateway.clock import Clock
from gateway.errors import GatewayError, Kind
from gateway.limits import gcra
from gateway.limits.gcra import Limit
from gateway.policy.model import Damping, Policy

#: About 200 bytes each. Whoever fails from more networks than this at a time is not slowed down by address anyway.
ADDRESSES: Final = 16_384
_SITE_BITS: Final = 64  # what one household or host gets at least (RFC 6177): its addresses are one guesser's
_US_PER_S: Final = 1_000_000


class AddressDamper:
    """GCRA over failures. For one event loop."""

    def __init__(self, clock: Clock, *, workers: int, addresses: int = ADDRESSES) -> None:
        self._clock = clock
        self._workers = workers
        self._addresses = addresses
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._known: tuple[Damping, Limit | None] | None = None

    def judge(self, address: str, policy: Policy) -> GatewayError | None:
        """The refusal of an address that failed too often, before its credential is looked at."""
        if not self._tats:
            return None
        tat = self._tats.get(_source(address))
        if tat is None:
            return None
        limit = self._limit(policy.damping)
        now = self._now_us()
        if limit is None or gcra.room(tat, now, limit) > 0:
            return None
        wait_us = gcra.spend(tat, now, limit).retry_after_us
        wait_s = max(1, math.ceil(wait_us / _US_PER_S))
        return GatewayError(
            Kind.AUTHENTICATION_THROTTLED,
            f"Too many credentials that do not count came from your address. Try again in {wait_s} s.",
            cause=f"{policy.damping.failures} failed authentications in {policy.damping.window_s} s",
            retry_after_s=wait_s,
        )

    def failed(self, address: str, policy: Policy) -> None:
        """The address has shown a credential that does not count."""
        limit = self._limit(policy.damping)
        if limit is None:
            return
        source = _source(address)
        # A failure that no longer fits came with others at the same time: it does not make the wait longer.
        self._tats[source] = gcra.spend(self._tats.get(source, 0), self._now_us(), limit).tat
        self._tats.move_to_end(source)
        while len(self._tats) > self._addresses:
            self._tats.popitem(last=False)

    def _limit(self, damping: Damping) -> Limit | None:
        """This worker's share; None when damping is off."""
        if self._known is None or self._known[0] is not damping:
            share = max(damping.failures // self._workers, 1)
            limit = Limit(share, damping.window_s * _US_PER_S) if damping.failures else None
            self._known = damping, limit
        return self._known[1]

    def _now_us(self) -> int:
        return int(self._clock.monotonic() * _US_PER_S)


def _source(address: str) -> str:
    """What counts as one guesser: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        read = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address  # Envoy's own words; whatever it is, it is one source
    if read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return f"{int(read) >> (128 - _SITE_BITS):x}/{_SITE_BITS}"
