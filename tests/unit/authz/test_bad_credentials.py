"""Every way in which a credential can be bad, at the whole door: CheckRequest bytes in, a refusal and a record out.

One table. Each row has a code or a cause of its own: operators can tell attacks apart, and callers cannot. More variants
of each stand in the tests of the part that refuses it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

import leaves
from authz import jose
from authz.certificate import VerifiedCertificates
from authz.decide import Ask
from authz.jwks import Keyring
from authz.means import Means
from authz.own import OwnTokens
from authz.service import Authorization
from authz.tokens import Tokens
from authz_case import DISABLED, EXPIRED, GOOD, NOW_S, ORPHAN, PEPPERS, POLICY, UNKNOWN, ask, bearer, ones, raw
from clocks import ManualClock
from gateway import contract, keyset
from gateway.errors import PLAN, Kind
from gateway.fetch import FetchError
from gateway.keyset import VERIFIERS
from gateway.policy.model import CertificateIdentity, TokenService
from gateway.registry import accounts, verifying
from gateway.registry.accounts import Account, Method, Secret
from gateway.registry.verifying import VerifyingKey
from gateway.revocation import record
from gateway.revocation.book import RevocationBook
from gateway.revocation.record import Revocation
from issuing import CLAIMS, ISSUER, b64, hmac_with_the_public_key, jwk, keys, segment, sign, token
from protos.ext_authz_pb2 import CheckResponse

# --- who could come in --------------------
LEAF = leaves.leaf(uris=["spiffe://example.org/ci"])
CERTIFICATE = leaves.shown(LEAF)
CERT_ID = "cert:" + hashlib.sha256(leaves.der(LEAF)).hexdigest()[:16]
THUMBPRINT = b64(hashlib.sha256(leaves.der(LEAF)).digest())
OTHER = leaves.shown(leaves.leaf(uris=["spiffe://example.org/other"]))
RUN_OUT = leaves.leaf(uris=["spiffe://example.org/ci"], lasts=leaves.DAY * 0)
FOREIGN_KEY = leaves.leaf(uris=["spiffe://example.org/pinned"], key_name="second")
BOTH = leaves.shown(leaves.leaf(uris=["spiffe://example.org/ci"], dns=["build.example.org"]))
ENTRIES = (
    CertificateIdentity(name="ci", tenant="acme", principal="ci", uri="spiffe://example.org/ci"),
    CertificateIdentity(name="build", tenant="acme", principal="build", dns="build.example.org"),
    CertificateIdentity(
        name="pinned",
        tenant="acme",
        principal="pinned",
        uri="spiffe://example.org/pinned",
        spki_sha256=frozenset({"0" * 64}),
    ),
    CertificateIdentity(
        name="sealed", tenant="acme", principal="sealed", uri="spiffe://example.org/sealed", required_for_principal=True
    ),
)
SERVICE = TokenService(issuer="https://gateway.example", audience="ostiary")
ISSUERS = {"corp": ISSUER, "sister": replace(ISSUER, name="sister", tenant="narrow", audiences=frozenset({"sister"}))}
WITH = replace(
    POLICY,
    issuers=ISSUERS,
    certificates={entry.name: entry for entry in ENTRIES},
    token_service=SERVICE,
)
ACCOUNT = Account(
    client_id="batch",
    tenant="acme",
    principal="batch-job",
    method=Method.SECRET,
    scopes=("chat",),
    secrets=(Secret(digest="0" * 64, pepper="v1", created_at=1),),
    created_at=1,
    created_by="admin",
)


def by_token(text: str, certificate: str = "", *more: tuple[str, str]) -> Ask:
    return replace(ask(bearer(text), *more), certificate=certificate)


def ours(**changes) -> str:
    return token(**{"iss": SERVICE.issuer, "aud": SERVICE.audience, **changes})


class Ring:
    """The issuers' keys, until a test takes them away."""

    def __init__(self):
        self.keys = keys("ES256", "RS256")

    def usable(self, issuer):
        return self.keys

    async def renew(self, issuer):
        return False


