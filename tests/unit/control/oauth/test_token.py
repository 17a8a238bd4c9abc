"""Access tokens: what is made is read back by its own keys, and by no others."""

from dataclasses import replace

import pytest

import issuing
from control.oauth import token
from control.oauth.jws import JwsError
from control.oauth.token import Grant
from control.signing import Signer
from gateway import keyset
from gateway.registry.accounts import Account, Method, Secret
from oauth_case import HERE, NOW_S, SERVICE, claims

KEYS = keyset.parse(issuing.jwks(issuing.jwk("ES256", "k1")))
SIGNER = Signer("k1", "ES256", issuing.key("ES256"))
GRANT = Grant(
    client_id="svc-1",
    scopes=("chat", "embed"),
    audience="llm",
    issued_at=int(NOW_S),
    ends_at=int(NOW_S) + 300,
    jti="ab" * 16,
)


@pytest.mark.parametrize("grant", [GRANT, replace(GRANT, scopes=()), replace(GRANT, bound_to="A" * 43)])
def test_what_is_made_is_read_back(grant):
    assert token.read(token.mint(grant, HERE, SIGNER), SERVICE, KEYS) == grant


def test_what_is_empty_is_left_out():
    assert {"scope", "cnf"}.isdisjoint(claims(token.mint(replace(GRANT, scopes=()), HERE, SIGNER)))


def test_it_is_named_as_authz_names_it():
    named = token.key_id(GRANT, HERE)
    assert named.startswith("jwt:")
    assert GRANT.jti not in named


OTHERS = {
    "another issuer": token.mint(GRANT, "https://other.example", SIGNER),
    "another key": token.mint(GRANT, HERE, replace(SIGNER, key=type(SIGNER.key).generate_key("P-256"))),
    "another kid": token.mint(GRANT, HERE, replace(SIGNER, kid="k2")),
    "no token": "x",
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_read(text):
    with pytest.raises(JwsError):
        token.read(text, SERVICE, KEYS)


def test_without_keys_nothing_is_read():
    with pytest.raises(JwsError, match="no keys"):
        token.read(token.mint(GRANT, HERE, SIGNER), SERVICE, None)


@pytest.mark.parametrize(("own", "expected"), [(None, 300), (60, 60), (3600, 300)])
def test_the_shorter_life_counts(own, expected):
    secret = Secret(digest="ab" * 32, pepper="v1", created_at=1)
    account = Account(
        client_id="svc-1",
        tenant="acme",
        principal="p",
        method=Method.SECRET,
        scopes=(),
        secrets=(secret,),
        token_s=own,
        created_at=1,
        created_by="alice",
    )
    assert token.life_s(SERVICE, account) == expected
