"""Tokens of clouds through real Envoy: accounts in a real OpenBao, a strict token endpoint, nothing of them left behind."""

import datetime as dt
import json
import secrets
import threading

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

import openbao_kept
import scanning
import vaulted
from asking import CHAT, chat
from clouds import CLIENT, Account, TokenEndpoint
from stack import Options, Stack, until

pytestmark = pytest.mark.slow
VERTEX = "/v1/projects/p/locations/europe-west4/publishers/google"
ACCOUNT, AZURE = "secret/data/llm/vertex", "secret/data/llm/azure"


def certificate_of(account):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(account.key.public_key())
    dated = builder.serial_number(7).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return dated.sign(account.key, hashes.SHA256())


class Clouds:
    """The vault's side and the endpoint's."""

    def __init__(self, bao, endpoint):
        self.bao = bao
        self.endpoint = endpoint
        self.approle = vaulted.prepare(bao)
        self.documents = []
        self.azure = Account()
        certificate = certificate_of(self.azure)
        endpoint.certificates.append(certificate)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode() + self.azure.pem
        bao.call(AZURE, {"data": {"certificate": self.pem}})
        self.new_account()

    def new_account(self):
        account = Account()
        self.endpoint.accounts[account.key_id] = account
        self.documents.append(account.document)
        self.bao.call(ACCOUNT, {"data": {"account": account.document}})
        return account

    def into_policy(self, directory):
        for name, text in (("role-id", self.approle.role_id), ("secret-id", self.approle.secret_id)):
            (directory / name).touch(0o600)
            (directory / name).write_text(text)
        root = json.loads((directory / "policy.yaml").read_text())
        (directory / "policy.yaml").write_text(json.dumps(root | {"vault": vaulted.section(self.bao.url)}))
        backends = json.loads((directory / "backends.yaml").read_text())
        hosts = {name: backends[name]["url"].rsplit("/", 1)[0] for name in ("main", "other")}
        place = {"path": ACCOUNT, "field": "account"}
        google = {"account": {"vault": place}, "token_url": self.endpoint.url}
        place = {"path": AZURE, "field": "certificate"}
        azure = {"client": CLIENT, "certificate": {"vault": place}, "token_url": self.endpoint.url}
        backends["vertex"] = {"url": hosts["main"] + VERTEX, "dialect": "gemini", "credential": {"google": google}}
        backends["azure"] = {"url": hosts["other"], "dialect": "azure", "credential": {"azure": azure}}
        (directory / "backends.yaml").write_text(json.dumps(backends))
        models = json.loads((directory / "models.yaml").read_text())
        more = {"on-vertex": {"backend": "vertex", "upstream_model": "gemini-theirs"}, "on-azure": "azure"}
        (directory / "models.yaml").write_text(json.dumps(models | more))


@pytest.fixture(scope="module")
def endpoint():
    with TokenEndpoint() as running:
        yield running


@pytest.fixture(scope="module")
def clouds(tmp_path_factory, endpoint):
    with openbao_kept.kept(tmp_path_factory.mktemp("bao")) as server:
        yield Clouds(server.bao, endpoint)


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams, clouds):
    with Stack(short_dir(), upstreams, Options(workers=1, policy=clouds.into_policy)) as running:
        yield running
        assert "Traceback" not in running.logs()


async def as_gemini(call):
    candidate = {"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}
    await call.json({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"})


def ask(gateway, model, marker):
    return gateway.client().post(CHAT, {**chat(f"hello {marker}"), "model": model})


def test_a_request_to_vertex_bears_a_token_had_by_the_account_of_the_vault(gateway, upstreams, endpoint):
    marker = upstreams["main"].script(as_gemini)
    answer = ask(gateway, "on-vertex", marker)
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    seen = upstreams["main"].one(marker)
    assert seen.target == f"{VERTEX}/models/gemini-theirs:generateContent"
    assert seen.header("authorization").removeprefix("Bearer ") in endpoint.given
    assert endpoint.refusals == []


def test_a_request_to_azure_bears_one_had_by_a_certificate(gateway, upstreams, endpoint):
    marker = upstreams["other"].script()
    assert ask(gateway, "on-azure", marker).status == 200
    seen = upstreams["other"].one(marker)
    assert seen.header("authorization").removeprefix("Bearer ") in endpoint.given
    assert seen.header("api-key") is None


def test_an_account_that_is_replaced_under_load_fails_no_request(gateway, upstreams, clouds, endpoint):
    upstream = upstreams["main"]
    marker, stop, statuses = upstream.script(as_gemini), threading.Event(), []

    def load():
        while not stop.is_set():
            statuses.append(ask(gateway, "on-vertex", marker).status)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until("some requests with the old token", lambda: len(upstream.seen(marker)) >= 10)
        count = len(endpoint.given)
        clouds.new_account()
        until("a token by the new account", lambda: len(endpoint.given) > count, 30)
        new = f"Bearer {endpoint.given[-1]}"
        sent = lambda: [seen.header("authorization") for seen in upstream.seen(marker)]  # noqa: E731
        until("requests with it", lambda: sent().count(new) >= 10)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert set(statuses) == {200}
    assert len(set(sent())) == 2
    assert endpoint.refusals == []


def test_while_the_endpoint_is_away_tokens_serve_on(gateway, upstreams, clouds, endpoint):
    endpoint.status = 503
    try:
        asked = endpoint.asked
        clouds.new_account()
        until("a question that failed", lambda: endpoint.asked > asked, 30)
        marker = upstreams["main"].script(as_gemini)
        assert ask(gateway, "on-vertex", marker).status == 200
    finally:
        count = len(endpoint.given)
        endpoint.status = 200
    until("a token again", lambda: len(endpoint.given) > count, 60)


def test_no_account_no_key_and_no_token_is_found_anywhere(gateway, upstreams, clouds, endpoint):
    marker = upstreams["main"].script(as_gemini)
    ask(gateway, "on-vertex", marker)
    lines = [line for text in (*clouds.documents, clouds.pem) for line in secret_lines(text)]
    hidden = [each.encode() for each in (*lines, *endpoint.given, clouds.approle.secret_id)]
    assert len(hidden) > 20
    found = scanning.places(gateway, {gateway.bundle.directory / "secret-id"})
    assert len(found) > 15
    assert [
        (place, number) for place, data in found.items() for number, each in enumerate(hidden) if each in data
    ] == []


def secret_lines(text):
    """The lines of base64 of a private key, wherever it stands."""
    if text.startswith("{"):
        text = orjson.loads(text)["private_key"]
    inside = text[text.index("BEGIN PRIVATE KEY") :].splitlines()[1:-1]
    return [line for line in inside if len(line) > 40]


def test_the_scan_finds_what_is_there(gateway):
    key = secrets.token_hex(16)
    (gateway.root / "left-behind").write_text(key)
    try:
        assert [place for place, data in scanning.places(gateway).items() if key.encode() in data]
    finally:
        (gateway.root / "left-behind").unlink()
