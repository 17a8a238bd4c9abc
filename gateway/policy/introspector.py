"""One introspector of a policy: which server is asked about which opaque tokens, and how it answers. Asks nobody."""

from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.issuer import AUDIENCE, FILE, PREFIX, WORD, read_url, read_words
from gateway.policy.model import Introspector
from gateway.policy.problem import Problems, shown
from gateway.policy.tree import Mapping, Scalar

#: The start of our own API keys (authz/apikey.py): a text that begins so never gets to a server.
_API_KEY: Final = "osk_"
_MAX_CACHE_S: Final = 300  # how long a token that its server took back may still count
_MAX_NEGATIVE_S: Final = 300  # how long a token that came into being after we asked may still be refused
#: authz as a whole waits for `OSTIARY_AUTHZ_DEADLINE_MS`; a longer answer still counts for the next request.
_DEADLINE_MS: Final = (10, 5000)

_TOKEN_TYPES: Final = ("bearer", "any")
_TOKEN_PREFIX: Final = shape(r"(?:[A-Za-z0-9][A-Za-z0-9._~+/-]{0,31})?", "up to 32 of A-Z a-z 0-9 . _ ~ + / -")


def read_introspector(name: Scalar, tenant: str, table: Table, problems: Problems) -> Introspector:
    """One entry of introspectors.yaml, for a tenant that the loader has looked up."""
    claims = table.table("claims") or Table(Mapping(table.mark, {}), (*table.path, "claims"), problems)
    read = Introspector(
        name=name.text,
        tenant=tenant,
        endpoint=read_url(table, "endpoint", problems),
        client_id=table.text("client_id", WORD),
        secret_file=table.text("secret_file", FILE),
        token_prefix=_token_prefix(table, problems),
        ca_file=table.maybe("ca_file", FILE),
        token_type=table.choice("token_type", _TOKEN_TYPES, default="bearer"),
        issuer=read_url(table, "issuer", problems, optional=True) or None,
        audiences=frozenset(word.text for word in table.words("audiences", AUDIENCE, optional=True)),
        clients=frozenset(read_words(table, "clients")),
        principal_claim=claims.text("principal", WORD, default="sub"),
        principal_prefix=claims.text("principal_prefix", PREFIX, default=""),
        scope_claims=read_words(claims, "scopes") or ("scope",),
        group_claim=claims.text("groups", WORD, default="groups"),
        cache_s=table.integer("cache_s", 1, _MAX_CACHE_S, default=30),
        negative_cache_s=table.integer("negative_cache_s", 1, _MAX_NEGATIVE_S, default=10),
        deadline_ms=table.integer("deadline_ms", *_DEADLINE_MS, default=100),
    )
    if claims.node("tenant") is not None:
        # Not forgotten: whoever may edit a claim at the server would choose whose budget is spent.
        why = "there is no such mapping: the introspector fixes the tenant"
        problems.add(claims.mark, (*claims.path, "tenant"), why, "write one introspector per tenant")
    if table.node("secret") is not None or table.node("client_secret") is not None:
        problems.add(table.mark, (*table.path, "secret_file"), "the secret stands in a file, never in a policy")
    claims.close()
    table.close()
    return read


def refuse_overlaps(read: dict[Scalar, Introspector], problems: Problems) -> None:
    """Two entries with one prefix would leave open which server gets to see a token."""
    seen: dict[str, Scalar] = {}
    for name, introspector in read.items():
        first = seen.setdefault(introspector.token_prefix, name)
        if first is not name:
            hint = f"the first one is at {first.mark.file}:{first.mark.line}"
            path = (name.text, "token_prefix")
            problems.add(name.mark, path, f"same token_prefix as {shown(first.text)}", hint)


def _token_prefix(table: Table, problems: Problems) -> str:
    word = table.scalar("token_prefix", _TOKEN_PREFIX, optional=True)
    if word is None:
        return ""
    if word.text.startswith(_API_KEY):
        problems.add(word.mark, (*table.path, "token_prefix"), f"{shown(_API_KEY)} begins the gateway's own API keys")
    return word.text
