"""Public keys of the token service as entries: what is written is read back, and nothing private or vague is."""

import json

import pytest

from gateway.registry.verifying import VerifyingKey, read, write

JWK = {"kty": "EC", "crv": "P-256", "x": "a" * 43, "y": "b" * 43}
KEY = VerifyingKey(kid="k1", algorithm="ES256", jwk=JWK, not_before=100, not_after=200)
TOLD = json.loads(write(KEY))


@pytest.mark.parametrize(
    ("algorithm", "jwk"),
    [
        ("ES256", JWK),
        ("EdDSA", {"kty": "OKP", "crv": "Ed25519", "x": "a" * 43}),
        ("PS256", {"kty": "RSA", "n": "a" * 342, "e": "AQAB"}),
    ],
)
def test_what_is_written_is_read_back(algorithm, jwk):
    key = VerifyingKey(kid="k1", algorithm=algorithm, jwk=jwk, not_before=0, not_after=1)
    assert read("k1", write(key)) == key


def test_an_entry_has_the_names_that_both_sides_agreed_on():
    assert TOLD == {"kid": "k1", "alg": "ES256", "jwk": JWK, "not_before": 100, "not_after": 200}


BAD = {
    "not an object": [1],
    "a name more": TOLD | {"use": "sig"},
    "a name less": {name: value for name, value in TOLD.items() if name != "alg"},
    "another id": TOLD | {"kid": "k2"},
    "kid a number": TOLD | {"kid": 1},
    "unsigned": TOLD | {"alg": "none"},
    "symmetric": TOLD | {"alg": "HS256"},
    "alg a list": TOLD | {"alg": ["ES256"]},
    "jwk a list": TOLD | {"jwk": [JWK]},
    "no kty": TOLD | {"jwk": {"crv": "P-256"}},
    "kty a list": TOLD | {"jwk": JWK | {"kty": ["EC"]}},
    "a private key": TOLD | {"jwk": JWK | {"d": "c" * 43}},
    "a shared secret": TOLD | {"jwk": {"kty": "oct", "k": "c" * 43}},
    "a member that is no text": TOLD | {"jwk": JWK | {"x": 1}},
    "an endless member": TOLD | {"jwk": JWK | {"x": "a" * 5000}},
    "a flag as time": TOLD | {"not_before": True},
    "a fraction as time": TOLD | {"not_before": 1.5},
    "before 1970": TOLD | {"not_before": -1},
    "beyond all calendars": TOLD | {"not_after": 10**12},
    "never valid": TOLD | {"not_after": 100},
}


@pytest.mark.parametrize("told", BAD.values(), ids=BAD)
def test_nothing_else_is_a_key(told):
    with pytest.raises(ValueError):  # the text is for the log; that it is refused is what counts
        read("k1", json.dumps(told).encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"null"])
def test_no_garbage_is_a_key(raw):
    with pytest.raises(ValueError):
        read("k1", raw)


@pytest.mark.parametrize("kid", ["", "k" * 257])
def test_a_kid_has_a_length(kid):
    with pytest.raises(ValueError, match="kid"):
        VerifyingKey(kid=kid, algorithm="ES256", jwk=JWK, not_before=0, not_after=1)
