"""What a vault signed: taken when it is what was asked for, refused when it is anything else."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from clocks import ManualClock
from control.sds import leaf
from control.sds.leaf import LeafError
from pki_vault import Ca, names


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def root(clock):
    return Ca(clock)


@pytest.fixture
def ca(clock, root):
    return Ca(clock, "edge", root)


@pytest.fixture
def asked():
    return leaf.wanted(("a.example", "*.b.example"), ("127.0.0.1", "::1"))


def taken(asked, certificate, clock, **data):
    return leaf.accept({"data": {"certificate": certificate, **data}}, asked, clock.now())


def test_a_certificate_comes_with_its_key_and_its_intermediates_and_without_the_root(asked, ca, root, clock):
    made = taken(asked, ca.sign(asked.csr, 100), clock, ca_chain=[ca.pem, root.pem], issuing_ca=ca.pem)
    chain = x509.load_pem_x509_certificates(made.chain)
    assert [each.issuer for each in chain] == [ca.name, root.name]
    chain[0].verify_directly_issued_by(chain[1])
    key = load_pem_private_key(made.key, None)
    assert key.public_key() == chain[0].public_key() == asked.key.public_key()
    assert made.ends_s == clock.now() + 100
    assert made.serial == f"{chain[0].serial_number:x}"


def test_a_root_that_signs_by_itself_gives_a_chain_of_one(asked, root, clock):
    made = taken(asked, root.sign(asked.csr, 100), clock, issuing_ca=root.pem)
    assert made.chain.count(b"BEGIN CERTIFICATE") == 1


def test_each_request_has_a_key_of_its_own_that_no_repr_shows(asked, ca, clock):
    other = leaf.wanted(asked.names, asked.addresses)
    assert other.key.public_key() != asked.key.public_key()
    made = taken(asked, ca.sign(asked.csr, 100), clock)
    assert "PRIVATE" not in repr(made) + repr(asked) + asked.csr


def test_a_name_longer_than_a_common_name_may_be_is_an_alternative_name_alone(ca, clock):
    name = f"{'a' * 60}.b.example"
    asked = leaf.wanted((name,), ())
    assert not list(x509.load_pem_x509_csr(asked.csr.encode()).subject)
    assert taken(asked, ca.sign(asked.csr, 100), clock).serial


LIES = {
    "another key's": {"key": ec.generate_private_key(ec.SECP256R1()).public_key()},
    "does not name": {"names": x509.SubjectAlternativeName(names("a.example", addresses=("127.0.0.1", "::1")))},
    "name 127.0.0.1": {"names": x509.SubjectAlternativeName(names("a.example", "*.b.example", addresses=("::1",)))},
    "for no server": {"server": False},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_certificate_that_was_not_asked_for_is_refused(asked, ca, clock, lie):
    with pytest.raises(LeafError, match=lie):
        taken(asked, ca.sign(asked.csr, 100, **LIES[lie]), clock)


def test_one_that_has_ended_or_not_begun_is_refused(asked, ca, clock):
    signed = ca.sign(asked.csr, 100)
    clock.advance(100)
    with pytest.raises(LeafError, match="clocks"):
        taken(asked, signed, clock)
    clock.set_back(300)
    with pytest.raises(LeafError, match="clocks"):
        taken(asked, signed, clock)


@pytest.mark.parametrize(
    "answer", [{}, {"data": None}, {"data": {"certificate": 7}}, {"data": {"certificate": "PEM?"}}]
)
def test_an_answer_without_a_certificate_is_refused(asked, answer, clock):
    with pytest.raises(LeafError):
        leaf.accept(answer, asked, clock.now())


def test_a_chain_without_end_is_refused(asked, ca, clock):
    links = [Ca(clock, f"link-{number}", ca).pem for number in range(7)]
    for data in ({"ca_chain": links}, {"ca_chain": ["".join(links)]}, {"ca_chain": "x"}):
        with pytest.raises(LeafError, match="chain"):
            taken(asked, ca.sign(asked.csr, 100), clock, **data)


def test_authorities_are_named_by_what_they_are_whatever_their_order(clock):
    one, two = Ca(clock, "one"), Ca(clock, "two")
    version, bundle = leaf.authorities([one.pem, two.pem, one.pem], clock.now())
    assert leaf.authorities([two.pem, one.pem], clock.now()) == (version, bundle)
    assert bundle.count(b"BEGIN CERTIFICATE") == 2
    assert leaf.authorities([one.pem], clock.now())[0] != version


def test_an_authority_that_has_ended_or_is_none_does_not_count(asked, ca, clock):
    short = Ca(clock, "short", lasts_s=10)
    clock.advance(10)
    _, bundle = leaf.authorities([ca.pem, short.pem, ca.sign(asked.csr, 100)], clock.now())
    assert bundle.decode() == ca.pem
    for texts in ([short.pem], []):
        with pytest.raises(LeafError, match="no CA"):
            leaf.authorities(texts, clock.now())


def test_nobody_is_an_authority_that_signed_nothing_and_lasts_longer_than_any_envoy(clock):
    version, bundle = leaf.nobody(clock.now())
    made = x509.load_pem_x509_certificate(bundle)
    assert leaf.authorities([bundle.decode()], clock.now() + 9 * 365 * 86400)[1] == bundle
    assert version == leaf.nobody(clock.now())[0]
    assert made.public_key() != x509.load_pem_x509_certificate(leaf.nobody(clock.now())[1]).public_key()
