"""One issuer of a policy: whose tokens count, by which algorithms, and who its claims name. Fetches nothing."""

import re
from typing import Final

from gateway.policy.field import Shape, Table, shape
from gateway.policy.host import bad_host, is_loopback
from gateway.policy.model import Issuer
from gateway.policy.problem import Problems, nearest, shown
from gateway.policy.tree import Mapping, Scalar, Sequence

#: Signatures only. A shared secret (HS*) would let every holder mint tokens, and `none` is no signature
#: (RFC 8725 sections 2.1 and 3.2). `Ed25519` is the name that RFC 9864 gives to what `EdDSA` means here.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519"),
)
_TYPES: Final = ("at+jwt", "any")

_MAX_SKEW_S: Final = 300  # more than that is a broken clock, not a skew
_MAX_AGE_S: Final = 86_400
_REFRESH_S: Final = (10, 3600)  # every worker asks, so not more often than this
_KEYS_MAX_AGE_S: Final = (60, 86_400)  # how long a signing key that was withdrawn may still count while the IdP is away

NAME: Final = shape(r"[a-z0-9][a-z0-9_-]{0,39}", "a name of up to 40 of a-z, 0-9, _ and -")
_URL: Final = shape(r"[!-~]{1,512}", "a URL such as https://idp.example.com, without spaces")
AUDIENCE: Final = shape(r"[!-~]{1,255}", "an audience of up to 255 characters without spaces")
WORD: Final = shape(r"[!-~]{1,128}", "up to 128 characters without spaces")
PREFIX: Final = shape(r"(?:[A-Za-z0-9][A-Za-z0-9._@+:/-]{0,31})?", "up to 32 of A-Z a-z 0-9 . _ @ + : / -")
FILE: Final = shape(r"[^\x00-\x1f\x7f]{1,1024}", "a path without control characters")

_MAX_PORT: Final = 65_535
_PARTS: Final = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<host>[a-z0-9.-]{1,253}))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
)


def url_fault(text: str) -> str:
    """Why no metadata or keys may be fetched from the URL, or "". Says nothing about where a name resolves to."""
    parts = _PARTS.fullmatch(text)
    if parts is None or len(text) > 512:
        return "expected https://host[:port][/path] in lower-case host letters; no user, no fragment"
    if parts["port"] and not 1 <= int(parts["port"]) <= _MAX_PORT:
        return f"expected a port from 1 to {_MAX_PORT}"
    host = parts["v6"] or parts["host"]
    reason = bad_host(host, v6=parts["v6"] is not None)
    if reason:
        return reason
    if parts["scheme"] == "http" and not is_loopback(host):
        return "plaintext http goes to loopback only: whoever stands between could put in keys of their own"
    return ""


def on_loopback(url: str) -> bool:
    """Whether the host that the URL names is this machine."""
    parts = _PARTS.fullmatch(url)
    return parts is not None and is_loopback(parts["v6"] or parts["host"])


def read_issuer(name: Scalar, tenant: str, table: Table, problems: Problems) -> Issuer:
    """One entry of issuers.yaml, for a tenant that the loader has looked up."""
    claims = table.table("claims") or Table(Mapping(table.mark, {}), (*table.path, "claims"), problems)
    read = Issuer(
        name=name.text,
        tenant=tenant,
        issuer=read_url(table, "issuer", problems),
        audiences=frozenset(word.text for word in _some(table, "audiences", AUDIENCE, problems)),
        algorithms=_algorithms(table, problems),
        jwks_uri=read_url(table, "jwks_uri", problems, optional=True) or None,
        ca_file=table.maybe("ca_file", FILE),
        typ=table.choice("typ", _TYPES, default="at+jwt"),
        clock_skew_s=table.integer("clock_skew_s", 0, _MAX_SKEW_S, default=30),
        max_age_s=table.integer("max_age_s", 1, _MAX_AGE_S, default=0) or None,
        clients=frozenset(read_words(table, "clients")),
        required_claims=frozenset(read_words(table, "required_claims")),
        principal_claim=claims.text("principal", WORD, default="sub"),
        principal_prefix=claims.text("principal_prefix", PREFIX, default=""),
        scope_claims=read_words(claims, "scopes") or ("scope", "scp"),
        group_claim=claims.text("groups", WORD, default="groups"),
        keys_refresh_s=table.integer("keys_refresh_s", *_REFRESH_S, default=300),
        keys_max_age_s=table.integer("keys_max_age_s", *_KEYS_MAX_AGE_S, default=3600),
    )
    if claims.node("tenant") is not None:
        # Not forgotten: whoever may edit a claim at the IdP would choose whose budget is spent.
        why = "there is no such mapping: the issuer fixes the tenant"
        problems.add(claims.mark, (*claims.path, "tenant"), why, "write one issuer per tenant")
    if read.keys_max_age_s < read.keys_refresh_s:
        problems.add(table.mark, (*table.path, "keys_max_age_s"), "shorter than keys_refresh_s: keys would be missing")
    claims.close()
    table.close()
    return read


def refuse_overlaps(read: dict[Scalar, Issuer], problems: Problems) -> None:
    """Two entries with one `iss` need different audiences, or a token would not say whose it is."""
    seen: dict[tuple[str, str], Scalar] = {}
    for name, issuer in read.items():
        for audience in sorted(issuer.audiences):
            first = seen.setdefault((issuer.issuer, audience), name)
            if first is not name:
                hint = f"the first one is at {first.mark.file}:{first.mark.line}"
                path = (name.text, "audiences")
                problems.add(name.mark, path, f"same issuer and audience as {shown(first.text)}", hint)


def read_url(table: Table, field: str, problems: Problems, *, optional: bool = False) -> str:
    """A URL that may be asked, or "" with the reason on the list."""
    word = table.scalar(field, _URL, optional=optional)
    if word is None:
        return ""
    fault = url_fault(word.text)
    if not fault and field == "issuer" and "?" in word.text:
        fault = "an issuer has no query"  # OpenID Connect Discovery 1.0, section 2: discovery appends to it
    if fault:
        problems.add(word.mark, (*table.path, field), fault)
    return word.text


def _algorithms(table: Table, problems: Problems) -> frozenset[str]:
    found = _some(table, "algorithms", WORD, problems)
    for at, word in enumerate(found):
        if word.text not in ALGORITHMS:
            secret = word.text.lower() == "none" or word.text.upper().startswith("HS")
            hint = "tokens are checked with public keys only" if secret else nearest(word.text, ALGORITHMS)
            path = (*table.path, "algorithms", f"[{at}]")
            problems.add(word.mark, path, f"unknown algorithm {shown(word.text)}", hint)
    return frozenset(word.text for word in found)


def _some(table: Table, field: str, what: Shape, problems: Problems) -> tuple[Scalar, ...]:
    node = table.node(field)
    if isinstance(node, Sequence) and not node.items:
        problems.add(node.mark, (*table.path, field), "empty: no token would ever count")
    return table.words(field, what)


def read_words(table: Table, field: str) -> tuple[str, ...]:
    """A list that may be absent: clients, claims."""
    return tuple(word.text for word in table.words(field, WORD, optional=True))