class Door:
    """authz with everything around it in view."""

    def __init__(self, issuers=None):
        self.clock = ManualClock(now=NOW_S)
        self.issuers = issuers or Ring()
        self.own = OwnTokens()
        members = {name: value for name, value in jwk("ES256").items() if name in ("kty", "crv", "x", "y")}
        key = VerifyingKey(kid="es256", algorithm="ES256", jwk=members, not_before=1, not_after=int(NOW_S) + 10_000)
        self.own.key_changed("es256", verifying.write(key))
        self.own.account_changed("batch", accounts.write(ACCOUNT))
        self.age_s = 0.0
        self.revocations = RevocationBook(self.clock, lambda: self.age_s)
        self.current = WITH
        self.records = []
        means = Means(
            PEPPERS,
            Tokens(self.issuers, own=self.own),
            certificates=VerifiedCertificates(),
            revocations=self.revocations,
        )
        self.service = Authorization(
            policies=self, means=means, issuers=self.issuers, limiter=self, offer=self.offer, meter=self,
            clock=self.clock, deadline_s=60, random=ones,
        )  # fmt: skip

    def offer(self, entry):
        self.records.append(entry)
        return True

    def count(self, code, tenant):
        """Nobody looks."""

    def revoke(self, mark):
        entry = Revocation(mark=mark, reason="leaked", actor="ada", at=int(NOW_S))
        self.revocations.apply(mark, record.write(entry))

    async def check(self, asked, *, joined=False):
        return CheckResponse.FromString(await self.service.check(raw(asked, joined=joined)))


# --- the table --------------------
@dataclass(frozen=True)
class Row:
    """What is told and recorded of each of `asks`. `spoil` happens once the first of them was let in."""

    kind: Kind
    cause: str
    asks: tuple[Ask, ...]
    spoil: Callable[[Door], None] | None = None
    joined: bool = False


def tokens(cause: str, *texts: str, kind: Kind = Kind.CREDENTIAL_INVALID) -> Row:
    return Row(kind, f"token: {cause}", tuple(map(by_token, texts)))


def headers(*values: dict) -> list[str]:
    return [token(header=value) for value in values]


def by_a_stranger(**header) -> str:
    """A token that brings its own key along."""
    stranger = ECKey.generate_key("P-256")
    head = {"alg": "ES256", "typ": "at+jwt", "kid": "es256", **header}
    if "jwk" in header:
        head["jwk"] = stranger.as_dict(private=False)
    signed = f"{segment(head)}.{segment(CLAIMS)}"
    return f"{signed}.{b64(VERIFIERS['ES256'].sign(signed.encode(), stranger))}"


HEAD, BODY, SIGNATURE = token().split(".")
REUSED = token(jti="seen-before")
XFCC = f"By=spiffe://example.org/gateway;Hash={'0' * 64};URI=spiffe://example.org/ci"
INVALID, UNBOUND, AMBIGUOUS = Kind.CREDENTIAL_INVALID, Kind.CREDENTIAL_UNBOUND, Kind.CREDENTIAL_AMBIGUOUS

