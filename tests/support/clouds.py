"""A strict token endpoint on loopback, Google's and Microsoft's: takes nothing that the real ones would not, and says why."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT = "11111111-2222-3333-4444-555555555555"


@dataclass(slots=True)
class Account:
    """A service account's key, as Google's console gives it."""

    email: str = "gw@project.iam.gserviceaccount.com"
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048), repr=False)
    key_id: str = field(default_factory=lambda: secrets.token_hex(20))

    @property
    def pem(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()

    @property
    def document(self) -> str:
        told = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": self.key_id,
            "private_key": self.pem,
            "client_email": self.email,
            "token_uri": "https://elsewhere.example/token",  # must not be followed
        }
        return json.dumps(told, indent=2)


class Refusal(Exception):
    """Why the real one would refuse."""


class TokenEndpoint:
    """Use as a context manager. Tokens are random; `given` holds them in order, `refusals` why others were not."""

    def __init__(self, lasts_s: int = 3600) -> None:
        self.lasts_s = lasts_s
        self.accounts: dict[str, Account] = {}  # by key id
        self.client_secrets: set[str] = set()
        self.certificates: list[x509.Certificate] = []
        self.given: list[str] = []
        self.refusals: list[str] = []
        self.asked = 0
        self.status = 200
        self._seen: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                status, told = outer.answer(self.headers.get("content-type", ""), raw)
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, content_type: str, raw: bytes) -> tuple[int, dict[str, Any]]:
        self.asked += 1
        if self.status != 200:
            return self.status, {"error": "temporarily_unavailable"}
        try:
            if content_type != "application/x-www-form-urlencoded":
                raise Refusal("content type")
            self._judge(fields_of(raw))
        except Refusal as refusal:
            self.refusals.append(str(refusal))
            return 400, {"error": "invalid_grant", "error_description": raw.decode()}  # real ones quote, too
        self.given.append(f"ya29.{secrets.token_urlsafe(24)}")
        return 200, {"access_token": self.given[-1], "expires_in": self.lasts_s, "token_type": "Bearer"}

    def _judge(self, fields: Mapping[str, str]) -> None:
        match fields.get("grant_type"):
            case "client_credentials":
                self._microsoft(fields)
            case word if word == JWT_BEARER:
                self._google(fields)
            case _:
                raise Refusal("grant type")

    def _google(self, fields: Mapping[str, str]) -> None:
        if fields.keys() != {"grant_type", "assertion"}:
            raise Refusal("fields")
        header = header_of(fields["assertion"])
        account = self.accounts.get(header.get("kid", ""))
        if account is None or header != {"alg": "RS256", "typ": "JWT", "kid": account.key_id}:
            raise Refusal("header")
        claims = claims_of(fields["assertion"], account.key.public_key(), "RS256")
        now = time.time()
        if (claims.get("iss"), claims.get("scope"), claims.get("aud")) != (account.email, SCOPE, self.url):
            raise Refusal("claims")
        if not (now - 60 <= claims["iat"] <= now + 5 and claims["iat"] < claims["exp"] <= claims["iat"] + 3600):
            raise Refusal("times")

    def _microsoft(self, fields: Mapping[str, str]) -> None:
        if fields.get("client_id") != CLIENT or not fields.get("scope", "").endswith("/.default"):
            raise Refusal("client")
        if "client_secret" in fields:
            if fields["client_secret"] not in self.client_secrets:
                raise Refusal("secret")
            return
        if fields.get("client_assertion_type") != ASSERTED:
            raise Refusal("assertion type")
        header = header_of(fields["client_assertion"])
        thumbs = {thumbprint(each): each for each in self.certificates}
        certificate = thumbs.get(header.get("x5t#S256", ""))
        if certificate is None or header["alg"] != "PS256" or header["typ"] != "JWT":
            raise Refusal("header")
        claims = claims_of(fields["client_assertion"], certificate.public_key(), "PS256")
        now = time.time()
        if (claims.get("iss"), claims.get("sub"), claims.get("aud")) != (CLIENT, CLIENT, self.url):
            raise Refusal("claims")
        if not (claims["nbf"] <= now < claims["exp"] <= now + 600):
            raise Refusal("times")
        if not claims.get("jti") or claims["jti"] in self._seen:
            raise Refusal("seen")
        self._seen.add(claims["jti"])


def fields_of(raw: bytes) -> dict[str, str]:
    """A form in which no field stands twice."""
    try:
        read = parse_qs(raw.decode("ascii"), strict_parsing=True, keep_blank_values=True)
    except ValueError:
        raise Refusal("form") from None
    if any(len(values) != 1 for values in read.values()):
        raise Refusal("a field stands twice")
    return {name: values[0] for name, values in read.items()}


def header_of(token: str) -> dict[str, Any]:
    try:
        part = token.split(".", maxsplit=1)[0]
        return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))
    except ValueError:
        raise Refusal("no token") from None


def claims_of(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_bytes(serialization.Encoding.PEM, form)
    try:
        return dict(jwt.decode(token, RSAKey.import_key(pem), algorithms=[algorithm]).claims)
    except Exception:
        raise Refusal("signature") from None


def thumbprint(certificate: x509.Certificate) -> str:
    return base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
