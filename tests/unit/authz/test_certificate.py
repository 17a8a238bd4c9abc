"""Client certificates: what one says, whom policy lets it name, which keys are pinned, and what is bound to it."""

import base64
import datetime as dt
import hashlib
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

import leaves
from authz.certificate import MAX_CHARS, VerifiedCertificates, parse
from authz.identified import Identified
from authz_case import NOW_S, POLICY
from gateway.errors import GatewayError, Kind
from gateway.policy.model import CertificateIdentity
from leaves import leaf, shown

SPIFFE = "spiffe://example.org/ci"
LEAF = leaf(uris=[SPIFFE])
PEM = shown(LEAF)
SAME_NAME = shown(leaf(uris=[SPIFFE], key_name="second"))
OTHER = shown(leaf(uris=["spiffe://example.org/other"]))
CI = CertificateIdentity(name="ci", tenant="acme", principal="ci", scopes=("chat",), groups=("builders",), uri=SPIFFE)
SHA256 = hashlib.sha256(leaves.der(LEAF)).hexdigest()
THUMBPRINT = base64.urlsafe_b64encode(bytes.fromhex(SHA256)).rstrip(b"=").decode()


def spki(name="first"):
    public = leaves.key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def policy(*entries, version="p-c"):
    return replace(POLICY, version=version, certificates={entry.name: entry for entry in entries})


def caller(principal="alice", **changes):
    return Identified(**{"tenant": "acme", "principal": principal, "key_id": "k", "method": "jwt", **changes})


@pytest.fixture
def certificates():
    return VerifiedCertificates()


def told(error):
    return error.kind, error.cause


def refusal(call, *args):
    with pytest.raises(GatewayError) as refused:
        call(*args)
    return told(refused.value)


# --- what a certificate says --------------------
def test_everything_that_policy_compares_is_read():
    found = parse(shown(leaf(uris=[SPIFFE], dns=["CI.example.org"], subject="OU=b+CN=a,O=Example")))
    assert (found.uris, found.dns, found.subject) == ((SPIFFE,), ("ci.example.org",), "CN=a+OU=b,O=Example")
    assert found.spki_sha256 == spki()
    assert found.ends_s == NOW_S + 86_400


def test_both_spellings_of_the_hash_are_of_the_der(certificates):
    assert certificates.fingerprint(PEM, NOW_S) == SHA256
    assert parse(PEM).thumbprint == THUMBPRINT


def test_no_certificate_has_no_fingerprint_and_names_nobody(certificates):
    assert certificates.fingerprint("", NOW_S) == ""
    assert certificates.identify("", policy(CI)) is None


def test_a_certificate_ends_while_its_connection_stays_open(certificates):
    ends_s = NOW_S + 86_400
    assert certificates.fingerprint(PEM, ends_s - 0.001) == SHA256
    kind, cause = refusal(certificates.fingerprint, PEM, ends_s)
    assert (kind, cause) == (Kind.CREDENTIAL_EXPIRED, f"certificate: expired (cert:{SHA256[:16]})")


