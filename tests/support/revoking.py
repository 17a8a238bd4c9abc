"""An operator of a stack without a control process: writes revocations into its registry as control does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from control.revocations import Revocations
from gateway.clock import SystemClock
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from gateway.revocation.mark import What
from gateway.revocation.record import Revocation
from gateway.secrets import reference
from gateway.valkey import connect
from stack import Stack

T = TypeVar("T")


class Operator:
    """Blocking; each call connects anew, so it survives a restart of the server."""

    def __init__(self, stack: Stack, url: str) -> None:
        self._url = url
        self._seals = Seals(reference.peppers(stack.bundle.peppers))

    def revoke(self, what: What, tenant: str = "", name: str = "", **fields: Any) -> Revocation:
        wish = {"reason": "leaked", "actor": "tester"} | fields
        entry, _ = self._do(lambda revocations: revocations.revoke(what, tenant, name, **wish))
        return entry

    def lift(self, mark: str) -> None:
        self._do(lambda revocations: revocations.lift(mark))

    def lift_all(self) -> None:
        for entry in self._do(lambda revocations: revocations.list()):
            self.lift(entry.mark)

    def _do(self, wish: Callable[[Revocations], Awaitable[T]]) -> T:
        async def ask() -> T:
            client = connect(self._url, retries=0)
            try:
                return await wish(Revocations(ValkeyRegistry(client, self._seals), SystemClock()))
            finally:
                await client.aclose()

        return asyncio.run(ask())
