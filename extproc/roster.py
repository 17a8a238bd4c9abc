"""The exchanges of this worker that run under somebody's credential, so that a revocation finds them. Judges nothing.

Indexed by credential alone. Revoking a token is something that clients do themselves, many times a second (RFC 7009),
so it must not visit every stream. The other kinds come from operators, and then one pass over all open exchanges is
cheaper than five entries for each of them (bench/README.md, Revocation).
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from gateway.errors import GatewayError
from gateway.identity import Caller
from gateway.revocation.mark import What

_log: Final = structlog.get_logger(__name__)
_KEY: Final = f"{What.KEY.value}:"


class Guest(Protocol):
    """An open exchange. Told apart by identity, so it needs no `__eq__`."""

    @property
    def caller(self) -> Caller:
        """Whose it is."""
        ...

    def revoke(self, error: GatewayError) -> None:
        """End it. May not raise, and may lead to `Roster.leave` only later."""
        ...


class Roster:
    """Who is in the house. `revoked` says of a caller why its credential counts no more, or None."""

    def __init__(self, revoked: Callable[[Caller], GatewayError | None]) -> None:
        self._revoked = revoked
        self._by_key: dict[str, set[Guest]] = {}
        self._news: set[str] = set()  # marks that were set since the last look

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))

    def enter(self, guest: Guest) -> GatewayError | None:
        """From now on a revocation will find the guest. Whoever was revoked since authz asked is told so here."""
        key_id = guest.caller.key_id
        guests = self._by_key.get(key_id)
        if guests is None:
            self._by_key[key_id] = {guest}
        else:
            guests.add(guest)
        return self._revoked(guest.caller)

    def leave(self, guest: Guest) -> None:
        """The exchange is over. Idempotent."""
        key_id = guest.caller.key_id
        guests = self._by_key.get(key_id)
        if guests is None:
            return
        guests.discard(guest)
        if not guests:
            del self._by_key[key_id]

    def apply(self, mark: str, value: bytes | None) -> None:
        """A revocation was set or lifted; to be told after those whom `revoked` asks. Never raises."""
        if value is None or not self._by_key:
            return
        if not self._news:
            # All that the replica tells in one go (ten thousand after a reconnect) is looked through once.
            asyncio.get_running_loop().call_soon(self._look)
        self._news.add(mark)

    def _look(self) -> None:
        news, self._news = self._news, set()
        for guest in list(self._concerned(news)):
            error = self._revoked(guest.caller)
            if error is None:
                continue
            try:
                guest.revoke(error)
            except Exception as defect:  # noqa: BLE001 -- one exchange that cannot be ended must not spare the others
                _log.error("exchange_not_revoked", request_id=guest.caller.request_id, cause=type(defect).__name__)

    def _concerned(self, news: set[str]) -> Iterable[Guest]:
        """Those whom one of the marks may concern; all of them unless each mark names a credential."""
        if all(mark.startswith(_KEY) for mark in news):
            return (guest for mark in news for guest in self._by_key.get(mark.removeprefix(_KEY), ()))
        return (guest for guests in self._by_key.values() for guest in guests)
