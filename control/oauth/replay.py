"""Which client assertions were seen already: each counts once (RFC 7523 section 3, `jti`). Judges no assertion."""

import hashlib
import math
from typing import Final, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.clock import Clock

_PREFIX: Final = "{ostiary}:assertion:"  # the registry's hash tag: one node of a cluster, one ACL rule


class ReplayError(Exception):
    """Nobody can tell whether it was seen. Names the kind of failure and no address."""


class Seen(Protocol):
    """What has been seen, by every replica of `control`."""

    async def first(self, client_id: str, jti: str, until_s: float) -> bool:
        """Whether this is the first time; remembered until then. Raises ReplayError."""
        ...


class ValkeySeen:
    """One key for each assertion, which the server forgets by itself. Sets no deadline."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def first(self, client_id: str, jti: str, until_s: float) -> bool:
        """See `Seen`."""
        # Counted from now, not named as a moment: by a clock ahead of ours the server would forget it at once.
        left_s = max(1, math.ceil(until_s - self._clock.now()))
        try:
            return bool(await self._client.set(_PREFIX + _name(client_id, jti), b"1", nx=True, ex=left_s))
        except (RedisError, OSError) as failure:
            raise ReplayError(type(failure).__name__) from None


class MemorySeen:
    """For tests and a single process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    async def first(self, client_id: str, jti: str, until_s: float) -> bool:
        """See `Seen`."""
        now_s = self._clock.now()
        self._until = {name: until for name, until in self._until.items() if until > now_s}
        name = _name(client_id, jti)
        if name in self._until:
            return False
        self._until[name] = until_s
        return True


def _name(client_id: str, jti: str) -> str:
    """Of one length, whatever a client calls its assertions; ids of clients have no NUL."""
    return hashlib.sha256(f"{client_id}\0{jti}".encode("utf-8", "surrogatepass")).hexdigest()
