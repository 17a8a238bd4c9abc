"""Which client asks, proved in exactly one way: secret, signed assertion or certificate. Hands out nothing.

Whatever is wrong is told with one sentence. A client that does not exist costs what a wrong secret costs.
"""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from control.oauth import form as forms
from control.oauth import jws
from control.oauth.form import Form
from control.oauth.jws import Jws, JwsError
from control.oauth.refusal import invalid_client, invalid_request, unavailable
from control.oauth.replay import ReplayError, Seen
from control.oauth.store import Store
from control.request import Request
from gateway import certificate, keyset
from gateway.apikey import Peppers, digest
from gateway.certificate import Shown
from gateway.clock import Clock
from gateway.identity import Caller
from gateway.keyset import KeysError
from gateway.policy.model import Policy
from gateway.registry.accounts import MAX_SECRETS, Account, Binding, Method

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 section 2.2
#: Longest life of an assertion: it is made for one request, and remembered this long.
MAX_ASSERTION_S: Final = 300
SKEW_S: Final = 30  # as authz allows
_SEEN_S: Final = 2.0  # deadline of the question whether an assertion is new
_MAX_JTI_CHARS: Final = 256
_MAX_BASIC_CHARS: Final = 1024  # a client id and a secret of ours have 125 together
#: RFC 7523 names no type; drafts of its successor do. A type of another kind of token is another kind of token.
_ASSERTION_TYPES: Final = frozenset({None, "jwt", "client-authentication+jwt"})
#: As long as a digest. Compared with when there is no digest to compare with; the result is not looked at.
_NO_DIGEST: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Client:
    """A client that has proved itself."""

    account: Account
    bound_to: str = ""  # thumbprint of the certificate that proved it (RFC 8705 section 3)


