"""Taking credentials back on a running gateway of four workers: at the door, in streams, after restarts and losses."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time

import httpx
import openai
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import provider
import valkey_server
from asking import CHAT, MODEL, chat, stream_errors, told
from control.edge.spec import ClientCertificates
from gateway import contract
from gateway.registry import valkey
from gateway.revocation.mark import What, name_of_token
from idp import Idp
from rawhttp import RawClient, request_bytes
from revoking import Operator
from stack import ROOT, Options, Stack, until
from upstream import Gate

WORKERS = 4
#: What a worker believes without word from its registry; short, so that the test of an outage ends soon.
MAX_AGE_S = 2
WORDS = "words and more words. "


@pytest.fixture(scope="module")
def idp():
    with Idp("ES256") as running:
        yield running


class House:
    """A stack, its Valkey, which keeps what it was told, and an operator."""

    def __init__(self, root, upstreams, idp, **options):
        self.root = root
        self.upstream = upstreams["main"]
        self.idp = idp
        self.url = f"unix://{root / valkey_server.SOCKET}"
        self.stack = Stack(root, upstreams, Options(settings={"OSTIARY_VALKEY_URL": self.url}, **options))
        directory = self.stack.bundle.directory
        issuer = {"issuer": idp.url, "audiences": ["llm"], "algorithms": ["ES256"], "tenant": "acme"}
        (directory / "issuers.yaml").write_text(json.dumps({"idp": issuer}))
        rules = orjson.loads((directory / "policy.yaml").read_bytes())
        (directory / "policy.yaml").write_bytes(orjson.dumps(rules | {"revocation_max_age_s": MAX_AGE_S}))
        self.operator = Operator(self.stack, self.url)
        self.server = None

    @contextlib.contextmanager
    def open(self):
        with contextlib.ExitStack() as servers:
            self.start_valkey(servers)
            with self.stack:
                workers = self.stack.options.workers
                until("the keys of the issuer", lambda: self.stack.logs().count("issuer_keys_changed") >= workers)
                yield self
                assert "Traceback" not in self.stack.logs()
                assert "task_crashed" not in self.stack.logs()

    def start_valkey(self, servers):
        started = valkey_server.running(self.root, "--appendonly", "yes", "--appendfsync", "always")
        self.server = servers.enter_context(started).process

    def client(self, token="", key="acme", pair=None):
        """A client of tenant acme: by its key, or by a token; with a certificate where one is given."""
        given = [("authorization", f"Bearer {token or self.stack.bundle.keys[key]}")]
        return RawClient(self.stack.port, self.stack.authority.pem, given, cert=(pair.cert, pair.key) if pair else None)

    @contextlib.contextmanager
    def talking(self, client):
        """A stream in the middle of its answer, and the provider's side of it."""
        marker = self.upstream.script(talk)
        with client.open() as conn:
            ask = orjson.dumps(chat(marker, stream=True))
            conn.send(request_bytes("POST", CHAT, [*client.headers, ("content-type", "application/json")], ask))
            assert b"words" in conn.wait_for(b"words")
            yield conn, self.upstream.one(marker)

    def refused_everywhere(self, client):
        """Until every worker refuses it."""

        def refused(answer):
            return answer.status == 401 and answer.code == "credential_revoked"

        self.stack.everywhere("a refusal", lambda: client.post(CHAT, chat("hello")), refused)

    def let_in_everywhere(self, client):
        self.stack.everywhere("consent", lambda: client.post(CHAT, chat("hello")), lambda answer: answer.status == 200)

    def welcome(self, client):
        return client.post(CHAT, chat("hello")).status == 200


async def talk(call):
    await call.head(200, [("content-type", "text/event-stream")])
    while True:
        await call.chunk(provider.event(provider.delta(WORDS)))
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def opened(short_dir, upstreams, idp):
    tls = {"client_certificates": ClientCertificates.OPTIONAL}
    with House(short_dir(), upstreams, idp, workers=WORKERS, edge={"tls": tls}).open() as house:
        yield house


@pytest.fixture
def house(opened):
    yield opened
    opened.operator.lift_all()
    opened.let_in_everywhere(opened.client())


@pytest.fixture
def pair(house):
    return house.stack.authority.issue("revoked", client=True, uri="spiffe://test/revoked")


def fingerprint(pair):
    der = x509.load_pem_x509_certificate(pair.cert.read_bytes()).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def wishes(house, pair):
    """For each kind: what to revoke, a client whom it concerns, and a client whom it does not."""
    token = house.idp.token(sub="svc-9", client_id="batch", jti="first")
    again = house.idp.token(sub="svc-9", client_id="batch", jti="second")
    other = house.idp.token(sub="svc-8", client_id="other", jti="third")
    return {
        "key": ((What.KEY, "", house.stack.bundle.ids["acme"]), {}, {"token": token}),
        "token": ((What.KEY, "", name_of_token(house.idp.url, "first")), {"token": token}, {"token": again}),
        "subject": ((What.SUBJECT, "acme", "svc-9"), {"token": token}, {"token": other}),
        "client": ((What.CLIENT, "acme", "batch"), {"token": token}, {"token": other}),
        "tenant": ((What.TENANT, "acme", ""), {"token": token}, {"key": "watched"}),
        "certificate": ((What.CERTIFICATE, "", fingerprint(pair)), {"pair": pair}, {}),
    }


