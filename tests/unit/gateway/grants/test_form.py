"""What token endpoints are asked: judged by a strict one, and what of their answers is believed."""

import datetime as dt
import json
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from clouds import CLIENT, Account, TokenEndpoint, fields_of, header_of
from gateway.grants import form
from gateway.grants.form import GrantError
from gateway.policy.model import Grant
from gateway.secrets.reference import Secret

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def account():
    return Account()


@pytest.fixture
def endpoint(account):
    made = TokenEndpoint()
    made.accounts[account.key_id] = account
    made._server.server_close()
    return made


def google(endpoint, **more):
    scope = "https://www.googleapis.com/auth/cloud-platform"
    return Grant(**{"kind": "google", "token_url": endpoint.url, "scope": scope, "proof": "account", **more})


def azure(endpoint, proof, **more):
    scope = "https://cognitiveservices.azure.com/.default"
    given = {"kind": "azure", "token_url": endpoint.url, "scope": scope, "client": CLIENT, "proof": proof}
    return Grant(**{**given, **more})


def certified(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate, certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_a_service_accounts_assertion_is_taken_by_a_strict_endpoint(endpoint, account):
    asked = form.ask(google(endpoint), Secret(account.document), time.time(), "u1")
    status, told = endpoint.answer(FORM, asked)
    assert (status, endpoint.refusals) == (200, [])
    token = form.token_of(json.dumps(told).encode())
    assert (token.secret.reveal(), token.lasts_s) == (endpoint.given[0], 3600)
    assert endpoint.given[0] not in repr(token)


def test_the_accounts_own_endpoint_is_not_believed(endpoint, account):
    fields = fields_of(form.ask(google(endpoint), Secret(account.document), time.time(), "u1"))
    assert "elsewhere" not in json.dumps(fields)


def test_a_client_secret_is_sent_as_microsoft_wants_it(endpoint):
    endpoint.client_secrets.add("s3cret~+ /&=ä"[:12])
    asked = form.ask(azure(endpoint, "secret"), Secret("s3cret~+ /&="), time.time(), "u1")
    assert endpoint.answer(FORM, asked)[0] == 200
    assert b"s3cret~+ /&=" not in asked, "encoded, or a secret could add fields"


def test_a_certificates_assertion_is_taken_once(endpoint, account):
    certificate, pem = certified(account.key)
    endpoint.certificates.append(certificate)
    for text, unique, status in (
        (pem + account.pem, "u1", 200),
        (account.pem + pem, "u1", 400),
        (pem + account.pem, "u2", 200),
    ):
        asked = form.ask(azure(endpoint, "certificate"), Secret(text), time.time(), unique)
        assert endpoint.answer(FORM, asked)[0] == status
    assert endpoint.refusals == ["seen"]
    assert header_of(fields_of(asked)["client_assertion"])["alg"] == "PS256"


@pytest.mark.parametrize("word", ["key", "claims", "time"])
def test_the_fake_is_strict_so_that_the_tests_above_can_fail(endpoint, account, word):
    grant, text, now = google(endpoint), account.document, time.time()
    if word == "key":
        stranger = Account(email=account.email, key_id=account.key_id)
        text = stranger.document
    elif word == "claims":
        grant = google(endpoint, scope="other")
    else:
        now -= 4000
    assert endpoint.answer(FORM, form.ask(grant, Secret(text), now, "u"))[0] == 400
    assert endpoint.refusals


def bad_accounts(account):
    good = json.loads(account.document)
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505  # must be refused
    curve = ec.generate_private_key(ec.SECP256R1())
    yield "not JSON"
    yield json.dumps([good])
    yield json.dumps({**good, "type": "authorized_user"})
    yield json.dumps({name: value for name, value in good.items() if name != "private_key_id"})
    yield json.dumps({**good, "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"})
    yield json.dumps({**good, "private_key": Account(key=small).pem})
    yield json.dumps({**good, "private_key": Account(key=curve).pem})


def test_what_is_no_service_account_is_refused_and_not_quoted(endpoint, account):
    for text in bad_accounts(account):
        with pytest.raises(GrantError) as refused:
            form.ask(google(endpoint), Secret(text), time.time(), "u")
        assert refused.value.__cause__ is None
        assert not any(line in str(refused.value) for line in text.splitlines() if len(line) > 12)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"])
def test_a_certificate_without_its_key_is_refused(endpoint, text):
    with pytest.raises(GrantError):
        form.ask(azure(endpoint, "certificate"), Secret(text), time.time(), "u")


GOOD = {"access_token": "ya29.abc", "token_type": "Bearer", "expires_in": 3600}


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": "a\r\nx-evil: 1"},
        {"access_token": "a b"},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": "a" * 16_385},
        {"token_type": "mac"},
        {"token_type": None},
        {"expires_in": 0},
        {"expires_in": True},
        {"expires_in": "3600s"},
        {"expires_in": None},
    ],
)
def test_an_answer_that_is_none_is_refused(change):
    with pytest.raises(GrantError):
        form.token_of(json.dumps(GOOD | change).encode())


def test_an_answer_is_bounded_and_no_json_is_refused():
    assert form.token_of(json.dumps(GOOD | {"expires_in": 10**9, "token_type": "bearer"}).encode()).lasts_s == 86_400
    for raw in (b"", b"[]", b"<html>"):
        with pytest.raises(GrantError):
            form.token_of(raw)
