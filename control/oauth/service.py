"""The token service's endpoints: token, introspection, revocation, keys, metadata. Opens no socket, keeps no token."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from control.oauth import form as forms
from control.oauth import metadata, token
from control.oauth.client import SKEW_S, Client, Clients, caller_of
from control.oauth.form import Form
from control.oauth.jws import JwsError
from control.oauth.metadata import INTROSPECT_PATH, JWKS_PATH, REVOKE_PATH, TOKEN_PATH
from control.oauth.refusal import NO_STORE, OAuthRefusal, invalid_request, unavailable
from control.oauth.store import Store
from control.oauth.token import Grant
from control.problem import Refusal
from control.request import Answer, Request, answer
from control.signing import Signing, SigningError
from gateway import strict
from gateway.apikey import RandomBytes
from gateway.clock import Clock
from gateway.contract import METADATA_PATH
from gateway.policy.model import Policy, TokenService
from gateway.registry.accounts import Account
from gateway.revocation.mark import What

#: A revocation outlasts its token by more than any verifier's clock may be behind.
_AFTER_S: Final = 300
_JTI_BYTES: Final = 16  # no two tokens of any replica are ever alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What goes on record of one request. Holds no token and no secret."""

    action: str  # "token.issue", "token.introspect", "token.revoke"
    request: Request
    status: int
    code: str = ""  # of the refusal
    cause: str = ""  # the same for operators, in more words
    tenant: str = ""
    principal: str = ""
    client_id: str = ""  # that has authenticated
    key_id: str = ""  # of the token that was made or taken back, as authz names it
    details: Mapping[str, str] = field(default_factory=dict)


#: Takes what goes on record, and says whether it did. A token that is not on record is not handed out.
Tell: TypeAlias = Callable[[Told], bool]


class Revoker(Protocol):
    """What this needs of control.revocations.Revocations."""

    async def revoke(
        self, what: What, tenant: str, name: str, *, reason: str, actor: str, until: int | None = None
    ) -> object:
        """Take a token back. Raises Refusal."""
        ...


@dataclass(frozen=True, slots=True)
class _Done:
    """An answer, and the token that it is about."""

    answer: Answer
    key_id: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


_Endpoint: TypeAlias = Callable[[TokenService, Client, Form], Awaitable[_Done]]