BAD = {
    "words": "no certificate",
    "not encoded right": PEM[:-40] + "%zz",
    "half a certificate": PEM[: len(PEM) // 2] + PEM[-60:],
    "two certificates": PEM + PEM,
    "something before": "x" + PEM,
    "something behind": PEM + "x",
    "a private key": PEM.replace("CERTIFICATE", "PRIVATE%20KEY"),
    "a request": PEM.replace("CERTIFICATE", "CERTIFICATE%20REQUEST"),
    "empty": shown(LEAF)[:33] + shown(LEAF)[-31:],
    "a byte more behind the DER": quote(
        "-----BEGIN CERTIFICATE-----\n"
        + base64.b64encode(leaves.der(LEAF) + b"\0").decode()
        + "\n-----END CERTIFICATE-----\n"
    ),
    "too large": PEM + "%0A" * MAX_CHARS,
    "half a character": "\ud800",
}


@pytest.mark.parametrize("pem", BAD.values(), ids=BAD)
def test_what_is_not_one_certificate_is_refused_and_not_remembered(certificates, pem):
    for call in (lambda: certificates.fingerprint(pem, NOW_S), lambda: certificates.identify(pem, policy(CI))):
        kind, cause = refusal(call)
        assert kind is Kind.CREDENTIAL_INVALID
        assert cause.startswith("certificate: ")
    assert told(certificates.bind(caller(bound_to=THUMBPRINT), pem, POLICY))[0] is Kind.CREDENTIAL_INVALID
    assert not certificates._known


@given(st.text(max_size=200) | st.builds(lambda text: PEM[:40] + text + PEM[-40:], st.text("MIIB+/=%0A", max_size=80)))
def test_no_text_binds_anything(text):
    assert VerifiedCertificates().bind(caller(bound_to=THUMBPRINT), text, policy(CI)) is not None


def test_only_so_many_are_remembered_and_the_least_used_go_first():
    certificates = VerifiedCertificates(remembered=2)
    for pem in (PEM, OTHER, PEM, SAME_NAME):
        certificates.fingerprint(pem, NOW_S)
    kept = {one.sha256 for one in certificates._known.values()}
    assert kept == {SHA256, parse(SAME_NAME).sha256}


# --- whom it names --------------------
@pytest.mark.parametrize(
    ("name", "certificate"),
    [
        ({"uri": SPIFFE}, LEAF),
        ({"dns": "ci.example.org"}, leaf(dns=["other.example.org", "ci.example.org"])),
        ({"dns": "ci.example.org"}, leaf(dns=["CI.Example.ORG"])),
        ({"subject": "CN=ci,O=Example"}, leaf(subject="CN=ci,O=Example")),
        ({"uri": "https://example.org/ci"}, leaf(uris=["https://example.org/", "https://example.org/ci"])),
    ],
)
def test_the_entry_of_its_name_says_who_calls(certificates, name, certificate):
    found = certificates.identify(shown(certificate), policy(replace(CI, **{"uri": "", **name})))
    assert (found.tenant, found.principal, found.method) == ("acme", "ci", "mtls")
    assert (found.scopes, found.groups) == (("chat",), ("builders",))
    assert found.key_id == "cert:" + hashlib.sha256(leaves.der(certificate)).hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "certificate"),
    [
        ({"uri": SPIFFE}, leaf(uris=[SPIFFE + "/"])),
        ({"uri": SPIFFE}, leaf(uris=[SPIFFE.upper()])),
        ({"uri": SPIFFE}, leaf(dns=["example.org"], subject=f"CN={SPIFFE},O=Example")),
        ({"uri": SPIFFE}, leaf(uris=[SPIFFE, "spiffe://example.org/admin"])),
        ({"uri": SPIFFE}, leaf(uris=["https://example.org/", SPIFFE])),
        ({"uri": "https://example.org/"}, leaf(uris=["https://example.org/", "SPIFFE://example.org/ci"])),
        ({"dns": "ci.example.org"}, leaf(dns=["*.example.org"])),
        ({"dns": "ci.example.org"}, leaf(dns=["ci.example.org."])),
        ({"dns": "ci.example.org"}, leaf(subject="CN=ci.example.org")),
        ({"subject": "CN=ci,O=Example"}, leaf(subject="CN=CI,O=Example")),
        ({"subject": "CN=ci,O=Example"}, leaf(subject="O=Example,CN=ci")),
        ({"subject": "CN=ci,O=Example"}, leaf(subject="CN=ci\\,O=Example")),
    ],
)
def test_any_other_name_names_nobody(certificates, name, certificate):
    assert certificates.identify(shown(certificate), policy(replace(CI, **{"uri": "", **name}))) is None


def test_a_certificate_with_the_names_of_two_entries_is_nobodys(certificates):
    both = shown(leaf(uris=[SPIFFE], dns=["ci.example.org"]))
    second = CertificateIdentity(name="build", tenant="narrow", principal="b", dns="ci.example.org")
    kind, cause = refusal(certificates.identify, both, policy(CI, second))
    assert (kind, cause) == (Kind.CREDENTIAL_AMBIGUOUS, "certificate: names several entries (ci, build)")


def test_another_policy_names_another(certificates):
    assert certificates.identify(PEM, policy(CI)).principal == "ci"
    assert certificates.identify(PEM, policy(replace(CI, principal="cd"), version="p-d")).principal == "cd"
    assert certificates.identify(PEM, POLICY) is None


# --- pins --------------------
def test_of_a_pinned_name_only_the_pinned_keys_count(certificates):
    pinned = policy(replace(CI, spki_sha256=frozenset({spki()})))
    assert certificates.identify(PEM, pinned).principal == "ci"
    kind, cause = refusal(certificates.identify, SAME_NAME, pinned)
    assert kind is Kind.CREDENTIAL_UNBOUND
    assert cause == f"certificate: public key of cert:{parse(SAME_NAME).sha256[:16]} is not pinned (ci)"