TABLE = {
    # --- algorithms
    "alg confusion: a public key as shared secret": tokens(
        "symmetric algorithm (corp)", *map(hmac_with_the_public_key, ("pem", "der", "n"))
    ),
    "alg confusion: the key of another algorithm": tokens(
        "no single key of that kid fits the algorithm (corp)", *headers({"alg": "RS256"}, {"kid": "rs256"})
    ),
    "alg that is not pinned": tokens(
        "algorithm is not pinned (corp)", token("ES384"), *headers({"alg": "es256"}, {"alg": None}, {"alg": ["ES256"]})
    ),
    "alg none": tokens(
        "unsigned (corp)", *headers({"alg": "none"}, {"alg": "NoNe"}), f"{segment({'alg': 'none'})}.{BODY}."
    ),
    "a signature of nobody": tokens(
        "signature differs (corp)",
        f"{HEAD}.{BODY}.",
        f"{HEAD}.{BODY}.{b64(bytes(64))}",
        f"{HEAD}.{segment({**CLAIMS, 'sub': 'root'})}.{SIGNATURE}",
        # jku and its kin are never looked at, so nothing is fetched and the stranger's key counts for nothing
        by_a_stranger(jku="http://127.0.0.1:1/jwks"),
        by_a_stranger(x5u="http://127.0.0.1:1/chain", x5c=["AAAA"], x5t="x"),
        by_a_stranger(jwk="its own"),
    ),
    # --- header
    "wrong typ": tokens("wrong typ (corp)", *headers({"typ": "JWT"}, {"typ": None}, {"typ": "dpop+jwt"}, {"typ": 1})),
    "kid injection and path traversal": tokens(
        "unknown kid (corp)",
        *headers(*({"kid": kid} for kid in ("../../../dev/null", "x' OR 1=1 --", "|/bin/true", "es256\0", "ES256"))),
    ),
    "kid that is no name": tokens(
        "malformed kid (corp)", *headers({"kid": ""}, {"kid": ["es256"]}, {"kid": "k" * 257})
    ),
    "no kid": tokens("no kid and several keys (corp)", *headers({"kid": None})),
    "header that changes the reading": tokens(
        "header has crit, b64, zip or enc (corp)", *headers({"crit": ["exp"]}, {"b64": False}, {"zip": "DEF"})
    ),
    "nested": tokens("nested (corp)", *headers({"cty": "JWT"}, {"cty": "at+jwt"})),
    # --- form
    "oversized": tokens("too large", token(pad="x" * 8192), f"{HEAD}.{'A' * jose.MAX_CHARS}.{SIGNATURE}"),
    "encrypted": tokens("encrypted, or not three parts", "a.b.c.d.e", f"{HEAD}.{BODY}.{SIGNATURE}."),
    "bad base64": tokens(
        "not base64url",
        f"{HEAD}.{BODY}.{SIGNATURE}==",
        f"{HEAD}.{BODY}.+{SIGNATURE[1:]}",
        f"{HEAD}.{BODY}!.{SIGNATURE}",
    ),
    "duplicate claims": tokens(
        "duplicate name in header or payload",
        sign({"alg": "ES256"}, '{"sub":"a","sub":"b"}'),
        sign({"alg": "ES256"}, '{"act":{"sub":"a","sub":"b"}}'),
        sign('{"alg":"ES256","alg":"none"}', CLAIMS),
    ),
    "header that is no object": tokens("header is not a JSON object", sign("[]", CLAIMS), sign("[" * 4000, CLAIMS)),
    "payload that is no object": tokens(
        "payload is not a JSON object", sign({"alg": "ES256"}, token()), sign({"alg": "ES256"}, '{"exp":NaN}')
    ),
    # --- claims
    "wrong issuer": tokens(
        "unknown issuer", token(iss="https://evil.example"), token(iss=ISSUER.issuer + "/"), token(without=("iss",))
    ),
    "wrong audience": tokens(
        "not for this audience", token(aud="other"), token(aud="LLM"), token(aud=[]), ours(aud="llm")
    ),
    "audiences of two tenants": tokens("for the audiences of several issuer entries", token(aud=["llm", "sister"])),
    "expired": tokens(
        "expired", token(exp=NOW_S - 30), token(exp=1), ours(exp=NOW_S - 30), kind=Kind.CREDENTIAL_EXPIRED
    ),
    "not yet valid": tokens("not valid yet (corp)", token(nbf=NOW_S + 31), token(nbf=NOW_S + 10**6)),
    "issued in the future": tokens("issued in the future (corp)", token(iat=NOW_S + 31, without=("nbf",))),
    "times that are none": tokens("exp, nbf or iat is not a time (corp)", token(exp="never"), token(nbf=True)),
    "no end": tokens("a required claim is missing (corp)", token(without=("exp",))),
    "nobody": tokens("no usable principal (corp)", token(without=("sub",)), token(sub="a\nb"), token(sub=["svc-1"])),
    # --- certificates and bindings
    "bound, and no certificate": Row(
        UNBOUND,
        "token: bound to a certificate, and none was shown",
        (by_token(token(cnf={"x5t#S256": THUMBPRINT})), by_token(ours(cnf={"x5t#S256": THUMBPRINT}))),
    ),
    "bound to another certificate": Row(
        UNBOUND,
        f"token: bound to another certificate than {CERT_ID}",
        (by_token(token(cnf={"x5t#S256": "A" * 43}), CERTIFICATE),),
    ),
    "bound to something else": tokens(
        "cnf is not an x5t#S256 (corp)", token(cnf={"jkt": "x"}), token(cnf={}), token(cnf={"x5t#S256": "short"})
    ),
    "a principal that needs its certificate": Row(
        UNBOUND,
        "certificate: required for this principal (sealed), and none was shown",
        (by_token(token(sub="sealed")),),
    ),
    "a pinned name with another key": Row(
        UNBOUND,
        f"certificate: public key of cert:{hashlib.sha256(leaves.der(FOREIGN_KEY)).hexdigest()[:16]} is not pinned (pinned)",
        (
            replace(ask(), certificate=leaves.shown(FOREIGN_KEY)),
            by_token(token(), leaves.shown(FOREIGN_KEY)),
            by_token(GOOD, leaves.shown(FOREIGN_KEY)),
        ),
    ),
    "a certificate of two principals": Row(
        AMBIGUOUS, "certificate: names several entries (ci, build)", (replace(ask(), certificate=BOTH),)
    ),
    "a certificate of nobody": Row(
        Kind.CREDENTIAL_MISSING, "the client certificate names nobody", (replace(ask(), certificate=OTHER),)
    ),
    "a certificate that ran out": Row(
        Kind.CREDENTIAL_EXPIRED,
        f"certificate: expired (cert:{hashlib.sha256(leaves.der(RUN_OUT)).hexdigest()[:16]})",
        (replace(ask(), certificate=leaves.shown(RUN_OUT)), by_token(GOOD, leaves.shown(RUN_OUT))),
    ),
    "what is no certificate": Row(
        INVALID,
        "certificate: not one X.509 certificate",
        (replace(ask(), certificate=CERTIFICATE * 2), by_token(GOOD, "garbage"), by_token(token(), CERTIFICATE[:-99])),
    ),
    "forged XFCC, and other headers that name somebody": Row(
        Kind.CREDENTIAL_MISSING,
        "",
        tuple(
            ask((name, value))
            for name, value in {
                "x-forwarded-client-cert": XFCC,
                "x-ostiary-client-certificate": CERTIFICATE,
                "x-ssl-client-cert": CERTIFICATE,
                "x-ostiary-principal": "ci",
                "cookie": f"authorization=Bearer {GOOD}",
                "proxy-authorization": f"Bearer {GOOD}",
                "x_api_key": GOOD,
            }.items()
        ),
    ),
    # --- how it is sent
    "two credentials at once": Row(
        AMBIGUOUS,
        "several credentials",
        (
            ask(bearer(GOOD), ("x-api-key", GOOD)),
            ask(bearer(token()), ("x-api-key", GOOD)),
            ask(bearer(GOOD), bearer("")),
        ),
    ),
    "header smuggling: authorization twice, joined on the way": Row(
        AMBIGUOUS, "a credential with a comma", (ask(bearer(GOOD), bearer(token())),), joined=True
    ),
    "another scheme": Row(
        INVALID,
        "scheme is not Bearer",
        (ask(("authorization", f"Basic {GOOD}")), ask(("authorization", token())), ask(("authorization", ""))),
    ),
    # --- API keys
    "a key out of shape": Row(
        INVALID,
        "malformed key",
        (ask(bearer(GOOD.upper())), ask(("x-api-key", token())), ask(bearer("sk-proj-0123456789"))),
    ),
    "an unknown key": Row(INVALID, "unknown key id (nobody000001)", (ask(bearer(UNKNOWN)),)),
    "a key with a wrong secret": Row(
        INVALID, "digest differs (alice0000001)", (ask(bearer(GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"))),)
    ),
    "a disabled key": Row(INVALID, "disabled key (dinah0000001)", (ask(bearer(DISABLED)),)),
    "an expired key": Row(Kind.CREDENTIAL_EXPIRED, "", (ask(bearer(EXPIRED)),)),
    "a key without a tenant": Row(Kind.POLICY_UNAVAILABLE, "credential without tenant", (ask(bearer(ORPHAN)),)),
    # --- taken back after it had counted, so that it is remembered
    "revoked but cached": Row(
        Kind.CREDENTIAL_REVOKED,
        "subject:acme/svc-1: leaked",
        (by_token(REUSED), by_token(token(jti="another"))),
        spoil=lambda door: door.revoke("subject:acme/svc-1"),
    ),
    "a revoked certificate": Row(
        Kind.CREDENTIAL_REVOKED,
        f"certificate:{hashlib.sha256(leaves.der(LEAF)).hexdigest()}: leaked",
        (replace(ask(), certificate=CERTIFICATE), by_token(GOOD, CERTIFICATE), by_token(token(), CERTIFICATE)),
        spoil=lambda door: door.revoke(f"certificate:{hashlib.sha256(leaves.der(LEAF)).hexdigest()}"),
    ),
    "no word of revocations": Row(
        Kind.REVOCATIONS_UNAVAILABLE,
        "no word from the registry for 61 s",
        (ask(bearer(GOOD)),),
        spoil=lambda door: setattr(door, "age_s", 61.0),
    ),
    "an account that was removed": Row(
        INVALID,
        "token: unknown account (token service)",
        (by_token(ours()), by_token(ours(client_id="other", jti="x"))),
        spoil=lambda door: door.own.account_changed("batch", None),
    ),
    "an account that was disabled": Row(
        INVALID,
        "token: disabled account (token service)",
        (by_token(ours()), by_token(ours(exp=NOW_S - 100))),
        spoil=lambda door: door.own.account_changed("batch", accounts.write(replace(ACCOUNT, disabled=True))),
    ),
    "an account that has ended": Row(
        INVALID,
        "token: expired account (token service)",
        (by_token(ours()),),
        spoil=lambda door: door.own.account_changed("batch", accounts.write(replace(ACCOUNT, expires_at=int(NOW_S)))),
    ),
    "a key that the issuer withdrew": Row(
        INVALID,
        "token: unknown kid (token service)",
        (by_token(ours()),),
        spoil=lambda door: (
            door.own.key_changed("es256", None),
            door.own.key_changed("new", verifying.write(_rsa("new"))),
        ),
    ),
    "an issuer whose keys are gone": Row(
        Kind.ISSUER_UNAVAILABLE,
        "no keys young enough (corp)",
        (by_token(token()),),
        spoil=lambda door: setattr(door.issuers, "keys", None),
    ),
}


def _rsa(kid: str) -> VerifyingKey:
    members = {name: value for name, value in jwk("RS256").items() if name in ("kty", "n", "e")}
    return VerifyingKey(kid=kid, algorithm="RS256", jwk=members, not_before=1, not_after=int(NOW_S) + 10_000)


def told(answer) -> tuple[int, str, dict[str, str], bytes]:
    """Status, code, headers and body of a refusal."""
    assert answer.WhichOneof("http_response") == "denied_response"
    assert answer.status.code != 0
    said = {option.header.key: option.header.value for option in answer.denied_response.headers}
    return answer.denied_response.status.code, said[contract.ERROR_CODE_HEADER], said, answer.denied_response.body


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
async def test_a_bad_credential_is_refused_with_its_code_and_put_on_record_with_its_cause(row):
    door = Door()
    if row.spoil is not None:
        assert (await door.check(row.asks[0])).WhichOneof("http_response") == "ok_response"
        row.spoil(door)
    for asked in row.asks:
        with capture_logs() as logs:
            answer = await door.check(asked, joined=row.joined)
        status, code, said, body = told(answer)
        assert (status, code) == (PLAN[row.kind].http, row.kind.value)
        written = door.records.pop()
        assert (written.code, written.reason) == (row.kind.value, row.cause)
        assert not door.records
        if row.kind not in (Kind.ISSUER_UNAVAILABLE, Kind.REVOCATIONS_UNAVAILABLE, Kind.POLICY_UNAVAILABLE):
            assert said[contract.SHOULD_RETRY_HEADER] == "false"
            assert said["www-authenticate"].startswith("Bearer")
        # Neither the caller nor a log sees a part of what was sent, and the caller not even why.
        everything = repr((said, body, logs, written))
        for _, value in asked.headers:
            secret = value.rpartition(".")[2].rpartition("_")[2]
            assert len(secret) < 16 or secret not in everything
        assert not row.cause or row.cause not in repr((said, body))


def test_each_row_can_be_told_from_every_other():
    assert len({(row.kind, row.cause) for row in TABLE.values()}) == len(TABLE)


def test_every_fault_of_a_token_has_its_row():
    causes = " ".join(row.cause for row in TABLE.values())
    elsewhere = {
        "token: client is not allowed", "token: malformed scopes", "token: malformed groups", "token: older than allowed",
    }  # fmt: skip
    of_jwt = {fault.value for fault in jose.Fault} - OF_OPAQUE_TOKENS
    assert {value for value in of_jwt if value not in causes} == elsewhere  # test_claims.py


#: Told of opaque tokens alone (test_introspect.py).
OF_OPAQUE_TOKENS = {"token: not active", "token: characters that no token has"}


async def test_all_that_is_not_told_openly_is_told_alike():
    """One text for each kind of credential: two for two causes would tell a forger how far they got."""
    bodies = set()
    for row in TABLE.values():
        if row.kind is INVALID and row.spoil is None:
            for asked in row.asks:
                bodies.add(json.loads(told(await Door().check(asked, joined=row.joined))[3])["error"]["message"])
    assert len(bodies) == 3  # keys, tokens, certificates


# --- edges of the clock --------------------
EDGES = [
    ({"exp": NOW_S}, 29.999, True),
    ({"exp": NOW_S}, 30, False),
    ({"nbf": NOW_S + 30}, 0, True),
    ({"nbf": NOW_S + 30.001}, 0, False),
    ({"iat": NOW_S + 30, "without": ("nbf",)}, 0, True),
    ({"iat": NOW_S + 30.001, "without": ("nbf",)}, 0, False),
]


@pytest.mark.parametrize("issued", [token, ours])
@pytest.mark.parametrize(("changes", "later_s", "counts"), EDGES)
async def test_a_clock_may_be_off_by_the_skew_and_not_by_more(issued, changes, later_s, counts):
    door = Door()
    door.clock.advance(later_s)
    answer = await door.check(by_token(issued(**{"exp": NOW_S + 300, **changes})))
    assert (answer.WhichOneof("http_response") == "ok_response") is counts


@pytest.mark.parametrize(("later_s", "counts"), [(86_399.999, True), (86_400, False)])
async def test_a_certificate_has_no_skew_at_its_end(later_s, counts):
    door = Door()
    door.clock.advance(later_s)
    answer = await door.check(replace(ask(), certificate=CERTIFICATE))
    assert (answer.WhichOneof("http_response") == "ok_response") is counts


# --- keys that cannot be had --------------------
class Provider:
    """Answers whatever it is told, and counts."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    async def get(self, url, ca_file, max_bytes):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


NO_KEYS = {
    "unreachable": FetchError("connection refused"),
    "garbage": b"<html>",
    "huge": b'{"keys":[' + b" " * keyset.MAX_BYTES + b"]}",
    "empty": b'{"keys":[]}',
    "a list": b"[]",
    "shared secrets": b'{"keys":[{"kty":"oct","k":"AAAA","kid":"es256"}]}',
    "private keys": json.dumps({"keys": [{**jwk("ES256"), "d": "AAAA"}]}).encode(),
    "too many": json.dumps({"keys": [jwk("ES256", str(number)) for number in range(keyset.MAX_KEYS + 1)]}).encode(),
}


@pytest.mark.parametrize("answer", NO_KEYS.values(), ids=NO_KEYS)
async def test_whatever_is_wrong_with_an_issuers_keys_its_tokens_are_refused_as_a_fault_of_ours(answer):
    provider = Provider(answer)
    keyring = Keyring(provider.get, ManualClock(now=NOW_S))
    keyring.follow([ISSUER], "")
    try:
        door = Door(keyring)
        for number in range(20):
            _, code, said, _ = told(await door.check(by_token(token(jti=str(number)))))
            assert code == Kind.ISSUER_UNAVAILABLE.value
            assert said["retry-after"]
        assert provider.asked == 1, "refused tokens ask no more than once in ten seconds"
    finally:
        await keyring.close()


async def test_a_storm_of_unknown_kids_asks_the_issuer_once():
    provider = Provider(json.dumps({"keys": [jwk("ES256")]}).encode())
    clock = ManualClock(now=NOW_S)
    keyring = Keyring(provider.get, clock)
    keyring.follow([ISSUER], "")
    try:
        door = Door(keyring)
        await keyring.renew(ISSUER)
        assert (await door.check(by_token(token()))).WhichOneof("http_response") == "ok_response"
        clock.advance(11)
        for number in range(200):
            answer = await door.check(by_token(token(header={"kid": f"unknown-{number}"})))
            assert told(answer)[1] == Kind.CREDENTIAL_INVALID.value
        assert provider.asked == 2
    finally:
        await keyring.close()
