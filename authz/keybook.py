"""API keys of the registry, held packed, beside those of the policy. Listens to a replica; asks nobody.

A key that this book does not hold is refused, so nothing counts before the registry was loaded. Whether what was loaded
is young enough for the keys that it does hold is judged with the caller's revocations (`means.Revocations`).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

import orjson
import structlog

from gateway.errors import GatewayError, Kind
from gateway.policy.model import Key, Policy, RateLimit
from gateway.registry import keys

_log: Final = structlog.get_logger(__name__)
_DIGEST_BYTES: Final = 32
#: Unpacked keys at hand, about 1 KiB each. Unpacking takes a few microseconds, so a miss costs little.
_UNPACKED: Final = 4096


class KeyBook:
    """Key records by id. A record is bytes without what no request needs: a fifth of a `Key` object's memory."""

    def __init__(self, age_s: Callable[[], float]) -> None:
        """`age_s` is the replica's: how long it may have missed a new key."""
        self._packed: dict[str, bytes] = {}
        self._age_s = age_s
        self._view: _View | None = None

    def apply(self, key_id: str, value: bytes | None) -> None:
        """A key was set, or removed. Never raises: a record that cannot be read is a key that does not count."""
        if value is None:
            self._packed.pop(key_id, None)
            return
        try:
            self._packed[key_id] = _pack(keys.read(key_id, value).key)
        except ValueError as unreadable:
            # Nor does the record before it: the new one may have been there to disable the key.
            self._packed.pop(key_id, None)
            _log.error("registry_key_unreadable", key_id=key_id[:64], cause=str(unreadable))

    def of(self, policy: Policy) -> Mapping[str, Key]:
        """See `means.Keys`."""
        if self._view is None or self._view.policy is not policy:
            self._view = _View(policy, self._packed, self._age_s)
        return self._view

    def holds(self, key_id: str) -> bool:
        """Whether the registry has a key of this id, whatever the policy says."""
        return key_id in self._packed


class _View(Mapping[str, Key]):
    """Both kinds of keys as one mapping; nothing is copied."""

    __slots__ = ("_age_s", "_packed", "policy")

    def __init__(self, policy: Policy, packed: Mapping[str, bytes], age_s: Callable[[], float]) -> None:
        self.policy = policy
        self._packed = packed
        self._age_s = age_s

    def __getitem__(self, key_id: str) -> Key:
        """The record, or KeyError.

        Raises:
            GatewayError: nobody can tell whether there is one. To call a good key wrong would make its owner replace
                it, and would count against the owner's address as a guess.
        """
        found = self.policy.keys.get(key_id)
        if found is not None:
            return found
        packed = self._packed.get(key_id)
        if packed is not None:
            return _unpack(key_id, packed)
        if (age_s := self._age_s()) > self.policy.revocation_max_age_s:
            again = "The gateway cannot look up this API key at the moment. Try again."
            cause = f"unknown key id, no word from the registry for {age_s:.0f} s"
            raise GatewayError(Kind.REVOCATIONS_UNAVAILABLE, again, cause=cause)
        raise KeyError(key_id)

    def __iter__(self) -> Iterator[str]:
        yield from self.policy.keys
        yield from (key_id for key_id in self._packed if key_id not in self.policy.keys)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _pack(key: Key) -> bytes:
    """The digest as it is, then the rest as JSON; both are found again by length."""
    rate = [key.rate.requests, key.rate.window_s] if key.rate else None
    rest = [key.tenant, key.principal, key.scopes, key.pepper, key.expires_at, key.disabled, rate]
    return bytes.fromhex(key.digest) + orjson.dumps([*rest, sorted(key.models), key.cidrs])


@lru_cache(maxsize=_UNPACKED)  # of its arguments alone, so an entry can be forgotten but never be wrong
def _unpack(key_id: str, packed: bytes) -> Key:
    tenant, principal, scopes, pepper, expires_at, disabled, rate, models, cidrs = orjson.loads(packed[_DIGEST_BYTES:])
    return Key(
        id=key_id,
        tenant=tenant,
        principal=principal,
        scopes=tuple(scopes),
        digest=packed[:_DIGEST_BYTES].hex(),
        pepper=pepper,
        expires_at=expires_at,
        disabled=disabled,
        rate=None if rate is None else RateLimit(requests=rate[0], window_s=rate[1]),
        models=frozenset(models),
        cidrs=tuple(cidrs),
    )