def test_while_a_key_is_rotated_both_count(certificates):
    pinned = policy(replace(CI, spki_sha256=frozenset({spki(), spki("second")})))
    assert {certificates.identify(pem, pinned).principal for pem in (PEM, SAME_NAME)} == {"ci"}


def test_a_pinned_name_with_a_foreign_key_spoils_any_other_credential(certificates):
    pinned = policy(replace(CI, spki_sha256=frozenset({spki()})))
    assert certificates.bind(caller(), PEM, pinned) is None
    kind, cause = told(certificates.bind(caller(), SAME_NAME, pinned))
    assert kind is Kind.CREDENTIAL_UNBOUND
    assert "is not pinned (ci)" in cause


# --- what is bound --------------------
@pytest.mark.parametrize("entries", [(), (CI,)])
def test_a_bound_token_counts_with_its_certificate_alone(certificates, entries):
    bound = caller(bound_to=THUMBPRINT)
    assert certificates.bind(bound, PEM, policy(*entries)) is None
    kind, cause = told(certificates.bind(bound, "", policy(*entries)))
    assert (kind, cause) == (Kind.CREDENTIAL_UNBOUND, "token: bound to a certificate, and none was shown")
    kind, cause = told(certificates.bind(bound, OTHER, policy(*entries)))
    assert kind is Kind.CREDENTIAL_UNBOUND
    assert cause.startswith("token: bound to another certificate than cert:")


def test_the_same_key_in_a_renewed_certificate_is_another_certificate(certificates):
    """RFC 8705 binds to the certificate, not to its key: after a renewal a new token is due."""
    renewed = shown(leaf(uris=[SPIFFE], lasts=dt.timedelta(days=2)))
    assert parse(renewed).spki_sha256 == parse(PEM).spki_sha256
    assert certificates.bind(caller(bound_to=THUMBPRINT), renewed, POLICY).kind is Kind.CREDENTIAL_UNBOUND


@pytest.mark.parametrize(
    "bound_to",
    [THUMBPRINT.swapcase(), THUMBPRINT[:-1], THUMBPRINT + "=", SHA256, "é" * 43],
    ids=["other case", "shorter", "padded", "hexadecimal", "other letters"],  # the values differ in every process
)
def test_a_thumbprint_is_compared_whole(certificates, bound_to):
    assert certificates.bind(caller(bound_to=bound_to), PEM, POLICY).kind is Kind.CREDENTIAL_UNBOUND


def test_without_a_binding_a_certificate_is_not_asked_for(certificates):
    assert certificates.bind(caller(), "", policy(CI)) is None
    assert certificates.bind(caller(), OTHER, policy(CI)) is None
    assert certificates.bind(caller(), PEM, POLICY) is None


REQUIRED = replace(CI, required_for_principal=True)


def test_where_policy_requires_it_no_other_credential_of_the_principal_is_enough(certificates):
    ci = caller("ci")
    assert certificates.bind(ci, PEM, policy(REQUIRED)) is None
    kind, cause = told(certificates.bind(ci, "", policy(REQUIRED)))
    assert kind is Kind.CREDENTIAL_UNBOUND
    assert cause == "certificate: required for this principal (ci), and none was shown"
    kind, cause = told(certificates.bind(ci, OTHER, policy(REQUIRED)))
    assert kind is Kind.CREDENTIAL_UNBOUND
    assert cause.endswith("is another one")


def test_it_is_required_of_that_principal_of_that_tenant_alone(certificates):
    assert certificates.bind(caller("alice"), "", policy(REQUIRED)) is None
    assert certificates.bind(caller("ci", tenant="narrow"), "", policy(REQUIRED)) is None


def test_of_several_required_certificates_one_is_enough(certificates):
    second = replace(REQUIRED, name="second", uri="spiffe://example.org/other")
    for pem in (PEM, OTHER):
        assert certificates.bind(caller("ci"), pem, policy(REQUIRED, second)) is None
    assert certificates.bind(caller("ci"), "", policy(REQUIRED, second)).kind is Kind.CREDENTIAL_UNBOUND


def test_an_entry_that_is_not_required_does_not_stand_in(certificates):
    loose = replace(CI, name="loose", uri="spiffe://example.org/other")
    assert certificates.bind(caller("ci"), OTHER, policy(REQUIRED, loose)).kind is Kind.CREDENTIAL_UNBOUND


def test_pem_with_other_line_ends_is_the_same_certificate(certificates):
    other = quote(unquote(PEM).replace("\n", "\r\n"), safe="")
    assert certificates.fingerprint(other, NOW_S) == SHA256
