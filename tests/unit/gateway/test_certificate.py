"""A certificate as Envoy shows it: one PEM block and nothing else, its names as they stand, its hashes checked apart."""

import base64
import hashlib
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.certificate import read
from leaves import der, leaf, shown

SPIFFE = "spiffe://acme.example/ci"
LEAF = leaf(uris=[SPIFFE], dns=["CI.example.org"], subject="OU=b+CN=a,O=Example")


def test_names_and_hashes_are_those_of_the_certificate():
    found = read(shown(LEAF))
    digest = hashlib.sha256(der(LEAF))
    key = LEAF.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (found.uris, found.names_by_uri, found.dns) == ((SPIFFE,), (SPIFFE,), ("ci.example.org",))
    assert found.sha256 == digest.hexdigest()
    assert found.thumbprint == base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
    assert found.spki_sha256 == hashlib.sha256(key).hexdigest()
    assert found.ends_s == LEAF.not_valid_after_utc.timestamp()


def test_a_spiffe_id_beside_another_uri_counts_for_nothing():
    assert read(shown(leaf(uris=[SPIFFE, "https://a.example"]))).names_by_uri == ()
    assert len(read(shown(leaf(uris=["urn:a", "urn:b"]))).names_by_uri) == 2


def test_a_certificate_without_names_has_none():
    assert (read(shown(leaf())).uris, read(shown(leaf())).dns) == ((), ())


PEM = shown(LEAF)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PEM + PEM,
        "x" + PEM,
        PEM[:200],
        quote("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "%ff",
    ],
)
def test_anything_but_one_certificate_is_refused(text):
    with pytest.raises(ValueError, match="not one"):
        read(text)


@given(st.text(max_size=300))
def test_no_text_raises_anything_else(text):
    with pytest.raises(ValueError, match="not one"):
        read(text)
