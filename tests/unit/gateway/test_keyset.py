"""JWK Sets: which keys may verify, and that no document gives others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway import keyset
from gateway.keyset import KeysError
from issuing import SHAPES, jwk, jwks, key


def usable(*entries):
    return [one.kid for one in keyset.parse(jwks(jwk("ES384", "good"), *entries)).keys][1:]


@pytest.mark.parametrize("algorithm", SHAPES)
def test_a_key_verifies_only_what_its_type_and_curve_fit(algorithm):
    (found,) = keyset.parse(jwks(jwk(algorithm))).keys
    family = {
        "RS": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
        "PS": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
        "ES": {algorithm},
        "Ed": {"EdDSA", "Ed25519"},
    }
    assert found.algorithms == family[algorithm[:2]]


@pytest.mark.parametrize(
    ("algorithm", "label", "fits"),
    [
        ("RS256", "PS256", {"PS256"}),
        ("RS256", "RS256", {"RS256"}),
        ("EdDSA", "EdDSA", {"EdDSA", "Ed25519"}),
        ("EdDSA", "Ed25519", {"EdDSA", "Ed25519"}),
    ],
)
def test_a_label_narrows_a_key(algorithm, label, fits):
    (found,) = keyset.parse(jwks(jwk(algorithm, alg=label))).keys
    assert found.algorithms == fits


DROPPED = {
    "for encryption": jwk("ES256", use="enc"),
    "not for verifying": jwk("ES256", key_ops=["encrypt"]),
    "operations that are no list": jwk("ES256", key_ops="verify"),
    "a shared secret": {**OctKey.generate_key(256).as_dict(private=True), "kid": "x"},
    "a private RSA key": {**key("RS256").as_dict(private=True), "kid": "x"},
    "a private EC key": {**key("ES256").as_dict(private=True), "kid": "x"},
    "an algorithm that it does not fit": jwk("ES256", alg="RS256"),
    "an algorithm that is no signature": jwk("RS256", alg="RSA-OAEP"),
    "an algorithm that is no text": jwk("RS256", alg=["RS256"]),
    "HS256 on a public key": jwk("RS256", alg="HS256"),
    "a curve for key agreement": {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "x"},
    "Ed448": {**OKPKey.generate_key("Ed448").as_dict(private=False), "kid": "x"},
    "secp256k1": {**ECKey.generate_key("secp256k1").as_dict(private=False), "kid": "x"},
    "a point off its curve": jwk("ES256", x="AAAA"),
    "a missing member": {name: value for name, value in jwk("ES256").items() if name != "y"},
    "a member of the wrong type": jwk("ES256", x=5),
    "broken base64": jwk("RS256", n="*" * 400),
    "a type from the future": {"kty": "AKP", "kid": "x", "pub": "AAAA"},
    "no type": {"kid": "x"},
    "a type that is no text": {"kty": {}, "kid": "x"},
    "a kid that is no text": jwk("ES256", kid="x") | {"kid": 7},
    "an endless kid": jwk("ES256", kid="x" * 257),
    "an RSA modulus of 1024 bits": jwk("RS256", n="-" * 171),
    "an RSA modulus of 16384 bits": jwk("RS256", n="-" * 2731),
    "an RSA exponent of 1": jwk("RS256", e="AQ"),
    "an RSA exponent that takes for ever": jwk("RS256", e="-" * 300),
    "a text": "x",
    "nothing": None,
}


@pytest.mark.parametrize("entry", DROPPED.values(), ids=DROPPED)
def test_a_key_that_must_not_verify_is_left_out_and_the_others_stay(entry):
    assert usable(entry, jwk("ES256", "after")) == ["after"]


def test_what_was_left_out_is_counted():
    assert keyset.parse(jwks(jwk("ES256"), *DROPPED.values())).dropped == len(DROPPED)


def test_certificates_and_urls_in_a_key_are_not_looked_at():
    assert usable(jwk("ES256", "x", x5c=["garbage"], x5u="https://evil.example/")) == ["x"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not a JSON object"),
        (b"<html>", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"keys":[],"keys":[]}', "not a JSON object"),
        (b"{}", "no list of keys"),
        (b'{"keys":{}}', "no list of keys"),
        (b'{"keys":[]}', "no usable key"),
        (b'{"keys":[1]}', "no usable key"),
        (jwks(*[jwk("ES256")] * 65), "more than 64 keys"),
        (b'{"keys":[' + b" " * keyset.MAX_BYTES, "larger than"),
    ],
)
def test_a_document_without_usable_keys_is_refused(raw, why):
    with pytest.raises(KeysError, match=why):
        keyset.parse(raw)


def test_the_refusal_repeats_nothing_of_the_document():
    with pytest.raises(KeysError) as refused:
        keyset.parse(json.dumps({"keys": ["canary"]}).encode())
    assert "canary" not in str(refused.value)


GARBAGE = st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)


@given(raw=st.binary(max_size=200) | GARBAGE)
def test_no_document_raises_anything_else(raw):
    with pytest.raises(KeysError):
        keyset.parse(raw)


def test_a_key_is_found_by_kid_and_algorithm():
    found = keyset.parse(jwks(jwk("ES256", "a"), jwk("RS256", "a"), jwk("RS256", "b")))
    assert [one.kid for one in found.find("a", "ES256")] == ["a"]
    assert len(found.find("a", "RS256")) == 1
    assert not found.find("b", "ES256")
    assert not found.find("c", "ES256")
    assert not found.find(None, "ES256")
    assert found.knows("b")
    assert not found.knows("c")


def test_two_keys_of_one_kid_and_algorithm_are_both_found_so_that_neither_is_chosen():
    found = keyset.parse(jwks(jwk("ES256", "a"), {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "a"}))
    assert len(found.find("a", "ES256")) == 2


def test_a_single_key_needs_no_kid():
    found = keyset.parse(jwks(jwk("ES256", None)))
    assert len(found.find(None, "ES256")) == 1
    assert not found.find(None, "RS256")
    assert not found.find("es256", "ES256")


def test_key_material_does_not_show_in_repr():
    found = keyset.parse(jwks(jwk("RS256")))
    assert jwk("RS256")["n"][:20] not in repr(found)
    assert isinstance(found.keys[0].key, RSAKey)
