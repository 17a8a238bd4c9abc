"""The revocations as a worker holds them: told by the registry's replica, asked for every request. Waits for nothing.

One rule for both doors: authz asks `judge` for each request, `inspect` asks `revoked` about exchanges that run.
"""

from collections.abc import Callable
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, Kind
from gateway.identity import Caller
from gateway.policy.model import Policy
from gateway.revocation import record
from gateway.revocation.mark import What, split
from gateway.revocation.record import Revocation

_log: Final = structlog.get_logger(__name__)


class RevocationBook:
    """Every revocation by what it names. `age_s` is the replica's: how long it may have missed something."""

    __slots__ = ("_age_s", "_certificates", "_clients", "_clock", "_keys", "_subjects", "_tables", "_tenants")

    def __init__(self, clock: Clock, age_s: Callable[[], float]) -> None:
        self._clock = clock
        self._age_s = age_s
        # A table for each kind: a lookup in an empty one costs less than making the name to look up.
        self._keys: dict[str, Revocation] = {}
        self._subjects: dict[str, Revocation] = {}
        self._clients: dict[str, Revocation] = {}
        self._tenants: dict[str, Revocation] = {}
        self._certificates: dict[str, Revocation] = {}
        self._tables: Final = {
            What.KEY: self._keys,
            What.SUBJECT: self._subjects,
            What.CLIENT: self._clients,
            What.TENANT: self._tenants,
            What.CERTIFICATE: self._certificates,
        }

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    # --- told by the replica ------------------------------------------------------------------------------

    def apply(self, mark: str, value: bytes | None) -> None:
        """One entry as it stands now, or that it is gone. Never raises."""
        try:
            what, name = split(mark)
        except ValueError:
            # No caller has such a mark, so nobody comes in by it. A newer control plane may know more kinds.
            _log.error("revocation_unknown", mark=mark[:64])
            return
        if value is None:
            self._tables[what].pop(name, None)
        else:
            # Somebody wanted this mark refused: that holds also where nothing else can be read.
            self._tables[what][name] = record.read_or_worst(mark, value)

    # --- asked --------------------------------------------------------------------------------------------

    def judge(self, caller: Caller, policy: Policy) -> GatewayError | None:
        """Why the caller's credential does not count any more, or that nobody can tell at the moment."""
        age_s = self._age_s()
        if age_s > policy.revocation_max_age_s:
            return GatewayError(
                Kind.REVOCATIONS_UNAVAILABLE,
                "The gateway cannot tell at the moment which credentials were revoked, and lets nobody in. Try again.",
                cause=f"no word from the registry for {age_s:.0f} s",
            )
        return self.revoked(caller)

    def revoked(self, caller: Caller) -> GatewayError | None:
        """Why the caller's credential does not count any more, as far as is known here."""
        found = self._find(caller)
        if found is None:
            return None
        return GatewayError(
            Kind.CREDENTIAL_REVOKED,
            "This credential was revoked. Ask your platform team for a new one.",
            cause=f"{found.mark}: {found.reason}",
        )

    def _find(self, caller: Caller) -> Revocation | None:
        """The first revoked one of `marks_of(caller)`; a test holds the two against each other."""
        if self._keys and (found := self._look(self._keys, caller.key_id, caller)):
            return found
        if self._tenants and (found := self._look(self._tenants, caller.tenant, caller)):
            return found
        if self._subjects and (found := self._look(self._subjects, f"{caller.tenant}/{caller.principal}", caller)):
            return found
        if self._clients and caller.client:
            found = self._look(self._clients, f"{caller.tenant}/{caller.client}", caller)
            if found:
                return found
        if self._certificates and caller.certificate:
            return self._look(self._certificates, caller.certificate, caller)
        return None

    def _look(self, table: dict[str, Revocation], name: str, caller: Caller) -> Revocation | None:
        found = table.get(name)
        if found is None:
            return None
        if not found.counts(self._clock.now()):
            del table[name]  # an entry that is set again is told again
            return None
        return found if found.concerns(caller.issued_at) else None
