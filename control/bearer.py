"""Operators from afar: an access token of our own service with the scope of operators, judged anew each time."""

from collections.abc import Callable
from typing import Final

import structlog

from control.admin import Actor
from control.oauth import token
from control.oauth.client import caller_of
from control.oauth.jws import JwsError
from control.oauth.refusal import OAuthRefusal
from control.oauth.store import Store
from control.oauth.token import Grant
from control.request import Answer, Request, error
from control.signing import Signing
from gateway import certificate
from gateway.certificate import Shown
from gateway.clock import Clock
from gateway.policy.model import Policy
from gateway.registry.accounts import Account

_log: Final = structlog.get_logger(__name__)

#: Held by an account, it opens the whole admin API: it stands above tenants.
SCOPE: Final = "ostiary.admin"
#: RFC 6750 section 3. One text for every token that does not count: nobody learns how close a guess was.
_CHALLENGE: Final = ("www-authenticate", 'Bearer realm="ostiary", error="invalid_token"')
_MISSING: Final = ("www-authenticate", 'Bearer realm="ostiary"')
_NARROW: Final = ("www-authenticate", f'Bearer realm="ostiary", error="insufficient_scope", scope="{SCOPE}"')


class Bearer:
    """Admits requests to the admin API that came through Envoy (control.admin.Admit)."""

    def __init__(self, *, policy: Callable[[], Policy], store: Store, signing: Signing, clock: Clock) -> None:
        self._policy = policy
        self._store = store
        self._signing = signing
        self._clock = clock

    async def __call__(self, request: Request) -> Actor | Answer:
        """Who asks, or 401, 403, 503."""
        service = self._policy().token_service
        scheme, _, text = request.header("authorization").partition(" ")
        if service is None or scheme.lower() != "bearer" or not text:
            return error(401, "credential_missing", "Send an access token of this gateway's token service.", _MISSING)
        try:
            grant = token.read(text, service, self._signing.key_set())
            key_id = token.key_id(grant, service.issuer)
            cause = await self._judge(grant, request, service.audience, key_id)
        except JwsError as bad:
            return _refused(str(bad), request)
        except OAuthRefusal as refusal:  # the registry is away
            _log.warning("admin_token_not_judged", cause=refusal.cause)
            return error(503, "unavailable", "Control cannot judge the token at the moment.", ("retry-after", "2"))
        if cause == _NARROW_CAUSE:
            return error(403, "scope_missing", f"The token lacks the scope {SCOPE}.", _NARROW)
        return _refused(cause, request) if cause else Actor(grant.client_id, key_id)

    async def _judge(self, grant: Grant, request: Request, audience: str, key_id: str) -> str:
        """Why the token does not count, or nothing. The account's word of now stands above the token's of then."""
        now_s = self._clock.now()
        if now_s >= grant.ends_at:
            return "expired"
        if grant.audience != audience:
            return "of another audience"
        shown, found = "", None
        if request.certificate:
            try:
                found = certificate.read(request.certificate)
            except ValueError:
                return "unreadable certificate"
            if now_s >= found.ends_s:  # Envoy compared its times at the handshake and does not look again
                return "certificate: expired"
            shown = found.sha256
            if grant.bound_to and grant.bound_to != found.thumbprint:
                return "bound to another certificate"
        elif grant.bound_to:
            return "bound to a certificate, and none was shown"
        account = await self._store.account(grant.client_id)
        if account is None or not account.open_at(now_s) or account.tenant not in self._policy().tenants:
            return "its account is gone, disabled or expired"
        if not self._is_with_its_certificate(account, found):
            return "certificate: required for this principal, and none or another one was shown"
        if await self._store.is_revoked(caller_of(account, issued_at=grant.issued_at, sha256=shown, key_id=key_id)):
            return "revoked"
        return "" if SCOPE in grant.scopes and SCOPE in account.scopes else _NARROW_CAUSE

    def _is_with_its_certificate(self, account: Account, shown: Shown | None) -> bool:
        """As authz has it: a principal that policy ties to a certificate is nobody without it."""
        required = [
            entry
            for entry in self._policy().certificates.values()
            if entry.required_for_principal and (entry.tenant, entry.principal) == (account.tenant, account.principal)
        ]
        return not required or (shown is not None and any(certificate.fits(shown, entry) for entry in required))


def _refused(cause: str, request: Request) -> Answer:
    _log.warning("admin_token_refused", cause=cause, request_id=request.request_id)
    return error(401, "credential_invalid", "The access token does not count.", _CHALLENGE)


_NARROW_CAUSE: Final = "scope"
