"""A whole token service in memory, two tenants, and clients that know how to ask it. Only the registry is no real one."""

import base64
import json
import secrets
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from joserfc.jwk import Key

import authz_case
import issuing
from clocks import ManualClock
from control.accounts import Accounts
from control.kek import LocalKek
from control.oauth.client import ASSERTION_TYPE, Clients
from control.oauth.metadata import TOKEN_PATH
from control.oauth.replay import MemorySeen
from control.oauth.service import TokenServer, Told
from control.oauth.store import Store
from control.request import Answer, Request
from control.revocations import Revocations
from control.signing import Signing
from gateway import strict
from gateway.keyset import VERIFIERS
from gateway.policy.model import TokenService
from gateway.registry.memory import MemoryRegistry

NOW_S = authz_case.NOW_S
HERE = "https://gateway.example.com"
SERVICE = TokenService(issuer=HERE, audience="llm", token_s=300, rotate_s=86_400)
POLICY = replace(authz_case.POLICY, token_service=SERVICE)
FORM = "application/x-www-form-urlencoded"


class World:
    """One replica of `control` as far as tokens go."""

    def __init__(self, **changes: Any) -> None:
        self.policy = replace(POLICY, **changes)
        self.clock = ManualClock(now=NOW_S)
        self.registry = MemoryRegistry()
        self.recording = True
        self.told: list[Told] = []
        self.seen = MemorySeen(self.clock)
        made = {"policy": lambda: self.policy, "clock": self.clock}
        self.accounts = Accounts(registry=self.registry, peppers=authz_case.PEPPERS, random=secrets.token_bytes, **made)
        self.signing = Signing(self.registry, LocalKek({"v1": bytes(32)}, secrets.token_bytes), self.clock)
        store = Store(self.registry, self.clock)
        self.revocations = Revocations(self.registry, self.clock)
        self.server = TokenServer(
            clients=Clients(store=store, peppers=authz_case.PEPPERS, seen=self.seen, **made),
            store=store,
            signing=self.signing,
            revoker=self.revocations,
            tell=self._tell,
            random=secrets.token_bytes,
            **made,
        )

    def _tell(self, told: Told) -> bool:
        self.told.append(told)
        return self.recording

    async def started(self) -> "World":
        """With a key that signs."""
        await self.signing.tend(SERVICE)
        return self

    async def account(self, **wish: Any) -> "Known":
        """An account of acme; its client knows what proves it."""
        told = {"tenant": "acme", "principal": "svc/batch", "scopes": ["chat", "embed"], **wish}
        made = await self.accounts.create(told, "alice (uid:7)")
        return Known(made["client_id"], made.get("client_secret", ""))

    async def ask(self, path: str = TOKEN_PATH, **changes: Any) -> Answer:
        """One request."""
        return await self.server(Request(**{"method": "POST", "path": path, "now": self.clock.now(), **changes}))

    async def post(self, path: str, *parameters: tuple[str, str], **changes: Any) -> Answer:
        """One form; `headers` are added to its content type."""
        headers = {"content-type": FORM, **changes.pop("headers", {})}
        return await self.ask(path, headers=headers, body=urlencode(parameters).encode(), **changes)

    async def token(self, known: "Known", *parameters: tuple[str, str], **changes: Any) -> Answer:
        """client_credentials with a secret."""
        given = (("grant_type", "client_credentials"), *parameters)
        return await self.post(TOKEN_PATH, *given, **{"headers": known.basic(), **changes})


class Known:
    """A client that knows its secret."""

    def __init__(self, client_id: str, secret: str) -> None:
        self.client_id = client_id
        self.secret = secret

    def basic(self, secret: str = "") -> dict[str, str]:
        """RFC 6749 section 2.3.1."""
        text = f"{quote(self.client_id, safe='')}:{quote(secret or self.secret, safe='')}"
        return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def assertion(client_id: str, key: Key, **changes: Any) -> str:
    """A client assertion (RFC 7523 section 3) by an ES256 key; `header` and claims may be replaced, None removes."""
    header = {"alg": "ES256", "typ": "JWT", "kid": "k1", **changes.pop("header", {})}
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": HERE,
        "iat": int(NOW_S),
        "exp": int(NOW_S) + 60,
        "jti": secrets.token_hex(8),
        **changes,
    }
    parts = [_part({name: value for name, value in one.items() if value is not None}) for one in (header, claims)]
    text = ".".join(parts)
    algorithm = header["alg"] if header["alg"] in VERIFIERS else "ES256"
    signed = VERIFIERS[algorithm].sign(text.encode(), key)
    return f"{text}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"


def asserted(text: str) -> tuple[tuple[str, str], ...]:
    """The parameters that carry an assertion."""
    return (("client_assertion_type", ASSERTION_TYPE), ("client_assertion", text))


def jwks(*algorithms: str) -> dict[str, Any]:
    """A client's public keys, `k1` first."""
    return {"keys": [issuing.jwk(algorithm, f"k{at}") for at, algorithm in enumerate(algorithms, start=1)]}


def body(answer: Answer) -> dict[str, Any]:
    """An answer's JSON."""
    return json.loads(answer.body)


def claims(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    return strict.json_object(strict.base64url(token.split(".")[1]))


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
