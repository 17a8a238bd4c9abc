"""Client certificates through real Envoy and a real worker: who comes in by one, what it binds, what leaves of it."""

import base64
import datetime as dt
import hashlib
import json
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import openbao
from asking import CHAT, chat
from certs import Authority
from control.edge.spec import ClientCertificates
from idp import Idp
from rawhttp import RawClient, request_bytes
from stack import Options, Stack, until

SPIFFE = "spiffe://test/workload"
ADMIN = "spiffe://test/admin"
PINNED = "spiffe://test/pinned"
SEALED = "spiffe://test/sealed"
#: What a proxy in front, or a forger, would write about ADMIN's certificate.
FORGED = {
    "x-forwarded-client-cert": f"By=spiffe://test/gateway;Hash={'0' * 64};URI={ADMIN}",
    "x-ostiary-client-certificate": "-----BEGIN%20CERTIFICATE-----%0A",
}


def hashes(pair):
    """SHA-256 of the certificate (hex, base64url) and of its public key (hex)."""
    certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    whole = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return whole.hex(), base64.urlsafe_b64encode(whole).rstrip(b"=").decode(), hashlib.sha256(public).hexdigest()


class Doors:
    """A stack that asks for client certificates, and the clients of its authority."""

    def __init__(self, root, upstreams, idp, asked):
        self.stack = Stack(root, upstreams, Options(workers=1, edge={"tls": {"client_certificates": asked}}))
        issue = self.stack.authority.issue
        self.workload = issue("workload", client=True, uri=SPIFFE)
        self.admin = issue("admin", client=True, uri=ADMIN)
        self.sealed = issue("sealed", client=True, uri=SEALED)
        self.pinned = [issue(f"pinned-{number}", client=True, uri=PINNED) for number in range(3)]
        issuer = {"issuer": idp.url, "audiences": ["llm"], "algorithms": ["ES256"], "tenant": "acme"}
        for name, entries in {"issuers": {"idp": issuer}, "certificates": self.entries()}.items():
            (self.stack.bundle.directory / f"{name}.yaml").write_text(json.dumps(entries))

    def entries(self):
        pins = [hashes(pair)[2] for pair in self.pinned[:2]]
        return {
            "workload": {"tenant": "acme", "principal": "workload", "uri": SPIFFE, "scopes": ["chat"]},
            "admin": {"tenant": "acme", "principal": "admin", "uri": ADMIN},
            "pinned": {"tenant": "acme", "principal": "pinned", "uri": PINNED, "pins": pins},
            "sealed": {"tenant": "acme", "principal": "sealed", "uri": SEALED, "required_for_principal": True},
        }

    def client(self, pair=None, key=""):
        client = self.stack.client(key)
        cert = None if pair is None else (pair.cert, pair.key)
        return RawClient(client.port, self.stack.authority.pem, client.headers, cert=cert)

    def post(self, pair=None, prompt="hello", *, key="", token="", headers=()):
        given = [("authorization", f"Bearer {token}")] if token else []
        return self.client(pair, key).post(CHAT, chat(prompt), [*given, *headers])


@pytest.fixture(scope="module")
def idp():
    with Idp("ES256") as running:
        yield running


@pytest.fixture(scope="module")
def optional(short_dir, upstreams, idp):
    doors = Doors(short_dir(), upstreams, idp, ClientCertificates.OPTIONAL)
    with doors.stack:
        until("the keys of the issuer", lambda: "issuer_keys_changed" in doors.stack.logs())
        yield doors


@pytest.fixture(scope="module")
def required(short_dir, upstreams, idp):
    doors = Doors(short_dir(), upstreams, idp, ClientCertificates.REQUIRED)
    with doors.stack:
        yield doors


# --- a certificate names somebody --------------------
@pytest.mark.parametrize("doors", ["optional", "required"])
def test_a_spiffe_id_alone_opens_chat(request, doors):
    doors = request.getfixturevalue(doors)
    answer = doors.post(doors.workload)
    assert answer.status == 200
    record = doors.stack.record(answer)
    assert (record["tenant"], record["principal"]) == ("acme", "workload")
    assert record["key_id"] == f"cert:{hashes(doors.workload)[0][:16]}"


def test_a_certificate_that_policy_does_not_know_names_nobody(optional):
    stranger = optional.stack.authority.issue("stranger", client=True, uri="spiffe://test/stranger")
    answer = optional.post(stranger)
    assert (answer.status, answer.code) == (401, "credential_missing")
    assert optional.stack.record(answer)["reason"] == "the client certificate names nobody"
    assert optional.post(stranger, key="acme").status == 200


