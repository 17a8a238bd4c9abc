"""Certificates of `ostiary up`."""

import datetime as dt
import ssl

import pytest
from cryptography import x509

from ostiary import certificate

NOW = dt.datetime.now(dt.UTC)


def test_files_are_made_once_and_the_key_is_private(tmp_path):
    first = certificate.ensure(tmp_path / "certs", NOW)
    before = [path.read_bytes() for path in (first.ca, first.certificate, first.key)]
    assert certificate.ensure(tmp_path / "certs", NOW + dt.timedelta(days=30)) == first
    assert [path.read_bytes() for path in (first.ca, first.certificate, first.key)] == before
    assert first.key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "certs").iterdir()) == [
        "ca.pem",
        "server.key",
        "server.pem",
    ]


def test_no_private_key_of_the_ca_is_kept(tmp_path):
    files = certificate.ensure(tmp_path, NOW)
    keys = [path.name for path in tmp_path.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == [files.key.name]


def test_files_are_renewed_before_they_end(tmp_path):
    before = certificate.ensure(tmp_path, NOW).certificate.read_bytes()
    late = NOW + dt.timedelta(days=certificate.VALID_DAYS - certificate.RENEW_DAYS + 1)
    assert certificate.ensure(tmp_path, late).certificate.read_bytes() != before


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
@pytest.mark.parametrize("damage", ["missing", "mangled", "foreign"])
def test_damage_is_repaired(tmp_path, name, damage):
    files = certificate.ensure(tmp_path, NOW)
    victim = tmp_path / name
    if damage == "missing":
        victim.unlink()
    elif damage == "mangled":
        victim.write_text("not PEM")
    else:
        other = certificate.ensure(tmp_path / "other", NOW)
        victim.write_bytes((other.ca.parent / name).read_bytes())
    certificate.ensure(tmp_path, NOW)
    handshake(files)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_strict_client_accepts_it_for_this_machine(tmp_path, host):
    handshake(certificate.ensure(tmp_path, NOW), host)


def test_a_strict_client_refuses_it_for_another_name(tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(certificate.ensure(tmp_path, NOW), "example.com")


def handshake(files, host="localhost"):
    """TLS 1.3 in memory, the client checking name and chain."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=files.ca)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.minimum_version = ssl.TLSVersion.TLSv1_3
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname=host)
    server = server_context.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"


def test_the_ca_vouches_for_this_machine_only(tmp_path):
    ca = x509.load_pem_x509_certificate(certificate.ensure(tmp_path, NOW).ca.read_bytes())
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert x509.DNSName("localhost") in constraints.value.permitted_subtrees
