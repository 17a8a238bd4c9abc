"""A key, the request for its certificate, and what came back: taken only if it is the one that was asked for. Pure."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SKEW_S: Final = 60.0  # two clocks; the vault dates back by 30 s for the same reason
_NOBODY_LASTS: Final = dt.timedelta(days=3650)  # past any run of Envoy, whose statistics tell the first end of a CA
_CHAIN: Final = 6  # a leaf and more intermediates than any PKI has


class LeafError(Exception):
    """Why what the vault gave is not used. For the log: holds no key."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A new key that has no certificate yet. It is made here and leaves for Envoy alone."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    names: tuple[str, ...]
    addresses: tuple[str, ...]

    @property
    def csr(self) -> str:
        """The request for its certificate (RFC 2986), PEM."""
        # A common name has at most 64 characters (RFC 5280, appendix A.1); nobody has compared it since RFC 9525.
        common = [x509.NameAttribute(NameOID.COMMON_NAME, self.names[0])] if len(self.names[0]) <= 64 else []
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in self.names]
        names += [x509.IPAddress(ip_address(address)) for address in self.addresses]
        made = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name(common))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate with its chain and key, as Envoy takes them."""

    chain: bytes
    key: bytes = field(repr=False)
    serial: str
    sha256: str
    ends_s: float  # unix seconds


def wanted(names: Sequence[str], addresses: Sequence[str]) -> Wanted:
    """A new key for these names."""
    # P-256: what every client verifies, and the cheapest handshake for the server.
    return Wanted(ec.generate_private_key(ec.SECP256R1()), tuple(names), tuple(addresses))


def accept(answer: Mapping[str, Any], asked: Wanted, now_s: float) -> Leaf:
    """The certificate in a vault's answer.

    Raises:
        LeafError: it is another key's, names others, has ended, or is for something else.
    """
    data = answer.get("data")
    told = data.get("certificate") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(told, str):
        raise LeafError("the answer has no certificate")
    leaf, *more = _certificates(told)
    fault = _fault(leaf, asked, now_s)
    if fault:
        raise LeafError(fault)
    chain = [leaf, *more, *_intermediates(data)]
    chain = list(dict.fromkeys(each for each in chain if each is leaf or each.subject != each.issuer))
    if len(chain) > _CHAIN:
        raise LeafError(f"the chain is longer than {_CHAIN} certificates")
    return Leaf(
        chain=b"".join(each.public_bytes(Encoding.PEM) for each in chain),
        key=asked.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        serial=f"{leaf.serial_number:x}",
        sha256=leaf.fingerprint(hashes.SHA256()).hex(),
        ends_s=leaf.not_valid_after_utc.timestamp(),
    )


def authorities(texts: Sequence[str], now_s: float) -> tuple[str, bytes]:
    """CAs that are CAs and have not ended, as PEM, and a name for exactly these.

    Raises:
        LeafError: none is left.
    """
    found = {each.fingerprint(hashes.SHA256()): each for text in texts for each in _certificates(text)}
    kept = {name: each for name, each in sorted(found.items()) if _is_authority(each, now_s)}
    if not kept:
        raise LeafError("there is no CA of clients that counts")
    version = hashlib.sha256(b"".join(kept)).hexdigest()
    return version, b"".join(each.public_bytes(Encoding.PEM) for each in kept.values())


def nobody(now_s: float) -> tuple[str, bytes]:
    """A CA that has signed for nobody and never will, as its key is gone: no CA at all would be no check in Envoy."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = dt.datetime.fromtimestamp(now_s, dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(seconds=_SKEW_S))
        .not_valid_after(now + _NOBODY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return "nobody", made.public_bytes(Encoding.PEM)


def _intermediates(data: Mapping[str, Any]) -> list[x509.Certificate]:
    """What lies between the leaf and a root. A root travels in nobody's handshake: who knows it not believes it not."""
    listed = data.get("ca_chain") or [data.get("issuing_ca")]
    if not isinstance(listed, list) or len(listed) > _CHAIN:
        raise LeafError("the answer has no usable chain")
    return [each for text in listed if isinstance(text, str) and text for each in _certificates(text)]


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise LeafError("the answer holds something that is no certificate") from None


def _fault(leaf: x509.Certificate, asked: Wanted, now_s: float) -> str:
    if _public(leaf.public_key()) != _public(asked.key.public_key()):
        return "the certificate is another key's"
    if leaf.not_valid_before_utc.timestamp() > now_s + _SKEW_S or leaf.not_valid_after_utc.timestamp() <= now_s:
        return "the certificate does not count now; do the clocks agree?"
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "the certificate has no alternative names"
    there = {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
    missing = sorted({*asked.names, *(str(ip_address(each)) for each in asked.addresses)} - there)
    if missing:
        return f"the certificate does not name {', '.join(missing)}: see the role's allowed_domains and use_csr_sans"
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ""  # for every purpose (RFC 5280, section 4.2.1.12)
    return "" if ExtendedKeyUsageOID.SERVER_AUTH in purposes else "the certificate is for no server: see server_flag"


def _is_authority(certificate: x509.Certificate, now_s: float) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return basic.ca and certificate.not_valid_after_utc.timestamp() > now_s


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