# --- what Envoy refuses before there is a request --------------------
REFUSED = {
    "of another authority": ("fail_verify_error", {}),
    "expired": ("fail_verify_error", {"lasts": dt.timedelta(minutes=-1)}),
    "signed by itself": ("fail_verify_error", {"self_signed": True}),
    "of a server": ("fail_verify_error", {"client": False, "uri": ""}),
}


@pytest.mark.parametrize("doors", ["optional", "required"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_certificate_ends_at_the_handshake(request, short_dir, doors, kind):
    doors = request.getfixturevalue(doors)
    counter, changes = REFUSED[kind]
    foreign = kind == "of another authority"
    authority = Authority(short_dir(), "other-ca") if foreign else doors.stack.authority
    pair = authority.issue(f"bad-{len(kind)}", **{"client": True, "uri": SPIFFE, **changes})
    with counted(doors.stack, counter):
        assert not served(doors.client(pair, "acme"))


def test_where_certificates_are_required_nobody_comes_in_without(required):
    with counted(required.stack, "fail_verify_no_cert"):
        assert not served(required.client(None, "acme"))


def test_where_they_are_optional_a_key_is_enough(optional):
    assert served(optional.client(None, "acme"))


def served(client):
    """Whether a request got any answer. With TLS 1.3 the client learns of its refusal only when it reads."""
    try:
        return client.ask("GET", "/v1/models").status == 200
    except (ssl.SSLError, ConnectionError):
        return False


class counted:  # noqa: N801  # reads as a word in `with`
    """Envoy itself counts one more refusal of that kind in the block."""

    def __init__(self, stack, counter):
        self.stack, self.counter = stack, f"ssl.{counter}"

    def total(self):
        found = self.stack.envoy_stats("listener.")
        return sum(value for name, value in found.items() if name.endswith(self.counter))

    def __enter__(self):
        self.before = self.total()

    def __exit__(self, *_):
        until(self.counter, lambda: self.total() > self.before)


# --- pins and bindings --------------------
def test_of_a_pinned_name_both_keys_of_a_rotation_count_and_no_third(optional):
    first, second, third = optional.pinned
    for pair in (first, second):
        assert optional.stack.record(optional.post(pair))["principal"] == "pinned"
    answer = optional.post(third)
    assert (answer.status, answer.code) == (401, "credential_unbound")
    assert optional.stack.record(answer)["reason"].endswith("is not pinned (pinned)")


def test_a_bound_token_counts_with_its_certificate_alone(optional, idp):
    token = idp.token(cnf={"x5t#S256": hashes(optional.workload)[1]})
    for _ in range(2):  # seen first, and remembered
        assert optional.post(optional.workload, token=token).status == 200
        other = optional.post(optional.admin, token=token)
        assert (other.status, other.code) == (401, "credential_unbound")
        assert "bound to another certificate" in optional.stack.record(other)["reason"]
        none = optional.post(token=token)
        assert (none.status, none.code) == (401, "credential_unbound")
        assert optional.stack.record(none)["reason"] == "token: bound to a certificate, and none was shown"


def test_the_owner_of_a_bound_token_is_the_tokens_not_the_certificates(optional, idp):
    token = idp.token(sub="svc-9", cnf={"x5t#S256": hashes(optional.admin)[1]})
    assert optional.stack.record(optional.post(optional.admin, token=token))["principal"] == "svc-9"


def test_a_principal_that_needs_its_certificate_has_no_other_way_in(optional, idp):
    token = idp.token(sub="sealed")
    assert optional.post(optional.sealed, token=token).status == 200
    for pair in (None, optional.workload):
        answer = optional.post(pair, token=token)
        assert (answer.status, answer.code) == (401, "credential_unbound")


# --- headers --------------------
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header_names_nobody(optional, name):
    answer = optional.post(headers=[(name, FORGED[name])])
    assert (answer.status, answer.code) == (401, "credential_missing")


def test_beside_a_certificate_and_beside_a_key_forged_headers_change_nothing(optional):
    forged = list(FORGED.items())
    assert optional.stack.record(optional.post(optional.workload, headers=forged))["principal"] == "workload"
    assert optional.stack.record(optional.post(key="acme", headers=forged))["principal"] == "acme-ci"


def test_a_forged_header_binds_no_token(optional, idp):
    token = idp.token(cnf={"x5t#S256": hashes(optional.workload)[1]})
    shown = f'Hash={hashes(optional.workload)[0]};Cert="{optional.workload.cert.read_text()!r}"'
    answer = optional.post(token=token, headers=[("x-forwarded-client-cert", shown.replace("\\n", "%0A"))])
    assert (answer.status, answer.code) == (401, "credential_unbound")


@pytest.mark.parametrize("model", ["gpt-test", "gpt-open"])
def test_a_provider_learns_nothing_of_certificates(optional, upstream, model):
    marker = upstream.script()
    client = optional.client(optional.workload)
    assert client.post(CHAT, chat(marker, model=model), list(FORGED.items())).status == 200
    seen = upstream.one(marker)
    assert not seen.names & FORGED.keys()
    said = repr(seen.headers)
    whole, thumbprint, public = hashes(optional.workload)
    for part in ("spiffe://", "CERTIFICATE", whole, thumbprint, public):
        assert part not in said


# --- TLS --------------------
def context_of(stack, pair=None):
    context = ssl.create_default_context(cafile=str(stack.authority.pem))
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def connect(port, context, session=None):
    raw = socket.create_connection(("127.0.0.1", port), timeout=20)
    return context.wrap_socket(raw, server_hostname="localhost", session=session)


@pytest.mark.parametrize("doors", ["optional", "required"])
def test_tls_1_3_is_spoken_and_nothing_older(request, doors):
    doors = request.getfixturevalue(doors)
    with connect(doors.stack.port, context_of(doors.stack, doors.workload)) as conn:
        assert conn.version() == "TLSv1.3"
    older = context_of(doors.stack, doors.workload)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        connect(doors.stack.port, older)


def ask(conn):
    """One request on an open connection: tickets come with its answer at the latest."""
    conn.sendall(
        request_bytes("POST", CHAT, [("content-type", "application/json")], json.dumps(chat("hello")).encode())
    )
    head = b""
    while b"\r\n" not in head:
        head += conn.recv(65536)


def resumed(port, context):
    """Whether a second connection takes up the session of the first, when the client offers it."""
    with connect(port, context) as first:
        ask(first)
        session = first.session
    with connect(port, context, session) as second:
        ask(second)
        return second.session_reused


def test_no_session_is_resumed_so_every_connection_proves_its_certificate(optional):
    assert not resumed(optional.stack.port, context_of(optional.stack, optional.workload))
    assert not resumed(optional.stack.port, context_of(optional.stack))


def test_without_client_certificates_a_session_may_be_resumed(stack):
    """There is nobody whom it could bring back; and it shows that the test above would notice."""
    assert resumed(stack.port, context_of(stack))


def test_a_certificate_that_runs_out_ends_on_the_open_connection(optional):
    """Envoy verified it at the handshake and does not look again; authz does, on every request."""
    lasts = dt.timedelta(seconds=8)  # a busy machine takes some of it for the first answer
    short = optional.stack.authority.issue("short", client=True, uri=SPIFFE, lasts=lasts)
    client = optional.client(short)
    body = json.dumps(chat("hello")).encode()
    wire = request_bytes("POST", CHAT, [("content-type", "application/json")], body)
    with client.open() as conn:

        def answer():
            conn.send(wire)
            return conn.answer()

        assert answer().status == 200
        last = until("the end of the certificate", lambda: (said := answer()).status != 200 and said, 30)
        assert (last.status, last.code) == (401, "credential_expired")
    assert not served(optional.client(short, "acme"))


# --- a real CA --------------------
@pytest.mark.slow
def test_workloads_of_a_real_pki_come_in_by_their_spiffe_ids(short_dir, upstreams, idp):
    """OpenBao's PKI engine issues, Envoy verifies, policy names; beside it a second CA is trusted, as in a rotation."""
    root = short_dir()
    with openbao.running(root) as bao:
        pki = openbao.Pki(bao, root)
        doors = Doors(short_dir(), upstreams, idp, ClientCertificates.REQUIRED)
        both = root / "clients.pem"
        both.write_text(pki.pem.read_text() + doors.stack.authority.pem.read_text())
        doors.stack.options.edge["tls"]["client_ca"] = str(both)
        with doors.stack:
            until("the keys of the issuer", lambda: "issuer_keys_changed" in doors.stack.logs())
            workload = pki.issue("bao-workload", SPIFFE)
            answer = doors.post(workload)
            assert answer.status == 200
            record = doors.stack.record(answer)
            assert (record["principal"], record["key_id"]) == ("workload", f"cert:{hashes(workload)[0][:16]}")
            bound = idp.token(cnf={"x5t#S256": hashes(workload)[1]})
            assert doors.post(workload, token=bound).status == 200
            # Renewed every few minutes, as agents do: the same name, another key, another certificate.
            renewed = pki.issue("bao-renewed", SPIFFE)
            assert doors.post(renewed).status == 200
            assert doors.post(renewed, token=bound).code == "credential_unbound"
            assert doors.post(pki.issue("bao-pinned", PINNED)).code == "credential_unbound"
            with pytest.raises(OSError, match="400"):
                pki.issue("bao-foreign", "spiffe://elsewhere/workload")
