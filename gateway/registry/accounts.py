"""A service account of the token service as a registry entry (`Sort.ACCOUNT`). Pure; authenticates nobody.

Its id is the `client_id`. A secret is kept as HMAC-SHA-256(pepper, secret) only. A slow hash would add nothing: secrets
are minted by us from 256 random bits, so there is nothing to guess; what the pepper adds is that a copied store cannot
even be tested against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from gateway import strict
from gateway.policy.field import Shape, shape
from gateway.policy.issuer import ALGORITHMS, AUDIENCE
from gateway.policy.key import LAST_SECOND, PEPPER, PRINCIPAL, SCOPE

MAX_SECRETS: Final = 2  # the one in use and the one that takes its place
MAX_SCOPES: Final = 100  # as many as authz takes from a token
MAX_AUDIENCES: Final = 16
MAX_JWKS_CHARS: Final = 16 * 1024  # eight RSA-4096 keys and their labels fit
MAX_PINS: Final = 8  # one in use, one to come, and a few replicas that renew at different hours
MAX_TOKEN_S: Final = 3600

#: Needs no escaping anywhere (RFC 6749 section 2.3.1 has clients escape what does).
CLIENT_ID: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "up to 64 of A-Z a-z 0-9 . _ -, a letter or digit first")
TENANT: Final = shape(r"[a-z0-9][a-z0-9_-]{0,62}", "the id of a tenant")
SAN_URI: Final = shape(r"[a-z][a-z0-9+.-]{0,31}:[!-~]{1,2015}", "a URI such as spiffe://example.org/ci")
SAN_DNS: Final = shape(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,15}", "a whole DNS name in lower case")
SUBJECT: Final = shape(r"[^\x00-\x1f\x7f]{1,1024}", 'a subject as RFC 4514 writes it, such as "CN=ci,O=Example"')
SHA256: Final = shape(r"[0-9a-f]{64}", "a SHA-256 in hex, 64 digits in lower case")
_ACTOR: Final = shape(r"[^\x00-\x1f\x7f]{1,256}", "who made it")


class Method(StrEnum):
    """How the client of an account proves itself: exactly one way (RFC 6749 section 2.3, RFC 7523, RFC 8705)."""

    SECRET = "client_secret_basic"  # noqa: S105 -- a method's registered name
    JWT = "private_key_jwt"
    CERTIFICATE = "tls_client_auth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What is kept of one client secret. The newest has no end; the one before it has, while both count."""

    digest: str = field(repr=False)
    pepper: str
    created_at: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Which client certificate is the client's (RFC 8705 section 2.1.2): everything that is set must fit."""

    uri: str = ""  # SAN URI, character by character
    dns: str = ""  # SAN DNS name
    subject: str = ""  # RFC 4514 text
    spki_sha256: frozenset[str] = frozenset()  # any one of them, lower-case hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A machine that may ask for tokens. Its tenant is said here and nowhere else."""

    client_id: str
    tenant: str
    principal: str
    method: Method
    scopes: tuple[str, ...]
    audiences: tuple[str, ...] = ()  # empty: this gateway alone
    secrets: tuple[Secret, ...] = ()
    jwks: str = ""  # JWK Set of public keys, as JSON
    algorithms: frozenset[str] = frozenset()  # pinned for its assertions
    certificate: Binding | None = None
    token_s: int | None = None  # shorter life of its tokens than the policy's
    disabled: bool = False
    expires_at: int | None = None
    created_at: int
    created_by: str

    def __post_init__(self) -> None:
        _full(CLIENT_ID, self.client_id, "client_id")
        _full(TENANT, self.tenant, "tenant")
        _full(PRINCIPAL, self.principal, "principal")
        _list(SCOPE, self.scopes, MAX_SCOPES, "scopes")
        _list(AUDIENCE, self.audiences, MAX_AUDIENCES, "audiences")
        _full(_ACTOR, self.created_by, "created_by")
        for name, moment in (("created_at", self.created_at), ("expires_at", self.expires_at)):
            if moment is not None:
                _whole(moment, LAST_SECOND, name)
        if self.token_s is not None and _whole(self.token_s, MAX_TOKEN_S, "token_s") < 1:
            raise ValueError("account: token_s")
        if not isinstance(self.disabled, bool):
            raise ValueError("account: disabled")  # noqa: TRY004 -- callers ask whether it is an account, not why not
        self._check_proof()

    def _check_proof(self) -> None:
        """What proves the client fits the method, and nothing else is there: one method each."""
        if len(self.secrets) > MAX_SECRETS or bool(self.secrets) is not (self.method is Method.SECRET):
            raise ValueError("account: secrets")
        if not isinstance(self.jwks, str) or len(self.jwks) > MAX_JWKS_CHARS:
            raise ValueError("account: jwks")
        if bool(self.jwks) is not (self.method is Method.JWT):
            raise ValueError("account: jwks")
        if bool(self.algorithms) is not (self.method is Method.JWT) or not self.algorithms.issubset(ALGORITHMS):
            raise ValueError("account: algorithms")
        if (self.certificate is not None) is not (self.method is Method.CERTIFICATE):
            raise ValueError("account: certificate")
        for secret in self.secrets:
            _full(SHA256, secret.digest, "digest")
            _full(PEPPER, secret.pepper, "pepper")
            _whole(secret.created_at, LAST_SECOND, "created_at")
            if secret.expires_at is not None:
                _whole(secret.expires_at, LAST_SECOND, "expires_at")
        if self.certificate is not None:
            _check_binding(self.certificate)

    def open_at(self, now_s: float) -> bool:
        """Whether its client may be heard at all."""
        return not self.disabled and (self.expires_at is None or now_s < self.expires_at)


