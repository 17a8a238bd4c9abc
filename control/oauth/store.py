"""What the token service looks up for each request: accounts and revocations, as the registry has them now."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from control.oauth.refusal import unavailable
from gateway.clock import Clock
from gateway.identity import Caller
from gateway.registry import accounts
from gateway.registry.accounts import CLIENT_ID, Account
from gateway.registry.model import Registry, RegistryError, Sort
from gateway.revocation import record
from gateway.revocation.mark import marks_of, split

_log: Final = structlog.get_logger(__name__)
_DEADLINE_S: Final = 2.0  # of one look-up; there are about five for a token, and the request has 8 s

#: Looked up for a client id that cannot be one, so that it costs what any other costs. No id starts so.
_NOBODY: Final = "-"


class Store:
    """Asked anew for each request: what an operator has changed counts for the next token."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    async def account(self, client_id: str) -> Account | None:
        """The account, or None when there is none that can be read.

        Raises:
            OAuthRefusal: the registry is away.
        """
        known = CLIENT_ID.pattern.match(client_id) is not None
        async with _asked():
            value = await self._registry.get(Sort.ACCOUNT, client_id if known else _NOBODY)
        if value is None or not known:
            return None
        try:
            return accounts.read(client_id, value)
        except ValueError:
            _log.error("account_unreadable", client_id=client_id)
            return None

    async def is_revoked(self, caller: Caller) -> bool:
        """Whether anything by which the caller is known was taken back.

        Raises:
            OAuthRefusal: the registry is away.
        """
        now_s = self._clock.now()
        for mark in marks_of(caller):
            try:
                split(mark)
            except ValueError:
                continue  # a caller without a key has no mark of a key
            async with _asked():
                value = await self._registry.get(Sort.REVOCATION, mark)
            if value is None:
                continue
            found = record.read_or_worst(mark, value)
            if found.counts(now_s) and found.concerns(caller.issued_at):
                return True
        return False


@asynccontextmanager
async def _asked() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_DEADLINE_S):
            yield
    except (RegistryError, TimeoutError) as failure:
        raise unavailable(f"registry: {type(failure).__name__}") from None
