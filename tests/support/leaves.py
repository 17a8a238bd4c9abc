"""Client certificates in memory, signed by their own key: for code that reads certificates and verifies no chain."""

import datetime as dt
import functools
from collections.abc import Sequence
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from authz_case import NOW_S

DAY = dt.timedelta(days=1)


@functools.cache
def key(name: str = "first") -> ec.EllipticCurvePrivateKey:
    """A private key of that name."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def leaf(
    *,
    uris: Sequence[str] = (),
    dns: Sequence[str] = (),
    subject: str = "CN=leaf,O=Example",
    key_name: str = "first",
    lasts: dt.timedelta = DAY,
) -> x509.Certificate:
    """A certificate that has been valid for a day at `NOW_S`."""
    now = dt.datetime.fromtimestamp(NOW_S, dt.UTC)
    name = x509.Name.from_rfc4514_string(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key(key_name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + lasts)
    )
    names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key(key_name), hashes.SHA256())


def shown(certificate: x509.Certificate) -> str:
    """The certificate as Envoy tells it (`source.certificate`): PEM, URL-encoded."""
    return quote(certificate.public_bytes(serialization.Encoding.PEM).decode(), safe="")


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
