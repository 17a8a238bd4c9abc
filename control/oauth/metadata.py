"""What clients may learn about the token service by themselves: RFC 8414 metadata and the JWK Set. Tells no secret.

There is no `/.well-known/openid-configuration`. It would say that this is an OpenID provider (Discovery 1.0, section 3,
requires an authorization endpoint and ID tokens), and there is no user here who could log in.
"""

from collections.abc import Sequence
from typing import Any, Final

from control.request import Answer, answer
from control.signing import jwks
from gateway.contract import OAUTH_PREFIX
from gateway.policy.issuer import ALGORITHMS
from gateway.policy.model import TokenService
from gateway.registry.accounts import Method
from gateway.registry.verifying import VerifyingKey

TOKEN_PATH: Final = f"{OAUTH_PREFIX}token"
INTROSPECT_PATH: Final = f"{OAUTH_PREFIX}introspect"
REVOKE_PATH: Final = f"{OAUTH_PREFIX}revoke"
JWKS_PATH: Final = f"{OAUTH_PREFIX}jwks"

#: Public, and the same for everybody. Less than half of the shortest turn (900 s, gateway/policy/token_service.py), so
#: that whoever keeps it this long knows each key before it signs.
_CACHE: Final = ("cache-control", "public, max-age=300")
_JWKS_TYPE: Final = ("content-type", "application/jwk-set+json")  # RFC 7517 section 8.5.2


def document(service: TokenService) -> dict[str, Any]:
    """The metadata (RFC 8414 section 2; RFC 8705 section 3.3)."""
    methods, here = [method.value for method in Method], service.issuer
    return {
        "issuer": here,
        "token_endpoint": here + TOKEN_PATH,
        "introspection_endpoint": here + INTROSPECT_PATH,
        "revocation_endpoint": here + REVOKE_PATH,
        "jwks_uri": here + JWKS_PATH,
        "response_types_supported": [],  # required by section 2; there is no authorization endpoint
        "grant_types_supported": ["client_credentials"],
        **{
            f"{endpoint}_endpoint_auth_{what}_supported": values
            for endpoint in ("token", "introspection", "revocation")
            for what, values in (("methods", methods), ("signing_alg_values", list(ALGORITHMS)))
        },
        "tls_client_certificate_bound_access_tokens": True,
    }


def tell(service: TokenService) -> Answer:
    """The metadata on the wire."""
    return answer(document(service), 200, _CACHE)


def tell_keys(keys: Sequence[VerifyingKey]) -> Answer:
    """The public keys on the wire."""
    return Answer(200, jwks(keys), (_JWKS_TYPE, _CACHE))
