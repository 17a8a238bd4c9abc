"""What callers are told of a token that does not count, in one wording for every kind of token. Decides nothing."""

from typing import Final

from gateway.errors import GatewayError, Kind

#: One sentence for all: one for each cause would tell a forger how far they got.
_NOT_VALID_HERE: Final = (
    "The access token is not valid here. Get a new one for this gateway, or ask your platform team."
)


def invalid_token(cause: str, entry: str = "") -> GatewayError:
    """A token that does not count, by the entry of the policy that was responsible for it."""
    return GatewayError(Kind.CREDENTIAL_INVALID, _NOT_VALID_HERE, cause=f"{cause} ({entry})" if entry else cause)


def issuer_away(cause: str) -> GatewayError:
    """A token of which nobody can tell at the moment."""
    return GatewayError(
        Kind.ISSUER_UNAVAILABLE,
        "The gateway cannot check access tokens of this issuer at the moment. Try again.",
        cause=cause,
    )
