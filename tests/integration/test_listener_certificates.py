"""The listener's certificate by SDS out of a real OpenBao's PKI: the first one, turned under load, outlived, kept quiet."""

import base64
import os
import re
import signal
import socket
import ssl
import threading
import urllib.request
from pathlib import Path

import openai
import pytest
from cryptography import x509

import openbao_kept
import scanning
from asking import CHAT, MODEL, chat
from certifying import EdgePki
from clients import openai_of
from ports import free_port
from rawhttp import RawClient, request_bytes
from stack import Options, Stack, until

pytestmark = pytest.mark.slow
MODELS = "/v1/models"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with openbao_kept.kept(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture(scope="module")
def pki(server, short_dir):
    made = EdgePki(server.bao, short_dir())
    made.new_client_authority("first")
    return made


class Edge(Stack):
    """A stack whose vault is sealed when it starts."""

    def __init__(self, root, upstreams, pki, server):
        file, tls = pki.spec()
        self.pages = free_port()
        settings = {"OSTIARY_EDGE_FILE": str(file), "OSTIARY_CONTROL_ADMIN_PORT": str(self.pages)}
        super().__init__(root, upstreams, Options(workers=1, control=True, edge={"tls": tls}, settings=settings))
        self.authority.pem = pki.root
        self.client_pair = None
        self.server = server
        self.refused_without = False

    def wait_ready(self):
        until("the word that there is none", lambda: "listener_certificate_missing" in self.logs())
        until("Envoy's admin", lambda: self.admin("/ready"))
        with socket.socket() as probing:
            self.refused_without = probing.connect_ex(("127.0.0.1", self.port)) != 0
        self.server.unseal()
        super().wait_ready()

    def shown(self, **options):
        """The certificate that a new connection meets."""
        with self.client(**options).open() as conn:
            return leaf_of(conn)

    def turn(self):
        """Have a new certificate, and wait until new connections meet it."""
        before = self.shown().serial_number
        os.kill(self.control.pid, signal.SIGHUP)
        return until("a new certificate", lambda: (now := self.shown()).serial_number != before and now)


def leaf_of(conn):
    return x509.load_der_x509_certificate(conn.sock.getpeercert(binary_form=True))


@pytest.fixture(scope="module")
def edge(server, pki, short_dir, upstreams):
    server.seal()
    with Edge(short_dir(), upstreams, pki, server) as running:
        yield running
        assert "Traceback" not in running.logs()


def test_without_a_vault_no_port_is_open_and_with_it_the_first_certificate_serves(edge):
    assert edge.refused_without
    names = edge.shown().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert edge.client().ask("GET", MODELS).status == 200


def test_certificates_that_turn_under_load_fail_no_request_and_open_connections_go_on(edge, upstream):
    marker, stop, statuses, failures, serials = upstream.script(), threading.Event(), [], [], set()

    def load():
        client = edge.client()
        while not stop.is_set():
            try:
                with client.open() as conn:  # a handshake for each request
                    serials.add(leaf_of(conn).serial_number)
                    conn.send(request_bytes("GET", MODELS, client.headers))
                    statuses.append(conn.answer().status)
                statuses.append(client.post(CHAT, chat(f"hello {marker}")).status)
            except (OSError, ssl.SSLError) as failure:
                failures.append(repr(failure))

    def load_of_the_sdk():
        with openai_of(edge) as sdk:
            while not stop.is_set():
                try:
                    messages = [{"role": "user", "content": f"hello {marker}"}]
                    sdk.chat.completions.create(model=MODEL, messages=messages)
                    statuses.append(200)
                except openai.OpenAIError as failure:
                    failures.append(repr(failure))

    threads = [threading.Thread(target=each) for each in (load, load, load_of_the_sdk)]
    with edge.client().open() as old:
        first = leaf_of(old).serial_number
        for thread in threads:
            thread.start()
        try:
            turned = []
            for _ in range(3):
                turned.append(edge.turn().serial_number)
                until("a handshake with it", lambda: turned[-1] in serials)
            count = len(statuses)
            until("some requests more", lambda: len(statuses) >= count + 10)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        old.send(request_bytes("GET", MODELS, edge.client().headers))
        assert old.answer().status == 200
        assert leaf_of(old).serial_number == first
    assert failures == []
    assert set(statuses) == {200}
    assert len({first, *turned}) == 4


def test_a_certificate_of_seconds_is_replaced_again_and_again_by_itself(edge, pki):
    pki.let("10s")
    try:
        short = edge.turn()
        until("the next one", lambda: edge.shown().serial_number != short.serial_number, 30)
    finally:
        pki.let("1h")
    assert lasts_s(short) < 60
    assert lasts_s(edge.turn()) > 600


def lasts_s(certificate):
    return (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds()


def test_a_replaced_intermediate_signs_the_next_one_and_clients_need_no_change(edge, pki):
    before = edge.shown()
    pki.new_intermediate()
    after = edge.turn()
    assert before.issuer == after.issuer
    keys = [authority_key(each) for each in (before, after)]
    assert keys[0] != keys[1]
    assert edge.client().ask("GET", MODELS).status == 200


def authority_key(certificate):
    return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier


def test_while_the_vault_is_away_the_old_one_serves_and_the_new_one_comes_with_it(edge, server):
    before = edge.shown().serial_number
    count = edge.logs().count("listener_certificate_not_renewed")
    server.stop()
    os.kill(edge.control.pid, signal.SIGHUP)
    until("the word of it", lambda: edge.logs().count("listener_certificate_not_renewed") > count)
    assert edge.client().ask("GET", MODELS).status == 200
    assert edge.shown().serial_number == before
    server.start()
    server.unseal()
    until("a new certificate", lambda: edge.shown().serial_number != before, 60)


def test_a_revoked_token_is_replaced_by_a_login(edge, server):
    count = edge.logs().count("vault_login")
    server.bao.call("sys/leases/revoke-prefix/auth/approle/login", {})
    # The vault revokes a prefix in the background: one certificate more may be signed under the old token.
    until("another login", lambda: edge.turn() and edge.logs().count("vault_login") > count, 60)


def test_when_control_restarts_envoy_serves_on_and_takes_the_next_one(edge):
    before = edge.shown().serial_number
    assert edge.control.end()
    assert edge.client().ask("GET", MODELS).status == 200
    edge.start_control()
    until("a new certificate", lambda: edge.shown().serial_number != before, 30)


def comes_in(edge, cert):
    """Whether a client with this certificate is let through the handshake."""
    client = RawClient(edge.port, edge.authority.pem, edge.client().headers, cert=cert)
    try:
        return client.ask("GET", MODELS).status == 200
    except (OSError, ssl.SSLError):
        return False


def test_a_new_authority_of_clients_counts_beside_the_old_one_which_ends_when_it_is_removed(edge, pki, server):
    name = f"ca-{os.urandom(4).hex()}"
    first = pki.new_client_authority(f"{name}-1")
    old = pki.client(f"{name}-old")
    until("the first authority", lambda: comes_in(edge, old))
    pki.new_client_authority(f"{name}-2")
    new = pki.client(f"{name}-new")
    until("the second authority", lambda: comes_in(edge, new))
    assert comes_in(edge, old)
    server.bao.call(f"pki-clients/issuer/{first}", method="DELETE")
    until("the end of the first one", lambda: not comes_in(edge, old))
    assert comes_in(edge, new)


def test_an_authority_that_was_revoked_ends_though_it_is_still_there_and_so_does_the_last_one(edge, pki, server):
    name = f"ca-{os.urandom(4).hex()}"
    revoked = pki.new_client_authority(f"{name}-1")
    old = pki.client(f"{name}-old")
    until("the first authority", lambda: comes_in(edge, old))
    pki.new_client_authority(f"{name}-2")
    new = pki.client(f"{name}-new")
    until("the second authority", lambda: comes_in(edge, new))
    server.bao.call(f"pki-clients/issuer/{revoked}/revoke", {})
    until("the end of the revoked one", lambda: not comes_in(edge, old))
    assert comes_in(edge, new)
    for each in server.bao.call("pki-clients/issuers?list=true")["data"]["keys"]:
        server.bao.call(f"pki-clients/issuer/{each}/revoke", {})
    until("the end of all", lambda: not comes_in(edge, new))
    assert edge.client().ask("GET", MODELS).status == 200  # certificates are optional here
    pki.new_client_authority(f"{name}-3")
    newest = pki.client(f"{name}-newest")
    until("the third authority", lambda: comes_in(edge, newest))
    assert not comes_in(edge, new)


def test_the_private_key_is_in_no_dump_no_log_no_process_list_and_on_no_disk(edge, server):
    edge.turn()
    dump = edge.admin("/config_dump?include_eds")
    assert b"ostiary_listener" in dump
    assert base64.b64encode(b"[redacted]") in dump
    places = scanning.places(edge, {edge.root / "certs"})
    assert len(places) > 15
    assert [place for place, data in places.items() if holds_key(data)] == []
    limits = Path(f"/proc/{edge.control.pid}/limits").read_text()
    assert "Max core file size        0                    0" in limits


#: A P-256 key in PKCS #8 begins so, in PEM and in base64 of PEM.
KEY = re.compile(rb"BEGIN (EC |)PRIVATE KEY|MIGHAgEAMBMGByqGSM49" + b"|" + base64.b64encode(b"-----BEGIN PRIVATE")[:20])


def holds_key(data):
    return KEY.search(data) is not None


def test_envoy_tells_when_the_certificate_that_it_serves_ends(edge):
    ends_s = edge.turn().not_valid_after_utc.timestamp()
    page = edge.admin("/stats/prometheus").decode()
    name = "envoy_listener_ssl_certificate_expiration_unix_time_seconds"
    (line,) = [line for line in page.splitlines() if line.startswith(name) and "ostiary_listener" in line]
    assert float(line.rpartition(" ")[2]) == ends_s
    told = urllib.request.urlopen(f"http://127.0.0.1:{edge.pages}/metrics", timeout=20).read().decode()
    (line,) = [line for line in told.splitlines() if line.startswith("ostiary_listener_certificate_end")]
    assert float(line.rpartition(" ")[2]) == ends_s


def test_the_scan_would_find_a_key(edge):
    pem = edge.server_cert.key.read_bytes()
    assert holds_key(pem)
    assert holds_key(base64.b64encode(pem))
