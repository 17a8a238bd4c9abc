"""A private CA and a certificate for localhost, for `ostiary up` alone: production has a PKI."""

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS: Final = 90  # long enough for a trial, short enough that a forgotten CA file goes stale
RENEW_DAYS: Final = 7  # a gateway started today runs with this certificate for a while
_BACKDATE: Final = dt.timedelta(minutes=5)  # clients whose clock is a little behind


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the PEM files lie. The CA's private key is not among them: it is dropped once it has signed."""

    ca: Path
    certificate: Path
    key: Path


def ensure(directory: Path, now: dt.datetime) -> Certificates:
    """The files in `directory`, made anew when one is missing or close to its end."""
    files = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    if not _fresh(files, now):
        _make(files, now)
    return files


def _fresh(files: Certificates, now: dt.datetime) -> bool:
    """Whether key, certificate and CA are there, belong together and stay valid for a while."""
    try:
        leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
        key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
        leaf.verify_directly_issued_by(ca)
    except Exception:  # noqa: BLE001 -- missing, mangled, wrongly signed: whatever it is, new ones are made
        return False
    until = min(leaf.not_valid_after_utc, ca.not_valid_after_utc)
    return key.public_key() == leaf.public_key() and until - now > dt.timedelta(days=RENEW_DAYS)


def _make(files: Certificates, now: dt.datetime) -> None:
    files.ca.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, ca_id = _name("Ostiary local CA"), x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(ca_id, critical=False)
        # Even if the key had been kept: this CA can vouch for this machine's names and for nothing else.
        .add_extension(x509.NameConstraints(permitted_subtrees=_subtrees(), excluded_subtrees=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        _builder(_name("localhost"), ca_name, leaf_key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName(_names()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(leaf_key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    private = leaf_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(files.key, private)
    files.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))


def write_private(path: Path, content: bytes) -> None:
    """Write a secret so that nobody else can read it at any moment, and no half file is ever seen."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _names() -> list[x509.GeneralName]:
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    return [x509.DNSName("localhost"), *addresses]


def _subtrees() -> list[x509.GeneralName]:
    networks = [x509.IPAddress(ipaddress.ip_network(text)) for text in ("127.0.0.0/8", "::1/128")]
    return [x509.DNSName("localhost"), *networks]


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