class TokenServer:
    """Handler of `OAUTH_PREFIX` and `METADATA_PATH` (control.request.Handler)."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        clients: Clients,
        store: Store,
        signing: Signing,
        revoker: Revoker,
        tell: Tell,
        clock: Clock,
        random: RandomBytes,
    ) -> None:
        self._policy = policy
        self._clients = clients
        self._store = store
        self._signing = signing
        self._revoker = revoker
        self._tell = tell
        self._clock = clock
        self._random = random
        self._endpoints: Mapping[str, tuple[str, _Endpoint]] = {
            TOKEN_PATH: ("token.issue", self._issue),
            INTROSPECT_PATH: ("token.introspect", self._introspect),
            REVOKE_PATH: ("token.revoke", self._revoke),
        }

    async def __call__(self, request: Request) -> Answer:
        """Answer one request. Never raises for what a client did."""
        service = self._policy().token_service
        if service is None:
            return _nothing("This gateway has no token service.")
        if request.path in {METADATA_PATH, JWKS_PATH}:
            return self._public(request, service)
        if request.path not in self._endpoints:
            return _nothing("The token service has no such endpoint.")
        if request.method != "POST":
            return _only("POST")
        action, endpoint = self._endpoints[request.path]
        client: Client | None = None
        try:
            form = forms.read(request)
            client = await self._clients.authenticate(request, form, _audiences(service, request.path))
            done = await endpoint(service, client, form)
            if not self._on_record(action, request, client, done):
                raise unavailable("audit: the record is full or broken")
        except OAuthRefusal as refusal:
            self._refused(action, request, client, refusal)
            return refusal.answer()
        return done.answer

    # --- POST /oauth2/token (RFC 6749 section 4.4) ---------------------------------------------------------

    async def _issue(self, service: TokenService, client: Client, form: Form) -> _Done:
        kind = forms.one(form, "grant_type")
        if kind != "client_credentials":
            raise OAuthRefusal(
                "unsupported_grant_type" if kind else "invalid_request",
                "grant_type must be client_credentials.",
            )
        account, now = client.account, int(self._clock.now())
        ends_at = now + token.life_s(service, account)
        grant = Grant(
            client_id=account.client_id,
            scopes=_scopes(account, forms.one(form, "scope")),
            audience=_audience(account, service, form),
            issued_at=now,
            ends_at=ends_at if account.expires_at is None else min(ends_at, account.expires_at),
            jti=self._random(_JTI_BYTES).hex(),
            bound_to=client.bound_to,
        )
        try:
            text = token.mint(grant, service.issuer, self._signing.signer())
        except SigningError as failure:
            raise unavailable(f"signing: {failure}") from None
        body = {
            "access_token": text,
            "token_type": "Bearer",
            "expires_in": grant.ends_at - now,
            "scope": " ".join(grant.scopes),
        }
        details = {
            "scope": " ".join(grant.scopes),
            "audience": grant.audience,
            "bound": "yes" if grant.bound_to else "",
        }
        return _Done(answer(body, 200, *NO_STORE), token.key_id(grant, service.issuer), details)

    # --- POST /oauth2/introspect (RFC 7662) ----------------------------------------------------------------

    async def _introspect(self, service: TokenService, client: Client, form: Form) -> _Done:
        grant, key_id = self._shown(service, form), ""
        told: dict[str, Any] = {"active": False}  # and not a word more about any other token (section 2.2)
        if grant is not None:
            key_id = token.key_id(grant, service.issuer)
            holder = await self._store.account(grant.client_id)
            if holder is not None and await self._is_active(grant, holder, client, key_id):
                told = _described(grant, holder, service)
        return _Done(answer(told, 200, *NO_STORE), key_id)

    async def _is_active(self, grant: Grant, holder: Account, asking: Client, key_id: str) -> bool:
        """As authz would judge it, for those who may know."""
        now_s = self._clock.now()
        if holder.tenant != asking.account.tenant or holder.tenant not in self._policy().tenants:
            return False
        if now_s >= grant.ends_at or not holder.open_at(now_s):
            return False
        # authz wants to see that certificate, and would refuse it: so does whoever asks here.
        bound_to = strict.base64url(grant.bound_to).hex() if grant.bound_to else ""
        caller = caller_of(holder, issued_at=grant.issued_at, sha256=bound_to, key_id=key_id)
        return not await self._store.is_revoked(caller)

    # --- POST /oauth2/revoke (RFC 7009) --------------------------------------------------------------------

    async def _revoke(self, service: TokenService, client: Client, form: Form) -> _Done:
        grant = self._shown(service, form)
        if grant is None or self._clock.now() >= grant.ends_at + SKEW_S:
            return _Done(answer({}, 200, *NO_STORE))  # section 2.2: what is no token needs no revocation
        account = client.account
        if grant.client_id != account.client_id:
            raise OAuthRefusal("invalid_grant", "The token was issued to another client.")  # section 2.1
        key_id = token.key_id(grant, service.issuer)
        try:
            await self._revoker.revoke(
                What.KEY,
                account.tenant,
                key_id,
                reason="revoked by its client",
                actor=account.client_id,
                until=grant.ends_at + _AFTER_S,
            )
        except Refusal as refusal:
            raise unavailable(f"revocation: {refusal.code}") from None
        return _Done(answer({}, 200, *NO_STORE), key_id)

    # --- what everybody may see ----------------------------------------------------------------------------

    def _public(self, request: Request, service: TokenService) -> Answer:
        if request.method != "GET":
            return _only("GET")
        if request.path == METADATA_PATH:
            return metadata.tell(service)
        keys = self._signing.published()
        return metadata.tell_keys(keys) if keys else unavailable("no keys").answer()

    # --- parts ---------------------------------------------------------------------------------------------

    def _shown(self, service: TokenService, form: Form) -> Grant | None:
        """The token that a request is about; None for what is none of ours. `token_type_hint` is no help to us."""
        text = forms.one(form, "token")
        if not text:
            raise invalid_request("token is missing.")
        try:
            return token.read(text, service, self._signing.key_set())
        except JwsError:
            return None

    def _on_record(self, action: str, request: Request, client: Client, done: _Done) -> bool:
        account = client.account
        return self._tell(
            Told(
                action=action,
                request=request,
                status=done.answer.status,
                tenant=account.tenant,
                principal=account.principal,
                client_id=account.client_id,
                key_id=done.key_id,
                details={"method": account.method.value, **{k: v for k, v in done.details.items() if v}},
            )
        )

    def _refused(self, action: str, request: Request, client: Client | None, refusal: OAuthRefusal) -> None:
        account = client.account if client is not None else None
        self._tell(
            Told(
                action=action,
                request=request,
                status=refusal.status,
                code=refusal.code,
                cause=refusal.cause,
                tenant=account.tenant if account is not None else "",
                principal=account.principal if account is not None else "",
                client_id=account.client_id if account is not None else "",
            )
        )


def _audiences(service: TokenService, path: str) -> frozenset[str]:
    """What an assertion may be for: this server, or its token endpoint (RFC 7523 section 3), or where it is sent."""
    return frozenset({service.issuer, service.issuer + TOKEN_PATH, service.issuer + path})


def _scopes(account: Account, asked: str) -> tuple[str, ...]:
    """The scopes of a token: all that are granted, or those of them that are asked for (RFC 6749 section 3.3)."""
    if not asked:
        return account.scopes
    wanted = tuple(dict.fromkeys(asked.split(" ")))
    if not set(wanted) <= set(account.scopes):
        raise OAuthRefusal("invalid_scope", "A scope is malformed, or not granted to this client.")
    return wanted


def _audience(account: Account, service: TokenService, form: Form) -> str:
    """The one audience of a token: whoever gets a token for two could use it at the other (RFC 8707 section 2.2)."""
    allowed = account.audiences or (service.audience,)
    asked = {*form.get("resource", ()), *form.get("audience", ())}
    if not asked:
        if service.audience in allowed:
            return service.audience
        asked = set(allowed)
    if len(asked) > 1:
        raise OAuthRefusal("invalid_target", "Ask for one resource with each token.")
    [wanted] = asked
    if wanted not in allowed:
        raise OAuthRefusal("invalid_target", "This client gets no tokens for that resource.")
    return wanted


def _described(grant: Grant, holder: Account, service: TokenService) -> dict[str, Any]:
    """An active token (RFC 7662 section 2.2), with the scopes that still count."""
    told: dict[str, Any] = {
        "active": True,
        "iss": service.issuer,
        "sub": grant.client_id,
        "client_id": grant.client_id,
        "aud": grant.audience,
        "iat": grant.issued_at,
        "exp": grant.ends_at,
        "jti": grant.jti,
        "token_type": "Bearer",
        "scope": " ".join(scope for scope in grant.scopes if scope in holder.scopes),
    }
    if grant.bound_to:
        told["cnf"] = {"x5t#S256": grant.bound_to}  # RFC 8705 section 3.2
    return told


def _nothing(description: str) -> Answer:
    return answer({"error": "not_found", "error_description": description}, 404, *NO_STORE)


def _only(method: str) -> Answer:
    refusal = invalid_request(f"Use {method} here.", status=405).answer()
    return Answer(refusal.status, refusal.body, (*refusal.headers, ("allow", method)))
