"""Our own token service as an issuer: its public keys and its accounts, as the registry tells them. Asks nobody.

Its tokens are verified as those of any issuer; but whose they are, the account says, and never the token: tenant,
principal, and the most that the scopes may be. So an account that is disabled, narrowed or removed counts at once,
whatever was signed before, and whoever stole a signing key still cannot name a tenant.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import orjson
import structlog

from authz.claims import Bearer
from authz.jose import Bad, Fault
from gateway import keyset
from gateway.keyset import KeysError, KeySet
from gateway.policy.issuer import ALGORITHMS
from gateway.policy.model import Issuer, Policy, TokenService
from gateway.registry import accounts, verifying
from gateway.registry.verifying import VerifyingKey

#: Its name in causes. Names of policy entries have no spaces, so it is nobody else's.
NAME: Final = "token service"
#: How far the clocks of `control` and a worker may differ: what issuers are given by default.
SKEW_S: Final = 30
#: RFC 9068 section 2.2, beside `iss`, `aud` and `exp`, which every token needs.
_REQUIRED: Final = frozenset({"client_id", "iat", "jti", "sub"})

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Account:
    """What a worker needs of an account: nothing that would prove a client."""

    tenant: str
    principal: str
    scopes: Collection[str]
    disabled: bool
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class _Usable:
    """The keys that verify from one moment until another."""

    keys: KeySet | None
    from_s: float
    until_s: float


class OwnTokens:
    """Keys and accounts of the token service. Its `..._changed` listen to a replica (`gateway.registry.model`)."""

    def __init__(self) -> None:
        self._keys: dict[str, VerifyingKey] = {}
        self._accounts: dict[str, _Account] = {}
        self._usable: _Usable | None = None

    # --- told by the registry ----------------------------------------------------------------------------
    def key_changed(self, kid: str, value: bytes | None) -> None:
        """A public key is there, or is there no longer. One that cannot be read counts as gone."""
        before = self._keys.pop(kid, None)
        if value is not None:
            try:
                self._keys[kid] = verifying.read(kid, value)
            except ValueError:
                _log.error("verifying_key_ignored", kid=kid)
        if self._keys.get(kid) != before:  # told the same again, tokens need not be verified again
            self._usable = None

    def account_changed(self, client_id: str, value: bytes | None) -> None:
        """An account is as told, or is there no longer. One that cannot be read counts as gone."""
        self._accounts.pop(client_id, None)
        if value is None:
            return
        try:
            read = accounts.read(client_id, value)
        except (ValueError, TypeError):
            _log.error("account_ignored", client_id=client_id)
            return
        scopes = frozenset(read.scopes)
        self._accounts[client_id] = _Account(read.tenant, read.principal, scopes, read.disabled, read.expires_at)

    # --- asked by `authz.tokens` -------------------------------------------------------------------------
    def entry(self, policy: Policy) -> Issuer | None:
        """The token service as an entry like those of issuers.yaml, or None where the policy has none."""
        return _entry(policy.token_service) if policy.token_service is not None else None

    @staticmethod
    def is_entry(issuer: Issuer) -> bool:
        """Whether that is what `entry` gave."""
        return issuer.name == NAME

    def usable(self, now_s: float) -> KeySet | None:
        """Its keys at this moment; the same object for as long as they are the same keys."""
        usable = self._usable
        if usable is None or not usable.from_s <= now_s < usable.until_s:
            usable = self._usable = self._sort(now_s)
        return usable.keys

    def holder(self, bearer: Bearer, now_s: float) -> Bearer:
        """Whose the token is, and what it still opens.

        Raises:
            Bad: the account does not count.
        """
        account = self._accounts.get(bearer.client)
        if account is None:
            raise Bad(Fault.ACCOUNT_UNKNOWN)
        if account.disabled:
            raise Bad(Fault.ACCOUNT_DISABLED)
        if account.expires_at is not None and now_s >= account.expires_at:
            raise Bad(Fault.ACCOUNT_EXPIRED)
        scopes = tuple(scope for scope in bearer.scopes if scope in account.scopes)
        return replace(bearer, tenant=account.tenant, principal=account.principal, scopes=scopes)

    def _sort(self, now_s: float) -> _Usable:
        """The keys that count now, and until when that stays true."""
        listed, from_s, until_s = [], float("-inf"), float("inf")
        for key in self._keys.values():
            starts_s, ends_s = key.not_before - SKEW_S, key.not_after
            for moment_s in (starts_s, ends_s):
                if moment_s <= now_s:
                    from_s = max(from_s, moment_s)
                else:
                    until_s = min(until_s, moment_s)
            if starts_s <= now_s < ends_s:
                listed.append({**key.jwk, "kid": key.kid, "alg": key.algorithm, "use": "sig"})
        try:
            return _Usable(keyset.parse(orjson.dumps({"keys": listed})), from_s, until_s)
        except KeysError:
            return _Usable(None, from_s, until_s)


@lru_cache(maxsize=4)  # versions of a policy that are in use together
def _entry(service: TokenService) -> Issuer:
    return Issuer(
        name=NAME,
        tenant="",  # `holder` says
        issuer=service.issuer,
        audiences=frozenset({service.audience}),
        # Each key is labelled with its one algorithm, so a change of `service.algorithm` leaves older tokens alone.
        algorithms=frozenset(ALGORITHMS),
        typ="at+jwt",
        clock_skew_s=SKEW_S,
        required_claims=_REQUIRED,
        principal_claim="client_id",
        scope_claims=("scope",),
    )