class Clients:
    """Authenticates clients against accounts."""

    def __init__(
        self, *, store: Store, peppers: Peppers, seen: Seen, clock: Clock, policy: Callable[[], Policy]
    ) -> None:
        self._store = store
        self._peppers = peppers
        self._seen = seen
        self._clock = clock
        self._policy = policy

    async def authenticate(self, request: Request, form: Form, audiences: Collection[str]) -> Client:
        """Who asks. `audiences` are what an assertion may name: the issuer and the endpoint.

        Raises:
            OAuthRefusal: nobody that counts; or the request proves several things at once.
        """
        authorization, assertion = request.header("authorization"), "client_assertion" in form
        shown = self._shown(request)  # also beside another proof: one that was taken back carries nobody
        if "client_secret" in form:
            raise invalid_request("Send the secret as HTTP Basic authentication (client_secret_basic).")
        if authorization and (assertion or "client_assertion_type" in form):
            raise invalid_request("The client authenticates in more than one way.")
        if authorization:
            client = await self._by_secret(authorization)
        elif assertion or "client_assertion_type" in form:
            client = await self._by_assertion(form, audiences)
        else:
            client = await self._by_certificate(shown, forms.one(form, "client_id"))
        if "client_id" in form and forms.one(form, "client_id") != client.account.client_id:
            raise invalid_request("client_id is of another client than the one that authenticates.")
        await self._admit(client, shown.sha256 if shown is not None else "")
        return client

    def _shown(self, request: Request) -> Shown | None:
        """The certificate of the connection, if there is one; what authz refuses in it is refused here."""
        if not request.certificate:
            return None
        try:
            shown = certificate.read(request.certificate)
        except ValueError as bad:
            raise invalid_client(f"certificate: {bad}") from None
        if self._clock.now() >= shown.ends_s:  # Envoy compared its times at the handshake and does not look again
            raise invalid_client("certificate: expired")
        return shown

    async def _admit(self, client: Client, sha256: str) -> None:
        """Whoever proved to be the client may still be shut out."""
        account, now_s = client.account, self._clock.now()
        if not account.open_at(now_s):
            raise invalid_client("account: disabled or expired")
        if account.tenant not in self._policy().tenants:
            raise invalid_client("account: the policy has no such tenant")
        if await self._store.is_revoked(caller_of(account, issued_at=int(now_s), sha256=sha256)):
            raise invalid_client("account: revoked")

    # --- client_secret_basic (RFC 6749 section 2.3.1) ------------------------------------------------------

    async def _by_secret(self, authorization: str) -> Client:
        client_id, secret = _basic(authorization)
        account = await self._store.account(client_id)
        if not self._knows(account, secret) or account is None:
            raise invalid_client("secret: unknown client, another method, or a wrong or expired secret")
        return Client(account)

    def _knows(self, account: Account | None, secret: str) -> bool:
        """Always as many digests and comparisons as an account can have secrets: time tells nothing."""
        kept = account.secrets if account is not None and account.method is Method.SECRET else ()
        now_s, genuine = self._clock.now(), False
        for at in range(MAX_SECRETS):
            one = kept[at] if at < len(kept) else None
            pepper = self._peppers.secrets.get(one.pepper) if one is not None else None
            made = digest(secret, pepper if pepper is not None else self._peppers.secrets[self._peppers.current])
            same = hmac.compare_digest(made, one.digest if one is not None else _NO_DIGEST)
            live = one is not None and pepper is not None and (one.expires_at is None or now_s < one.expires_at)
            genuine |= same and live
        return genuine

    # --- private_key_jwt (RFC 7523) ------------------------------------------------------------------------

    async def _by_assertion(self, form: Form, audiences: Collection[str]) -> Client:
        if forms.one(form, "client_assertion_type") != ASSERTION_TYPE or not forms.one(form, "client_assertion"):
            raise invalid_request(f"client_assertion comes with client_assertion_type={ASSERTION_TYPE}.")
        try:
            assertion = jws.parse(forms.one(form, "client_assertion"))
            client_id = assertion.claims.get("iss")
            if not isinstance(client_id, str) or assertion.claims.get("sub") != client_id:
                raise JwsError("iss and sub are not one client")
            account = await self._store.account(client_id)
            if account is None or account.method is not Method.JWT:
                raise JwsError("unknown client, or another method")
            jws.verify(assertion, keyset.parse(account.jwks.encode()), account.algorithms, _ASSERTION_TYPES)
            jti, until_s = self._judge(assertion, audiences)
        except (JwsError, KeysError) as bad:
            raise invalid_client(f"assertion: {bad}") from None
        # Last, so that only what the client has really signed is remembered.
        try:
            async with asyncio.timeout(_SEEN_S):
                first = await self._seen.first(client_id, jti, until_s)
        except (ReplayError, TimeoutError) as failure:
            raise unavailable(f"replay: {type(failure).__name__}") from None
        if not first:
            raise invalid_client("assertion: seen before")
        return Client(account)

    def _judge(self, assertion: Jws, audiences: Collection[str]) -> tuple[str, float]:
        """The `jti` of an assertion that counts now, and until when it must be remembered."""
        claims, now_s = assertion.claims, self._clock.now()
        named = claims.get("aud")
        # One audience only: a list of several is an assertion that another server could use here, or we there.
        if isinstance(named, list) and len(named) == 1:
            named = named[0]
        if not isinstance(named, str) or named not in audiences:
            raise JwsError("not for this token service alone")
        ends_s, starts_s, issued_s = (jws.time_of(claims, name) for name in ("exp", "nbf", "iat"))
        if ends_s is None or now_s >= ends_s + SKEW_S:
            raise JwsError("expired, or without exp")
        if ends_s > now_s + MAX_ASSERTION_S + SKEW_S:
            raise JwsError(f"lives longer than {MAX_ASSERTION_S} s")
        if any(moment_s is not None and moment_s > now_s + SKEW_S for moment_s in (starts_s, issued_s)):
            raise JwsError("not valid yet")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI_CHARS:
            raise JwsError("no jti")
        return jti, ends_s + SKEW_S

    # --- tls_client_auth (RFC 8705 section 2) --------------------------------------------------------------

    async def _by_certificate(self, shown: Shown | None, client_id: str) -> Client:
        if not client_id:
            raise invalid_client("no client authentication")
        if shown is None:
            raise invalid_client("client_id alone, without a certificate")
        account = await self._store.account(client_id)
        if account is None or account.certificate is None or not is_bound(account.certificate, shown):
            raise invalid_client("certificate: unknown client, another method, or another certificate")
        return Client(account, shown.thumbprint)


def is_bound(wanted: Binding, shown: Shown) -> bool:
    """Whether the certificate is the client's: all that the account names must be in it."""
    found = [
        not wanted.uri or wanted.uri in shown.names_by_uri,
        not wanted.dns or wanted.dns in shown.dns,
        not wanted.subject or wanted.subject == shown.subject,
        not wanted.spki_sha256 or shown.spki_sha256 in wanted.spki_sha256,
    ]
    return all(found)


def caller_of(account: Account, *, issued_at: int, sha256: str = "", key_id: str = "") -> Caller:
    """The account as revocations know callers."""
    return Caller(
        tenant=account.tenant,
        principal=account.principal,
        key_id=key_id,
        scopes=(),
        policy="",
        request_id="",
        client=account.client_id,
        certificate=sha256,
        issued_at=issued_at,
    )


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret, each form-encoded before base64 (RFC 6749 section 2.3.1)."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic" or len(text) > _MAX_BASIC_CHARS:
        raise invalid_client("authorization: not Basic, or too large")
    try:
        client_id, colon, secret = base64.b64decode(text.strip(" "), validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon")
        return forms.decoded(client_id), forms.decoded(secret)
    except (ValueError, binascii.Error):  # UnicodeDecodeError is a ValueError
        raise invalid_client("authorization: not Basic credentials") from None
