"""A hop against a real TLS server of the standard library, on loopback."""

import socket
import ssl
import threading

import pytest
import structlog.testing
from cryptography.hazmat.primitives import serialization

from certs import Authority
from gateway.tls import Hop, HopError, HopFiles


class Server:
    """Takes one connection after another and tells what it saw of each client: its name, or the failure."""

    def __init__(self, context):
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.seen = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(raw, server_side=True) as link:
                    link.recv(1)
                    subject = dict(pair[0] for pair in (link.getpeercert() or {}).get("subject", ()))
                    self.seen.append((link.version(), subject.get("commonName")))
                    link.send(b".")
            except (ssl.SSLError, OSError) as failure:
                self.seen.append(type(failure).__name__)

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "certs")


@pytest.fixture
def serve(authority):
    """Starts a server that asks for a client certificate; `newest` is the most that it speaks."""
    servers = []

    def start(*, newest=ssl.TLSVersion.TLSv1_3, by=authority, require=True):
        leaf = by.issue("server")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.pem)
        context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_NONE
        context.maximum_version = newest
        context.load_cert_chain(leaf.cert, leaf.key)
        servers.append(Server(context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ask(hop, server, name="localhost"):
    """One byte there and one back, so that also TLS 1.3 has checked the client."""
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw,
        hop.context().wrap_socket(raw, server_hostname=name) as link,
    ):
        link.send(b".")
        return link.recv(1) == b"."


def files(authority, pair):
    return HopFiles(ca_file=authority.pem, cert_file=pair.cert, key_file=pair.key)


def test_a_mutual_hop_is_tls_1_3_and_shows_our_name(authority, serve):
    server = serve()
    assert ask(Hop(files(authority, authority.issue("worker", client=True))), server)
    assert server.seen == [("TLSv1.3", "worker")]


def test_a_server_that_speaks_only_tls_1_2_is_refused(authority, serve):
    with pytest.raises(ssl.SSLError):
        ask(Hop(HopFiles(ca_file=authority.pem)), serve(newest=ssl.TLSVersion.TLSv1_2, require=False))


def test_another_name_is_refused(authority, serve):
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(Hop(HopFiles(ca_file=authority.pem)), serve(require=False), name="elsewhere.example")


def test_another_authority_is_refused(authority, serve, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(Hop(HopFiles(ca_file=authority.pem)), serve(by=Authority(tmp_path / "other", "other"), require=False))


def test_only_the_named_authority_counts(authority):
    assert len(Hop(HopFiles(ca_file=authority.pem)).context().get_ca_certs()) == 1


def replace(target, source):
    """As an agent does it: a file of the new content takes the name."""
    beside = target.with_suffix(".new")
    beside.write_bytes(source.read_bytes())
    beside.chmod(0o600)
    beside.rename(target)


def test_replaced_files_count_for_the_next_connection(authority, serve):
    server, pair = serve(), authority.issue("first", client=True)
    hop = Hop(files(authority, pair))
    assert ask(hop, server)
    second = authority.issue("second", client=True)
    replace(pair.cert, second.cert)
    replace(pair.key, second.key)
    assert ask(hop, server)
    assert [name for _, name in server.seen] == ["first", "second"]


def test_a_directory_link_that_is_swapped_counts_too(authority, serve, tmp_path):
    """As Kubernetes updates a mounted secret."""
    server = serve()
    for name in ("first", "second"):
        pair, place = authority.issue(name, client=True), tmp_path / name
        place.mkdir()
        pair.cert.rename(place / "tls.crt")
        pair.key.rename(place / "tls.key")
    data = tmp_path / "data"
    data.symlink_to("first")
    hop = Hop(HopFiles(ca_file=authority.pem, cert_file=data / "tls.crt", key_file=data / "tls.key"))
    assert ask(hop, server)
    (tmp_path / "next").symlink_to("second")
    (tmp_path / "next").rename(data)
    assert ask(hop, server)
    assert [name for _, name in server.seen] == ["first", "second"]


def test_halfway_through_a_rotation_the_old_pair_goes_on_and_the_log_tells(authority, serve):
    server, pair = serve(), authority.issue("first", client=True)
    hop = Hop(files(authority, pair))
    second = authority.issue("second", client=True)
    replace(pair.cert, second.cert)  # the key is still the old one's
    with structlog.testing.capture_logs() as logs:
        assert ask(hop, server)
        pair.key.unlink()
        assert ask(hop, server)
    assert [one["event"] for one in logs] == ["hop_certificates_refused"] * 2
    replace(pair.key, second.key)
    assert ask(hop, server)
    assert [name for _, name in server.seen] == ["first", "first", "second"]


def test_unchanged_files_are_not_read_again(authority):
    hop = Hop(files(authority, authority.issue("worker", client=True)))
    assert hop.context() is hop.context()


def test_a_certificate_without_its_key_is_refused(authority):
    with pytest.raises(HopError, match="together"):
        Hop(HopFiles(cert_file=authority.issue("worker", client=True).cert))


@pytest.mark.parametrize("spoil", ["absent", "garbage", "other key", "open", "encrypted"])
def test_files_that_cannot_be_used_are_told_at_the_start(authority, spoil, tmp_path):
    pair = authority.issue("worker", client=True)
    if spoil == "absent":
        pair.cert.unlink()
    elif spoil == "garbage":
        pair.cert.write_text("SECRET-GARBAGE")
    elif spoil == "other key":
        pair = type(pair)(pair.cert, authority.issue("other", client=True).key)
    elif spoil == "open":
        pair.key.chmod(0o644)
    else:
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"pass"),
            )
        )
    with pytest.raises(HopError) as refused:
        Hop(files(authority, pair))
    assert str(tmp_path) in str(refused.value)
    assert "SECRET" not in str(refused.value)
