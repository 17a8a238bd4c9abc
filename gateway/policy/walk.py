"""In which order the backends of a pool are asked, and under which name Envoy knows that order. Pure.

Envoy asks the n-th backend of a walk on the n-th attempt, so every walk that may be chosen must have been rendered:
the renderer lists them here, and `inspect` chooses one of them here.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import orjson

from gateway import contract
from gateway.policy.model import Policy, Pool, Select

#: Any backend may be left out (no credential, a restriction), so walks double with each: 26 of five when ordered, 75
#: when weighted.
BACKENDS_MAX: Final = 5
#: Of one policy. Each is a cluster in Envoy with a filter chain of its own, and a line in the route table.
WALKS_MAX: Final = 256
_HEX_DIGITS: Final = 12  # 48 bits, as in a policy's version
_FRACTIONS: Final = 2**64


@dataclass(frozen=True, slots=True)
class Walk:
    """Two or more backends in the order of the attempts. One alone is no walk: it has a route of its own."""

    backends: tuple[str, ...]
    retry_on: frozenset[str]
    first_byte_s: int

    @property
    def route(self) -> str:
        """The route header's value, and the name of the composite cluster."""
        content = orjson.dumps([self.backends, sorted(self.retry_on), self.first_byte_s])
        return contract.pool_route_of(hashlib.sha256(content).hexdigest()[:_HEX_DIGITS])


def walks(policy: Policy) -> list[Walk]:
    """Every walk that a request may need, each once, in a fixed order."""
    pools = [model.pool for _, model in sorted(policy.models.items()) if model.pool is not None]
    found = dict.fromkeys(walk for pool in pools for walk in walks_of(pool))
    return sorted(found, key=lambda walk: walk.route)


def walks_of(pool: Pool) -> Iterator[Walk]:
    """For every set of two or more of its backends, and each that may be the first of it."""
    for size in range(2, len(pool.backends) + 1):
        for allowed in combinations(pool.backends, size):
            for first in _firsts(pool, allowed):
                yield _walk(pool, allowed, first)


def count(pool: Pool) -> int:
    """How many walks a pool needs."""
    return sum(1 for _ in walks_of(pool))


def able(pool: Pool, ready: Collection[str], features: Collection[str], tokens: int) -> tuple[str, ...]:
    """The backends that can do what a request asks for, in the order of the pool; may be empty."""
    found = [name for name in pool.backends if name in ready and pool.lacks.get(name, frozenset()).isdisjoint(features)]
    return tuple([name for name in found if tokens <= pool.context.get(name, tokens)])


def allowed(pool: Pool, ready: Collection[str], rules: Collection[str]) -> tuple[str, ...]:
    """The backends that may see a request in which `rules` fired, in the order of the pool; may be empty."""
    found = [name for name in pool.backends if name in ready]
    for each in pool.restrictions:
        if any(map(each.covers, rules)):
            found = [name for name in found if name in each.backends]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Draw:
    """What one request is sent by, where a pool's first backend is not simply the first."""

    request_id: str
    caller: str = ""  # tenant and principal
    price: Callable[[str], int | None] = lambda _backend: None  # what it may cost at a backend; None: not known
    fastest: Callable[[Sequence[str], float], str] = lambda names, _lot: names[0]  # lately; a lot is from 0 to 1
    score: int = 0  # how hard the request looks


def choose(pool: Pool, allowed: tuple[str, ...], draw: Draw) -> Walk:
    """The walk of one request. `allowed` is not empty."""
    return _walk(pool, allowed, _first(pool, allowed, draw))


def _walk(pool: Pool, allowed: tuple[str, ...], first: str) -> Walk:
    rest = tuple([name for name in allowed if name != first])
    return Walk((first, *rest), pool.retry_on, pool.first_byte_s)


def _firsts(pool: Pool, allowed: tuple[str, ...]) -> tuple[str, ...]:
    if pool.select is Select.ORDERED:
        return allowed[:1]
    if pool.weights:
        return tuple([name for name in allowed if pool.weights.get(name, 0) > 0]) or allowed[:1]
    if pool.select is Select.COMPLEXITY:
        return tuple({pool.scores.get(name, 0): name for name in reversed(allowed)}.values())
    return allowed


def _first(pool: Pool, allowed: tuple[str, ...], draw: Draw) -> str:
    """The same on every replica, and not by anything that a client chooses."""
    firsts = _firsts(pool, allowed)
    if len(firsts) == 1:
        return firsts[0]
    if pool.select is Select.STICKY:
        # Highest random weight (Thaler and Ravishankar, 1998): who is left out moves nobody else.
        if not pool.weights:
            return max(firsts, key=lambda name: _number(f"sticky {draw.caller} {name}"))
        # With weights (Schindelhauer and Schomaker, 2005): one that grows draws callers and moves nobody else.
        return max(firsts, key=lambda name: _weighted(f"sticky {draw.caller} {name}", pool.weights[name]))
    if pool.select is Select.CHEAPEST:
        prices = {name: draw.price(name) for name in firsts}
        return min(firsts, key=lambda name: (prices[name] is None, prices[name] or 0))
    if pool.select is Select.LATENCY:
        return draw.fastest(firsts, _number(f"explore {draw.request_id}") / _FRACTIONS)
    if pool.select is Select.COMPLEXITY:
        # The most that it asks for; where only those for harder requests are left, the least of them.
        scores = {name: pool.scores.get(name, 0) for name in firsts}
        fit = [name for name in firsts if scores[name] <= draw.score]
        return max(fit, key=scores.__getitem__) if fit else min(firsts, key=scores.__getitem__)
    left = _number(f"pool {draw.request_id}") * sum(pool.weights[name] for name in firsts) // _FRACTIONS
    for name in firsts:
        left -= pool.weights[name]
        if left < 0:
            return name
    return firsts[-1]


def mirrored(pool: Pool, request_id: str) -> bool:
    """Whether a request is one of those that the pool's mirror is to get; the same on every replica."""
    return pool.mirror is not None and _number(f"mirror {request_id}") * 100 // _FRACTIONS < pool.mirror.percent


def _weighted(text: str, weight: int) -> float:
    """The greatest of these is each one's as often as its weight says."""
    # 52 bits and a half are exact in a float, and never 0 or 1, whose logarithms could not be used.
    return -weight / math.log(((_number(text) >> 12) + 0.5) / 2**52)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