def write(account: Account) -> bytes:
    """The entry's value."""
    bound = account.certificate
    return orjson.dumps(
        {
            "client_id": account.client_id,
            "tenant": account.tenant,
            "principal": account.principal,
            "method": account.method.value,
            "scopes": list(account.scopes),
            "audiences": list(account.audiences),
            "secrets": [
                {"digest": one.digest, "pepper": one.pepper, "created_at": one.created_at, "expires_at": one.expires_at}
                for one in account.secrets
            ],
            "jwks": account.jwks,
            "algorithms": sorted(account.algorithms),
            "certificate": None
            if bound is None
            else {
                "uri": bound.uri,
                "dns": bound.dns,
                "subject": bound.subject,
                "spki_sha256": sorted(bound.spki_sha256),
            },
            "token_s": account.token_s,
            "disabled": account.disabled,
            "expires_at": account.expires_at,
            "created_at": account.created_at,
            "created_by": account.created_by,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def read(entry_id: str, value: bytes) -> Account:
    """The account of one entry.

    Raises:
        ValueError: not written by `write`, or under another id; whoever meets it must do without the account.
    """
    told = strict.json_object(value)
    _names(told, _ACCOUNT)
    if told["client_id"] != entry_id:
        raise ValueError("account: of another id")
    bound = told["certificate"]
    return Account(
        client_id=told["client_id"],
        tenant=told["tenant"],
        principal=told["principal"],
        method=Method(told["method"]),
        scopes=tuple(_texts(told["scopes"])),
        audiences=tuple(_texts(told["audiences"])),
        secrets=tuple(Secret(**_names(one, _SECRET)) for one in _items(told["secrets"])),
        jwks=told["jwks"],
        algorithms=frozenset(_texts(told["algorithms"])),
        certificate=None if bound is None else _binding(bound),
        token_s=told["token_s"],
        disabled=told["disabled"],
        expires_at=told["expires_at"],
        created_at=told["created_at"],
        created_by=told["created_by"],
    )


_ACCOUNT: Final = frozenset(Account.__dataclass_fields__)
_SECRET: Final = frozenset(Secret.__dataclass_fields__)
_BINDING: Final = frozenset(Binding.__dataclass_fields__)


def _binding(told: Any) -> Binding:
    _names(told, _BINDING)
    return Binding(
        uri=told["uri"],
        dns=told["dns"],
        subject=told["subject"],
        spki_sha256=frozenset(_texts(told["spki_sha256"])),
    )


def _check_binding(bound: Binding) -> None:
    if not (bound.uri or bound.dns or bound.subject or bound.spki_sha256):
        raise ValueError("account: a certificate that every certificate would be")
    for wanted, text in ((SAN_URI, bound.uri), (SAN_DNS, bound.dns), (SUBJECT, bound.subject)):
        if text != "":
            _full(wanted, text, "certificate")
    _list(SHA256, tuple(bound.spki_sha256), MAX_PINS, "spki_sha256")


def _names(told: Any, names: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(told, dict) or told.keys() != names:
        raise ValueError("account: names")
    return told


def _items(told: Any) -> list[Any]:
    if not isinstance(told, list):
        raise ValueError("account: a list is missing")  # noqa: TRY004 -- as above
    return told


def _texts(told: Any) -> list[str]:
    if not all(isinstance(one, str) for one in _items(told)):
        raise ValueError("account: a list of texts is missing")
    return told  # type: ignore[no-any-return]  # judged just now


def _full(wanted: Shape, text: Any, what: str) -> None:
    if not isinstance(text, str) or not wanted.pattern.match(text):
        raise ValueError(f"account: {what}")


def _list(wanted: Shape, texts: tuple[str, ...], most: int, what: str) -> None:
    if len(texts) > most or len(set(texts)) != len(texts):
        raise ValueError(f"account: {what}")
    for text in texts:
        _full(wanted, text, what)


def _whole(number: Any, most: int, what: str) -> int:
    # A bool is an int to Python, and no time to anybody.
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
        raise ValueError(f"account: {what}")
    return number
