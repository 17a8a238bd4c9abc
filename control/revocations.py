"""Revocations as the control plane writes them into the registry. Judges no caller; workers do that from their copies.

Whoever calls this has put on record who asked and why; both are also part of the entry, for `ostiary revoke list`.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from control.problem import Refusal, conflict, invalid, unavailable, unknown
from gateway.clock import Clock
from gateway.registry.model import CHANGES_MAX, Change, ConflictError, Registry, RegistryError, Sort
from gateway.revocation import record
from gateway.revocation.mark import What, mark, split
from gateway.revocation.record import ACTOR_CHARS, REASON_CHARS, Revocation

_log: Final = structlog.get_logger(__name__)

#: Expired entries count nowhere, they only take room: a client that revokes a hundred of its tokens a second leaves six
#: thousand in this time.
_PRUNE_S: Final = 60.0
#: For one round. A connection whose server vanished answers nothing, and does not end by itself.
_ROUND_S: Final = 30.0
#: A credential that will be issued later than this cannot be meant by "issued before"; clocks differ by less.
_AHEAD_S: Final = 300


class Revocations:
    """Takes credentials back, and says which are."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    async def revoke(
        self,
        what: What,
        tenant: str,
        name: str,
        *,
        reason: str,
        actor: str,
        until: int | None = None,
        issued_before: int | None = None,
    ) -> tuple[Revocation, Revocation | None]:
        """Revoke from now on. A revocation of the same mark is replaced, and comes back as the second.

        Args:
            what: which kind of mark; see `gateway.revocation.mark`.
            tenant: for subjects, clients and tenants; ignored for the others, whose names are unique.
            name: key id, subject, client id, or the certificate's SHA-256 with or without colons.
            reason: for the record and for operators; never told to the caller.
            actor: who asks.
            until: unix seconds; None: until it is lifted.
            issued_before: unix seconds; concerns only credentials issued earlier. None: every one.

        Raises:
            Refusal: the wish is wrong, or the registry is away.
        """
        now_s = int(self._clock.now())
        if until is not None and until <= now_s:
            raise invalid("until", "that moment has passed; nothing would be revoked")
        if issued_before is not None and issued_before > now_s + _AHEAD_S:
            raise invalid("issued_before", "lies in the future; credentials issued until then would not count either")
        entry = Revocation(
            mark=_mark(what, tenant, name),
            reason=_words("reason", reason, REASON_CHARS),
            actor=_words("actor", actor, ACTOR_CHARS),
            at=now_s,
            until=until,
            issued_before=issued_before,
        )
        try:
            stood = await self._registry.get(Sort.REVOCATION, entry.mark)
            # Without a condition: of two who revoke at once neither may hear that it did not happen.
            await self._registry.apply([Change(Sort.REVOCATION, entry.mark, record.write(entry))])
        except RegistryError:
            raise unavailable() from None
        return entry, record.read_or_worst(entry.mark, stood) if stood is not None else None

    async def lift(self, text: str) -> Revocation:
        """Let the mark count again; says what was lifted.

        Raises:
            Refusal: nothing is revoked under that mark, it changed meanwhile, or the registry is away.
        """
        if not _is_mark(text):
            raise unknown("revocation", text[:64])
        try:
            stood = await self._registry.get(Sort.REVOCATION, text)
            if stood is None:
                raise unknown("revocation", text)
            await self._registry.apply([Change(Sort.REVOCATION, text, None, expected=stood)])
        except ConflictError:
            raise conflict("The revocation was changed at this moment. Look at it again.") from None
        except RegistryError:
            raise unavailable() from None
        return record.read_or_worst(text, stood)

    async def list(self, what: What | None = None, tenant: str = "") -> Sequence[Revocation]:
        """What is revoked now, by mark. `tenant` chooses its subjects and clients, and the tenant itself.

        Raises:
            Refusal: the registry is away.
        """
        now_s = self._clock.now()
        return [entry for entry, _ in await self._all() if entry.counts(now_s) and _is_chosen(entry.mark, what, tenant)]

    async def prune(self) -> int:
        """Remove what has expired, and say how many went.

        Raises:
            Refusal: the registry is away.
        """
        now_s = self._clock.now()
        over = [
            Change(Sort.REVOCATION, entry.mark, None, expected=value)
            for entry, value in await self._all()
            if not entry.counts(now_s)
        ]
        gone = 0
        for at in range(0, len(over), CHANGES_MAX):
            some = over[at : at + CHANGES_MAX]
            try:
                await self._registry.apply(some)
                gone += len(some)
            except ConflictError:
                continue  # one of them was revoked anew at this moment; the next round takes the others
            except RegistryError:
                raise unavailable() from None
        return gone

    async def keep_small(self) -> None:
        """Prune for ever."""
        while True:
            try:
                async with asyncio.timeout(_ROUND_S):
                    gone = await self.prune()
                if gone:
                    _log.info("revocations_pruned", entries=gone)
            except Refusal as refusal:
                _log.warning("revocations_not_pruned", code=refusal.code)
            except Exception as failure:  # noqa: BLE001 -- a loop that ended would let expired entries fill the registry
                _log.warning("revocations_not_pruned", code=type(failure).__name__)
            await asyncio.sleep(_PRUNE_S)

    async def _all(self) -> Sequence[tuple[Revocation, bytes]]:
        try:
            entries = await self._registry.list(Sort.REVOCATION)
        except RegistryError:
            raise unavailable() from None
        # Kinds that a newer version has written are not ours to show or to remove.
        return [(record.read_or_worst(one.id, one.value), one.value) for one in entries if _is_mark(one.id)]


def _mark(what: What, tenant: str, name: str) -> str:
    if what is What.CERTIFICATE:
        name = name.replace(":", "").lower()  # as openssl prints fingerprints
    # Looked at first, and alone: within a mark `a/b` would be the tenant `a`.
    if what in {What.SUBJECT, What.CLIENT, What.TENANT} and not _is_mark(mark(What.TENANT, tenant, "")):
        raise invalid("tenant", "missing or malformed; expected the id of a tenant, as policy spells it")
    text = mark(what, tenant, name)
    if _is_mark(text):
        return text
    # What was given is not shown: it may be the secret, pasted where its id belongs.
    raise invalid("name", f"missing or malformed; expected {_EXPECTED[what]}")


_EXPECTED: Final = {
    What.KEY: "the id of a key or token as audit records show it: 12 letters and digits, or jwt:… or opaque:…",
    What.SUBJECT: "a principal, as audit records show it",
    What.CLIENT: "a client_id",
    What.CERTIFICATE: "the SHA-256 of a certificate: 64 hex digits, with or without colons",
}


def _words(field: str, text: str, most_chars: int) -> str:
    if not text.strip():
        raise invalid(field, "missing; whoever reads the record should learn why")
    if len(text) > most_chars or not text.isprintable():
        raise invalid(field, f"expected a text of at most {most_chars} printable characters")
    return text


def _is_chosen(text: str, what: What | None, tenant: str) -> bool:
    kind, rest = split(text)
    if what is not None and kind is not what:
        return False
    if not tenant:
        return True
    return rest == tenant if kind is What.TENANT else kind in _OF_TENANT and rest.startswith(f"{tenant}/")


_OF_TENANT: Final = frozenset({What.SUBJECT, What.CLIENT})


def _is_mark(text: str) -> bool:
    try:
        split(text)
    except ValueError:
        return False
    return True
