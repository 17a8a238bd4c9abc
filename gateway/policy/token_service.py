"""The token service of a policy: the issuer that the gateway itself is. Makes no key, issues nothing."""

from collections.abc import Mapping
from typing import Final

from gateway.policy.field import Table
from gateway.policy.issuer import AUDIENCE, read_url
from gateway.policy.model import Issuer, TokenService
from gateway.policy.problem import Problems
from gateway.policy.tree import Scalar

#: One of each family that clients know how to verify. ES256 is the default: small, and asked for by RFC 9068's kin.
ALGORITHMS: Final = ("ES256", "EdDSA", "RS256")

#: The least is what a client can still renew in peace. The most is the hour that a signing key verifies beyond its last
#: token: raised to the full, `token_s` still never outlives a key that was planned under the old value.
_TOKEN_S: Final = (60, 3600)
#: A key is published one turn before it signs: longer than any cache of the JWKS (300 s), with room for a slow one.
#: Thirty days is what NIST SP 800-57 leaves far behind it, and the most that a key should be worth.
_ROTATE_S: Final = (900, 30 * 86_400)


def read_token_service(table: Table | None, problems: Problems) -> TokenService | None:
    """`token_service` of policy.yaml; None where there is none."""
    if table is None:
        return None
    issuer = read_url(table, "issuer", problems)
    if "/" in issuer.partition("://")[2]:
        # Its endpoints and its metadata have fixed paths (RFC 8414 section 3.1 would put the path behind them).
        why = "expected https://host[:port] without a path"
        problems.add(table.mark, (*table.path, "issuer"), why, "not even a slash at the end")
    read = TokenService(
        issuer=issuer,
        audience=table.text("audience", AUDIENCE),
        token_s=table.integer("token_s", *_TOKEN_S, default=300),
        rotate_s=table.integer("rotate_s", *_ROTATE_S, default=86_400),
        algorithm=table.choice("algorithm", ALGORITHMS, default="ES256"),
    )
    table.close()
    return read


def refuse_own_issuer(issuers: Mapping[Scalar, Issuer], service: TokenService | None, problems: Problems) -> None:
    """No entry of issuers.yaml may be the gateway itself: its tokens' tenant is the account's, not an entry's."""
    for name, issuer in issuers.items():
        if service is not None and issuer.issuer == service.issuer:
            why = "the issuer is this gateway's own token service"
            problems.add(name.mark, (name.text, "issuer"), why, "leave the entry out: its tokens count by themselves")
