"""A client certificate as Envoy shows it: its names and hashes, read once and strictly. Verifies no chain.

Envoy asked for proof of the private key and checked the chain at the handshake.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.policy.certificate import subject_text
from gateway.policy.model import CertificateIdentity

#: URL-encoded. A leaf of RSA-4096 with a dozen names has 4 KiB; Envoy takes the chain from the handshake, not from us.
MAX_CHARS: Final = 32 * 1024
#: Exactly one block, its lines of any length, nothing before or behind it.
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----\s{0,2}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What one certificate says, taken from it once."""

    sha256: str  # of its DER, lower-case hex
    thumbprint: str  # the same as RFC 8705 writes it: base64url, unpadded
    spki_sha256: str  # of its public key, lower-case hex (RFC 7469 section 2.4)
    uris: tuple[str, ...]
    dns: tuple[str, ...]  # lower case: DNS names have no case (RFC 4343)
    subject: str
    ends_s: float

    @property
    def names_by_uri(self) -> tuple[str, ...]:
        """The URIs that count: none where a SPIFFE ID stands beside another one (X509-SVID, section 2)."""
        several = len(self.uris) > 1 and any(uri[:7].lower() == "spiffe:" for uri in self.uris)
        return () if several else self.uris


def fits(shown: Shown, entry: CertificateIdentity) -> bool:
    """Whether it is the certificate that an entry of certificates.yaml means: its one name, and its pins."""
    if entry.uri:
        named = entry.uri in shown.names_by_uri
    else:
        named = entry.dns in shown.dns if entry.dns else entry.subject == shown.subject
    return named and (not entry.spki_sha256 or shown.spki_sha256 in entry.spki_sha256)


def read(pem: str) -> Shown:
    """What the certificate says.

    Raises:
        ValueError: it is not exactly one X.509 certificate.
    """
    try:
        match = _PEM.fullmatch(unquote_to_bytes(pem))
        der = binascii.a2b_base64(match[1]) if match else b""
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        names = _alternative_names(certificate)
        digest = hashlib.sha256(der).digest()
        return Shown(
            sha256=digest.hex(),
            thumbprint=base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            spki_sha256=hashlib.sha256(key).hexdigest(),
            uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
            dns=tuple(name.lower() for name in names.get_values_for_type(x509.DNSName)),
            subject=subject_text(certificate.subject),
            ends_s=certificate.not_valid_after_utc.timestamp(),
        )
    except Exception:  # noqa: BLE001  # whatever the library cannot digest identifies nobody
        raise ValueError("not one X.509 certificate") from None


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])
