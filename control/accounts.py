"""Service accounts of the registry: created, listed, changed, rotated, disabled, deleted. Keeps digests, no secret.

A client id is made here and never used twice: a token of a deleted account must not open what another one may do.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from cryptography import x509

from control import problem
from control.form import Form
from control.problem import Refusal
from gateway import apikey, keyset
from gateway.apikey import Peppers, RandomBytes
from gateway.clock import Clock
from gateway.keyset import KeysError, KeySet
from gateway.policy.certificate import subject_text
from gateway.policy.field import shape
from gateway.policy.issuer import ALGORITHMS, AUDIENCE
from gateway.policy.key import LAST_SECOND, PRINCIPAL, SCOPE
from gateway.policy.model import Policy
from gateway.registry import accounts
from gateway.registry.accounts import (
    CLIENT_ID,
    MAX_AUDIENCES,
    MAX_JWKS_CHARS,
    MAX_PINS,
    MAX_SCOPES,
    MAX_TOKEN_S,
    SAN_DNS,
    SAN_URI,
    SHA256,
    SUBJECT,
    TENANT,
    Account,
    Binding,
    Method,
    Secret,
)
from gateway.registry.model import Change, ConflictError, Registry, RegistryError, Sort

#: Secret scanners and our own redaction know it by this. The rest is 256 random bits in base64url, 43 characters.
SECRET_PREFIX: Final = "ocs_"  # noqa: S105 -- the part that is no secret
_SECRET_BYTES: Final = 32
_ID_PREFIX: Final = "svc-"  # tells clients from principals in records

OVERLAP_S: Final = 24 * 3600  # as API keys have it: a night that nobody watches, and the working day after it
_MAX_OVERLAP_S: Final = 30 * 24 * 3600
_MIN_TOKEN_S: Final = 30  # shorter than a verifier's skew means nothing
_TRIES: Final = 5  # of a change that others overtake; operators are few
#: A key that may verify more than the two names of one algorithm (RSA: six) must be told which one is meant.
_CLEAR: Final = 2

_METHOD: Final = shape("|".join(Method), f"one of {', '.join(Method)}")
_ALGORITHM: Final = shape("|".join(ALGORITHMS), f"one of {', '.join(ALGORITHMS)}")
_CHANGEABLE: Final = "scopes, audiences, token_s, expires_at, expires_in_s, jwks, algorithms, certificate"


@dataclass(frozen=True, slots=True)
class _Proof:
    """What proves a client, by its method."""

    secrets: tuple[Secret, ...] = ()
    jwks: str = ""
    algorithms: frozenset[str] = frozenset()
    certificate: Binding | None = None


class Accounts:
    """The life of service accounts. Every method may raise Refusal; only `create` and `rotate` return a secret."""

    def __init__(
        self, *, registry: Registry, peppers: Peppers, policy: Callable[[], Policy], clock: Clock, random: RandomBytes
    ) -> None:
        self._registry = registry
        self._peppers = peppers
        self._policy = policy
        self._clock = clock
        self._random = random

    async def create(self, wish: Mapping[str, Any], by: str) -> dict[str, Any]:
        """A new account. The answer's `client_secret`, where the method has one, is the only copy of it."""
        now, form = self._now(), Form(wish)
        tenant = form.text("tenant", TENANT)
        if tenant not in self._policy().tenants:
            raise problem.invalid("tenant", "The policy in force has no such tenant.")
        principal = form.text("principal", PRINCIPAL)
        method = Method(form.text("method", _METHOD)) if "method" in wish else Method.SECRET
        text, proof = self._proof(form, wish, method, now)
        account = Account(
            client_id=_ID_PREFIX + apikey.new_id(self._random),
            tenant=tenant,
            principal=principal,
            method=method,
            scopes=form.texts("scopes", SCOPE, MAX_SCOPES),
            audiences=form.texts("audiences", AUDIENCE, MAX_AUDIENCES),
            secrets=proof.secrets,
            jwks=proof.jwks,
            algorithms=proof.algorithms,
            certificate=proof.certificate,
            token_s=form.integer("token_s", _MIN_TOKEN_S, MAX_TOKEN_S),
            expires_at=_expiry(form, now),
            created_at=now,
            created_by=by,
        )
        form.close()
        await self._apply(Change(Sort.ACCOUNT, account.client_id, accounts.write(account), expected=None))
        return self._told(account) | ({"client_secret": text} if text else {})

    async def list(self, tenant: str = "") -> Sequence[dict[str, Any]]:
        """All accounts, or those of one tenant, by id."""
        try:
            entries = await self._registry.list(Sort.ACCOUNT)
        except RegistryError:
            raise problem.unavailable() from None
        found = []
        for entry in entries:
            try:
                account = accounts.read(entry.id, entry.value)
            except ValueError:
                continue  # nobody gets a token by it either
            if not tenant or account.tenant == tenant:
                found.append(self._told(account))
        return found

    async def show(self, client_id: str) -> dict[str, Any]:
        """One account, without anything that proves a client."""
        return self._told((await self._read(client_id))[0])

    async def change(self, client_id: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Other scopes, audiences, times, keys or certificate: only what the wish names. Tenant and method stay."""
        if not wish.keys() - {"reason"}:
            raise problem.invalid("", f"Name what shall change: {_CHANGEABLE}.")
        return await self._change(client_id, lambda account: self._changed(account, wish))

    async def rotate(self, client_id: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        """A new secret; the one before it counts until the overlap ends, any older one no more."""
        form = Form(wish)
        overlap_s = form.integer("overlap_s", 0, _MAX_OVERLAP_S)
        form.close()
        now = self._now()
        end = now + (OVERLAP_S if overlap_s is None else overlap_s)
        text, secret = self._mint(now)

        def rotated(account: Account) -> Account:
            if account.method is not Method.SECRET:
                message = f"A client of method {account.method.value} has no secret. Change its keys or certificate."
                raise Refusal("account_without_secret", message, status=problem.CONFLICT)
            old = replace(account.secrets[-1], expires_at=end)
            return replace(account, secrets=(old, secret))

        told = await self._change(client_id, rotated)
        return told | {"client_secret": text, "previous_expires_at": end}

    async def disable(self, client_id: str) -> dict[str, Any]:
        """No new tokens, and those that are out count no more."""
        return await self._change(client_id, lambda account: replace(account, disabled=True))

    async def enable(self, client_id: str) -> dict[str, Any]:
        """The account counts again, unless it has expired."""
        return await self._change(client_id, lambda account: replace(account, disabled=False))

    async def delete(self, client_id: str) -> dict[str, Any]:
        """The account is gone, and its tokens with it."""
        for _ in range(_TRIES):
            account, stands = await self._read(client_id)
            try:
                await self._apply(Change(Sort.ACCOUNT, client_id, None, expected=stands))
            except Refusal as refusal:
                if refusal.status != problem.CONFLICT:
                    raise
                continue
            return self._told(account)
        raise _overtaken()

    # --- wishes ------------------------------------------------------------------------------------

    def _proof(self, form: Form, wish: Mapping[str, Any], method: Method, now: int) -> tuple[str, _Proof]:
        """What proves a new client, and its secret in clear, where it has one."""
        if method is Method.JWT:
            jwks, algorithms = _keys(form, wish)
            return "", _Proof(jwks=jwks, algorithms=algorithms)
        if method is Method.CERTIFICATE:
            return "", _Proof(certificate=_binding(form, wish))
        text, secret = self._mint(now)
        return text, _Proof(secrets=(secret,))

    def _changed(self, account: Account, wish: Mapping[str, Any]) -> Account:
        form, now = Form(wish), self._now()
        if "scopes" in wish:
            account = replace(account, scopes=form.texts("scopes", SCOPE, MAX_SCOPES))
        if "audiences" in wish:
            account = replace(account, audiences=form.texts("audiences", AUDIENCE, MAX_AUDIENCES))
        if "token_s" in wish:
            account = replace(account, token_s=form.integer("token_s", _MIN_TOKEN_S, MAX_TOKEN_S))
        if {"expires_at", "expires_in_s"} & wish.keys():
            account = replace(account, expires_at=_expiry(form, now))
        if {"jwks", "algorithms"} & wish.keys():
            if account.method is not Method.JWT:
                raise problem.invalid("jwks", f"The client authenticates by {account.method.value}.")
            jwks, algorithms = _keys(form, {"jwks": orjson.loads(account.jwks), **wish})
            account = replace(account, jwks=jwks, algorithms=algorithms)
        if "certificate" in wish:
            if account.method is not Method.CERTIFICATE:
                raise problem.invalid("certificate", f"The client authenticates by {account.method.value}.")
            account = replace(account, certificate=_binding(form, wish))
        form.close()
        return account

    def _mint(self, now: int) -> tuple[str, Secret]:
        drawn = self._random(_SECRET_BYTES)
        text = SECRET_PREFIX + base64.urlsafe_b64encode(drawn).rstrip(b"=").decode()
        version = self._peppers.current
        made = apikey.digest(text, self._peppers.secrets[version])
        return text, Secret(digest=made, pepper=version, created_at=now)

    # --- registry ----------------------------------------------------------------------------------

    async def _change(self, client_id: str, change: Callable[[Account], Account]) -> dict[str, Any]:
        for _ in range(_TRIES):
            account, stands = await self._read(client_id)
            changed = change(account)
            if changed == account:
                return self._told(account)
            try:
                await self._apply(Change(Sort.ACCOUNT, client_id, accounts.write(changed), expected=stands))
            except Refusal as refusal:
                if refusal.status != problem.CONFLICT:
                    raise
                continue
            return self._told(changed)
        raise _overtaken()

    async def _read(self, client_id: str) -> tuple[Account, bytes]:
        """An account, and its bytes as they stand."""
        if not CLIENT_ID.pattern.match(client_id):
            raise problem.unknown("account", client_id[:64])
        try:
            stands = await self._registry.get(Sort.ACCOUNT, client_id)
        except RegistryError:
            raise problem.unavailable() from None
        if stands is None:
            raise problem.unknown("account", client_id)
        try:
            return accounts.read(client_id, stands), stands
        except ValueError:
            raise Refusal("account_unreadable", "The account's record cannot be read.", status=500) from None

    async def _apply(self, *changes: Change) -> None:
        try:
            await self._registry.apply(changes)
        except ConflictError:
            raise _overtaken() from None
        except RegistryError:
            raise problem.unavailable() from None

    # --- telling -----------------------------------------------------------------------------------

    def _told(self, account: Account) -> dict[str, Any]:
        """Everything but digests: who reads answers and logs cannot even test a guess."""
        now, bound = self._now(), account.certificate
        proof: dict[str, Any] = {}
        if account.method is Method.SECRET:
            proof["secrets"] = [
                {"created_at": one.created_at, "expires_at": one.expires_at, "pepper": one.pepper}
                for one in account.secrets
                if one.expires_at is None or now < one.expires_at
            ]
        elif account.method is Method.JWT:
            proof |= {"jwks": orjson.loads(account.jwks), "algorithms": sorted(account.algorithms)}
        elif bound is not None:
            pins = sorted(bound.spki_sha256)
            named = {"uri": bound.uri, "dns": bound.dns, "subject": bound.subject, "spki_sha256": pins}
            proof["certificate"] = {name: value for name, value in named.items() if value}
        state = "disabled" if account.disabled else "active" if account.open_at(now) else "expired"
        return {
            "client_id": account.client_id,
            "tenant": account.tenant,
            "principal": account.principal,
            "state": state,
            "method": account.method.value,
            "scopes": list(account.scopes),
            "audiences": list(account.audiences),
            "token_s": account.token_s,
            "expires_at": account.expires_at,
            "created_at": account.created_at,
            "created_by": account.created_by,
            **proof,
        }

    def _now(self) -> int:
        return int(self._clock.now())


def _overtaken() -> Refusal:
    return problem.conflict("The account was changed by somebody else at the same moment. Look at it and try again.")


def _expiry(form: Form, now: int) -> int | None:
    """`expires_at` or `expires_in_s`. The second one counts from our clock, whatever the operator's says."""
    at = form.integer("expires_at", 1, LAST_SECOND)
    in_s = form.integer("expires_in_s", 1, LAST_SECOND - now)
    if at is not None and in_s is not None:
        raise form.refuse("expires_in_s", "stands beside expires_at; give one of them")
    if at is not None and at <= now:
        raise form.refuse("expires_at", "is in the past")
    return at if in_s is None else now + in_s


def _keys(form: Form, wish: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    """The client's public keys as they are kept, and the algorithms that its assertions may have."""
    form.form("jwks")
    wanted = form.texts("algorithms", _ALGORITHM, len(ALGORITHMS))
    given = wish.get("jwks")
    if not isinstance(given, dict):
        raise form.refuse("jwks", "missing; expected a JWK Set of the client's public keys")
    text = orjson.dumps(given).decode()
    if len(text) > MAX_JWKS_CHARS:
        raise form.refuse("jwks", f"longer than {MAX_JWKS_CHARS} characters")
    try:
        found = keyset.parse(text.encode())
    except KeysError as fault:
        raise form.refuse("jwks", f"expected a JWK Set of public signing keys: {fault}") from None
    if found.dropped:
        # Among them private keys: whoever sends one here should make a new one.
        raise form.refuse("jwks", "a key is private, weak, or of a kind that signs nothing here")
    kids = [key.kid for key in found.keys]
    if len(kids) > 1 and (None in kids or len(set(kids)) != len(kids)):
        raise form.refuse("jwks", "of several keys each needs a kid of its own")
    return text, _algorithms(form, found, wanted)


def _algorithms(form: Form, keys: KeySet, wanted: Sequence[str]) -> frozenset[str]:
    able = frozenset[str]().union(*(key.algorithms for key in keys.keys))
    if wanted:
        for name in wanted:
            if name not in able:
                raise form.refuse("algorithms", f"no key fits {name}")
        return frozenset(wanted)
    if any(len(key.algorithms) > _CLEAR for key in keys.keys):
        raise form.refuse("algorithms", "missing; an RSA key without `alg` could verify several")
    return able


def _binding(form: Form, wish: Mapping[str, Any]) -> Binding:
    inner, given = form.form("certificate"), wish.get("certificate", {})
    if inner is None:
        raise form.refuse("certificate", "missing; expected uri, dns, subject or spki_sha256")
    named = {
        name: inner.text(name, what) if name in given else ""
        for name, what in (("uri", SAN_URI), ("dns", SAN_DNS), ("subject", SUBJECT))
    }
    try:
        # One spelling of a subject: the one in which it is compared.
        subject = subject_text(x509.Name.from_rfc4514_string(named["subject"])) if named["subject"] else ""
    except ValueError:
        raise inner.refuse("subject", f"expected {SUBJECT.expected}") from None
    pins = frozenset(inner.texts("spki_sha256", SHA256, MAX_PINS))
    inner.close()
    bound = Binding(uri=named["uri"], dns=named["dns"], subject=subject, spki_sha256=pins)
    if bound == Binding():
        raise form.refuse("certificate", "empty: every certificate would be the client's")
    return bound