@pytest.mark.parametrize("kind", ["key", "token", "subject", "client", "tenant", "certificate"])
def test_each_kind_cuts_what_runs_refuses_what_is_new_and_concerns_nobody_else(house, pair, kind):
    mark, concerned, spared = wishes(house, pair)[kind]
    client, other = house.client(**concerned), house.client(**spared)
    assert house.welcome(client)
    with house.talking(client) as (conn, provided), house.talking(other) as (going_on, still):
        entry = house.operator.revoke(*mark)
        answer = conn.answer()
        provided.gone.wait()
        assert (answer.status, answer.ended) == (200, "complete")
        assert stream_errors(answer.body) == ["credential_revoked"]
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert told(answer.body).startswith(WORDS)
        assert b"leaked" not in answer.body
        record = house.stack.record(answer)
        assert (record["outcome"], record["code"]) == ("cut", "credential_revoked")
        assert record["reason"] == f"{entry.mark}: leaked"
        house.refused_everywhere(client)
        assert house.welcome(other)
        sent = still.chunks_sent
        until("the other stream to go on", lambda: still.chunks_sent > sent + 3)
        assert not still.gone.is_open
        going_on.abort()
    house.operator.lift(entry.mark)
    house.let_in_everywhere(client)


def test_a_refused_request_is_recorded_with_mark_and_reason_and_told_neither(house):
    house.operator.revoke(What.SUBJECT, "acme", "acme-ci", reason="ticket 4711")
    house.refused_everywhere(house.client())
    answer = house.client().post(CHAT, chat("hello"))
    assert answer.header(contract.SHOULD_RETRY_HEADER) == "false"
    assert b"4711" not in answer.body
    record = house.stack.record(answer)
    assert (record["writer"], record["code"]) == ("authz", "credential_revoked")
    assert record["reason"] == "subject:acme/acme-ci: ticket 4711"


def test_the_sdk_raises_its_own_error_out_of_a_cut_stream(house):
    context = ssl.create_default_context(cafile=str(house.stack.authority.pem))
    marker = house.upstream.script(talk)
    token = house.idp.token(sub="svc-sdk", jti="sdk")
    heard = []

    def listen(sdk):
        messages = [{"role": "user", "content": marker}]
        for chunk in sdk.chat.completions.create(model=MODEL, messages=messages, stream=True):
            if chunk.choices[0].delta.content and not heard:
                heard.append(chunk)
                house.operator.revoke(What.SUBJECT, "acme", "svc-sdk")

    with openai.OpenAI(
        base_url=f"https://localhost:{house.stack.port}/v1",
        api_key=token,
        max_retries=0,
        http_client=httpx.Client(verify=context),
    ) as sdk:
        with pytest.raises(openai.APIError) as caught:
            listen(sdk)
        assert caught.value.code == "credential_revoked"
        house.refused_everywhere(house.client(token))
        with pytest.raises(openai.AuthenticationError):
            listen(sdk)
    house.upstream.one(marker).gone.wait()


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_waits_for_its_provider_is_refused_and_the_provider_is_left(house, stream):
    async def stall(call):
        arrived.open()
        await call.until_gone()

    arrived = Gate()
    marker = house.upstream.script(stall)
    client = house.client(house.idp.token(sub=f"svc-wait-{stream}"))
    with client.open() as conn:
        ask = orjson.dumps(chat(marker, stream=stream))
        conn.send(request_bytes("POST", CHAT, [*client.headers, ("content-type", "application/json")], ask))
        arrived.wait()
        house.operator.revoke(What.SUBJECT, "acme", f"svc-wait-{stream}")
        answer = conn.answer()
    house.upstream.one(marker).gone.wait()
    assert (answer.status, answer.code, answer.ended) == (401, "credential_revoked", "complete")
    record = house.stack.record(answer)
    assert (record["outcome"], record["status"], record["code"]) == ("refused", 401, "credential_revoked")


def test_a_json_answer_that_is_gathered_is_withheld(house):
    async def half(call):
        body = orjson.dumps(provider.chat("half of it is here"))
        await call.head(200, [("content-type", "application/json")], length=len(body))
        await call.raw(body[:40])
        arrived.open()
        await call.until_gone()

    arrived = Gate()
    marker = house.upstream.script(half)
    client = house.client(house.idp.token(sub="svc-half"))
    with client.open() as conn:
        ask = orjson.dumps(chat(marker))
        conn.send(request_bytes("POST", CHAT, [*client.headers, ("content-type", "application/json")], ask))
        arrived.wait()
        house.operator.revoke(What.SUBJECT, "acme", "svc-half")
        answer = conn.answer()
    house.upstream.one(marker).gone.wait()
    assert (answer.status, answer.code) == (401, "credential_revoked")
    assert b"half" not in answer.raw


def test_only_tokens_that_were_issued_earlier_are_concerned(house):
    now_s = int(time.time())
    old = house.client(house.idp.token(sub="svc-age", jti="old", iat=now_s - 10))
    young = house.client(house.idp.token(sub="svc-age", jti="young", iat=now_s))
    house.operator.revoke(What.SUBJECT, "acme", "svc-age", issued_before=now_s)
    house.refused_everywhere(old)
    assert all(house.welcome(young) for _ in range(2 * WORKERS))


def test_a_message_that_was_lost_is_made_good_by_the_poll(house, monkeypatch):
    client = house.client(house.idp.token(sub="svc-lost"))
    assert house.welcome(client)
    monkeypatch.setattr(valkey, "CHANNEL", "nobody-listens-here")
    with house.talking(client) as (conn, _):
        house.operator.revoke(What.SUBJECT, "acme", "svc-lost")
        assert stream_errors(conn.answer().body) == ["credential_revoked"]
    house.refused_everywhere(client)
    assert "registry_went_back" not in house.stack.logs()


@pytest.mark.slow
def test_it_survives_a_restart_of_the_workers_and_of_valkey(short_dir, upstreams, idp):
    with contextlib.ExitStack() as servers, House(short_dir(), upstreams, idp, workers=2).open() as house:
        entry = house.operator.revoke(What.KEY, "", house.stack.bundle.ids["acme"])
        house.refused_everywhere(house.client())
        house.server.terminate()
        house.server.wait(20)
        for index in range(2):
            assert house.stack.workers[index].end()
        house.start_valkey(servers)
        for index in range(2):
            house.stack.start_worker(index)
        until("Envoy's way back", lambda: house.client(key="watched").post(CHAT, chat("hello")).status == 200)
        assert {house.client().post(CHAT, chat("hello")).status for _ in range(8)} == {401}
        house.operator.lift(entry.mark)
        until("the way back", lambda: house.welcome(house.client()))


@pytest.mark.slow
def test_without_word_from_the_registry_nobody_comes_in_and_nothing_that_runs_is_cut(short_dir, upstreams, idp):
    running = House(short_dir(), upstreams, idp, workers=2)
    with running.open() as house, house.talking(house.client()) as (conn, provided):
        os.kill(house.server.pid, signal.SIGSTOP)
        try:
            # By both workers, whose last words from the registry are up to a poll apart.
            house.stack.everywhere(
                "a refusal",
                lambda: house.client().post(CHAT, chat("hello")),
                lambda answer: answer.status == 503 and answer.code == "revocations_unavailable",
            )
            answer = house.client().post(CHAT, chat("hello"))
            assert answer.status == 503
            assert answer.header("retry-after")
            sent = provided.chunks_sent
            until("the stream to go on", lambda: provided.chunks_sent > sent + 10)
            assert not provided.gone.is_open
        finally:
            os.kill(house.server.pid, signal.SIGCONT)
        until("the way back", lambda: house.welcome(house.client()))
        conn.abort()


@pytest.mark.slow
def test_an_operator_revokes_and_lifts_from_the_command_line(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=2, control=True)) as stack:
        until("the way in", lambda: stack.client().post(CHAT, chat("hello")).status == 200)
        key_id = stack.bundle.ids["acme"]

        def ostiary(*words):
            asked = [sys.executable, "-m", "ostiary.cli", "revoke", *words]
            common = ["--socket", str(stack.operator_socket), "--actor", "ada"]
            done = subprocess.run([*asked, *common], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
            return done.stdout

        assert f"Revoked: key:{key_id}" in ostiary("key", key_id, "--reason", "ticket 4711", "--for", "1h")
        until("the refusal", lambda: stack.client().post(CHAT, chat("hello")).code == "credential_revoked")
        assert "ticket 4711" in ostiary("list")
        ostiary("lift", f"key:{key_id}", "--reason", "a mistake")
        until("the way back", lambda: all(stack.client().post(CHAT, chat("hello")).status == 200 for _ in range(4)))

        def by_control():
            found = [one for one in stack.audit() if one["writer"] == "control"]
            return found[:2] if len(found) >= 2 else None

        records = until("both records", by_control)
        assert [(one["method"], one["principal"], one["reason"], one["key_id"]) for one in records] == [
            ("revocation.create", "ada", "ticket 4711", key_id),
            ("revocation.lift", "ada", "a mistake", key_id),
        ]
