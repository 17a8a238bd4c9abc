"""Opaque tokens: asked about once, remembered apart, and never a hammer for whoever invents them."""

import asyncio
import base64
import json
import time
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from structlog.testing import capture_logs

from authz import introspect
from authz.identified import Identified
from authz.introspect import Inquirer
from authz.means import Opaque
from authz_case import POLICY
from clocks import ManualClock
from gateway import fetch
from gateway.errors import GatewayError, Kind
from gateway.fetch import FetchError, StatusError
from gateway.policy.model import Introspector
from token_server import CLIENT, SECRET, TokenServer

ENTRY = Introspector(
    name="corp",
    tenant="acme",
    endpoint="https://login.example.com/introspect",
    client_id="gateway",
    secret_file="corp.secret",
)
GOOD = {"active": True, "sub": "svc-1", "client_id": "batch", "token_type": "Bearer"}


class Server:
    """A line whose server knows `tokens`; `fault` is raised instead, `gate` holds answers back."""

    def __init__(self):
        self.tokens = {}
        self.fault = None
        self.body = None
        self.asked = []
        self.headers = []
        self.now = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = False

    async def post(self, headers, content, max_bytes, deadline_s):
        (token,) = parse_qs(content.decode())["token"]
        self.asked.append(token)
        self.headers.append(headers)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
        finally:
            self.now -= 1
        if self.fault:
            raise self.fault
        return self.body or json.dumps(self.tokens.get(token, {"active": False})).encode()

    async def close(self):
        self.closed = True


class Rig:
    def __init__(self, directory, *entries, remembered=introspect.REMEMBERED):
        self.directory = directory
        self.clock = ManualClock()
        self.servers = {}
        self.inquirer = Inquirer(self.dial, self.clock, remembered=remembered)
        self.follow(*(entries or (ENTRY,)))

    def dial(self, endpoint, ca_file):
        return self.servers.setdefault((endpoint, ca_file), Server())

    def follow(self, *entries):
        self.entries = entries
        self.policy = replace(POLICY, introspectors={entry.name: entry for entry in entries})
        self.inquirer.follow(entries, str(self.directory))

    @property
    def server(self):
        return self.servers[(ENTRY.endpoint, None)]

    def look(self, text):
        return self.inquirer.check(text, self.policy, self.clock.now())

    async def check(self, text):
        """What authz does: look, ask once if that is needed, look again."""
        found = self.look(text)
        if isinstance(found, Opaque) and await self.inquirer.ask(found):
            found = self.look(text)
        return found


@pytest.fixture
async def rig(tmp_path):
    secret = tmp_path / "corp.secret"
    secret.touch(0o600)
    secret.write_text("pass:word\n")
    made = Rig(tmp_path)
    made.server.tokens["good"] = GOOD
    yield made
    await made.inquirer.close()


def cause(found) -> str:
    assert isinstance(found, GatewayError), found
    return found.cause


async def settle():
    for _ in range(30):
        await asyncio.sleep(0)


async def under_way(rig, count):
    """Until the server has so many questions; the first one waits for a thread that reads the secret."""
    while rig.server.now < count:
        await asyncio.sleep(0)


# --- asking ----
async def test_a_good_token_is_asked_about_once(rig):
    for _ in range(3):
        found = await rig.check("good")
        assert isinstance(found, Identified)
        assert (found.tenant, found.principal, found.method) == ("acme", "svc-1", "opaque")
    assert rig.server.asked == ["good"]


async def test_the_gateway_shows_its_own_credentials_form_encoded(rig):
    await rig.check("good")
    (headers,) = rig.server.headers
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"gateway:pass%3Aword"
    assert headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_bad_token_is_refused_like_any_bad_token(rig):
    for _ in range(3):
        found = await rig.check("bad")
        assert found.kind is Kind.CREDENTIAL_INVALID
        assert cause(found) == "token: not active (corp)"
    assert rig.server.asked == ["bad"]


async def test_a_token_of_another_audience_is_refused_and_remembered_as_that(rig):
    rig.follow(replace(ENTRY, audiences=frozenset({"llm"})))
    assert cause(await rig.check("good")) == "token: not for this audience (corp)"
    assert cause(rig.look("good")) == "token: not for this audience (corp)"


async def test_requests_with_one_token_share_one_question(rig):
    rig.server.gate.clear()
    asking = [asyncio.ensure_future(rig.check("good")) for _ in range(5)]
    await under_way(rig, 1)
    rig.server.gate.set()
    assert all(isinstance(found, Identified) for found in await asyncio.gather(*asking))
    assert rig.server.asked == ["good"]


async def test_an_answer_that_comes_too_late_for_its_request_counts_for_the_next(rig):
    rig.server.gate.clear()
    token = rig.look("good")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await rig.inquirer.ask(token)
    rig.server.gate.set()
    while rig.inquirer._servers[ENTRY].flights:
        await asyncio.sleep(0)
    assert isinstance(rig.look("good"), Identified)
    assert rig.server.asked == ["good"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x" * 8193, "token: too large (corp)"),
        ("two words", "token: characters that no token has (corp)"),
        ("gr\xfcn", "token: characters that no token has (corp)"),
        ("a=b", "token: characters that no token has (corp)"),
    ],
)
async def test_what_can_be_no_token_is_not_asked_about(rig, text, why):
    assert cause(await rig.check(text)) == why
    assert rig.server.asked == []


# --- whom to ask ----
async def test_the_longest_prefix_decides_who_is_asked(rig, tmp_path):
    other = replace(ENTRY, name="other", endpoint="https://other.example/i", token_prefix="ot_", tenant="narrow")
    rig.follow(ENTRY, other)
    rig.servers[(other.endpoint, None)].tokens["ot_1"] = GOOD
    assert (await rig.check("ot_1")).tenant == "narrow"
    assert (await rig.check("good")).tenant == "acme"
    assert rig.server.asked == ["good"]


async def test_without_an_entry_for_the_rest_other_tokens_are_not_known(rig):
    rig.follow(replace(ENTRY, token_prefix="at_"))
    assert rig.inquirer.knows("at_1", rig.policy)
    assert not rig.inquirer.knows("good", rig.policy)
    assert not rig.inquirer.knows("good", POLICY)


# --- memory ----
async def test_an_answer_counts_as_long_as_the_entry_says(rig):
    await rig.check("good")
    rig.server.tokens.clear()  # revoked there
    rig.clock.advance(29.9)
    assert isinstance(await rig.check("good"), Identified)
    rig.clock.advance(0.2)
    assert cause(await rig.check("good")) == "token: not active (corp)"


async def test_an_answer_counts_no_longer_than_the_token(rig):
    rig.server.tokens["short"] = {**GOOD, "exp": rig.clock.now() + 40}
    await rig.check("short")
    rig.clock.advance(9.9)
    await rig.check("short")
    assert len(rig.server.asked) == 1
    rig.clock.advance(0.2)
    await rig.check("short")
    assert len(rig.server.asked) == 2


async def test_a_token_in_its_last_seconds_is_not_asked_about_each_time(rig):
    rig.server.tokens["last"] = {**GOOD, "exp": rig.clock.now() + 1}
    for _ in range(5):
        assert isinstance(await rig.check("last"), Identified)
    assert len(rig.server.asked) == 1


async def test_a_refusal_is_forgotten_after_a_while(rig):
    await rig.check("late")
    rig.server.tokens["late"] = GOOD
    rig.clock.advance(9.9)
    assert isinstance(await rig.check("late"), GatewayError)
    rig.clock.advance(0.2)
    assert isinstance(await rig.check("late"), Identified)


async def test_bad_tokens_evict_no_good_ones(rig):
    await rig.check("good")
    for number in range(2000):
        rig.clock.advance(0.02)  # slow enough to be asked about each
        await rig.check(f"bad-{number}")
        if number in {999, 1999}:
            await rig.check("good")
    assert rig.server.asked.count("good") == 2  # 20 s later still known; the second time its answer had grown old


async def test_memory_is_bounded(tmp_path, rig, monkeypatch):
    monkeypatch.setattr(introspect, "_REMEMBERED_BAD", 5)
    small = Rig(tmp_path, remembered=5)
    for number in range(20):
        small.server.tokens[f"good-{number}"] = GOOD
        await small.check(f"good-{number}")
        await small.check(f"bad-{number}")
    assert len(small.inquirer._good) == 5
    assert len(small.inquirer._bad) == 5
    await small.inquirer.close()


async def test_memory_holds_no_token_and_repr_shows_none(rig):
    await rig.check("good")
    await rig.check("bad-canary")
    told = repr((rig.inquirer._good, rig.inquirer._bad, rig.look("unseen-canary"), rig.inquirer._servers))
    assert "canary" not in told
    assert "good" not in told.replace("_Good", "")
    assert "pass:word" not in told


async def test_another_policy_for_the_entry_asks_again(rig):
    await rig.check("good")
    rig.follow(replace(ENTRY, clients=frozenset({"chat"})))
    assert cause(await rig.check("good")) == "token: client is not allowed (corp)"
    rig.follow(ENTRY)
    assert isinstance(await rig.check("good"), Identified)
    assert len(rig.server.asked) == 3


async def test_an_unchanged_entry_survives_a_reload(rig):
    await rig.check("good")
    rig.follow(replace(ENTRY))
    await rig.check("good")
    assert rig.server.asked == ["good"]


async def test_the_line_of_a_dropped_entry_is_closed(rig):
    server = rig.server
    rig.follow()
    await settle()
    assert server.closed


# --- failures ----
FAILURES = {
    "timeout": (FetchError("no answer within 0.1 s"), "introspection: no answer within 0.1 s (corp)"),
    "no connection": (FetchError("failed: ConnectError"), "introspection: failed: ConnectError (corp)"),
    "401": (StatusError(401), "introspection: answered 401 (corp)"),
    "500": (StatusError(500), "introspection: answered 500 (corp)"),
    "a bug": (RuntimeError("good"), "introspection: RuntimeError (corp)"),
}


@pytest.mark.parametrize(("fault", "why"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_told_as_that_and_not_remembered_as_a_verdict(rig, fault, why):
    rig.server.fault = fault
    with capture_logs() as logs:
        found = await rig.check("good")
    assert (found.kind, found.cause) == (Kind.ISSUER_UNAVAILABLE, why)
    assert [line["event"] for line in logs] == ["introspection_failed"]
    rig.server.fault = None
    assert isinstance(await rig.check("good"), GatewayError)  # callers were told to wait a second
    rig.clock.advance(1)
    assert isinstance(await rig.check("good"), Identified)


async def test_garbage_is_a_failure(rig):
    rig.server.body = b"<html>"
    found = await rig.check("good")
    assert (found.kind, found.cause) == (Kind.ISSUER_UNAVAILABLE, "introspection: not a JSON object (corp)")


async def test_a_secret_that_cannot_be_read_is_a_failure_that_tells_callers_no_path(rig):
    (rig.directory / "corp.secret").chmod(0o644)
    with capture_logs() as logs:
        assert cause(await rig.check("good")) == "introspection: secret unreadable (corp)"
    assert "corp.secret has mode 0644" in logs[0]["cause"]


async def test_a_new_secret_counts_after_a_401(rig):
    await rig.check("good")
    (rig.directory / "corp.secret").write_text("new")
    rig.server.fault = StatusError(401)
    await rig.check("another")
    rig.server.fault = None
    rig.clock.advance(1)
    await rig.check("another")
    assert base64.b64decode(rig.server.headers[-1]["authorization"].removeprefix("Basic ")) == b"gateway:new"


async def open_circuit(rig):
    rig.server.fault = StatusError(503)
    for number in range(5):
        await rig.check(f"t{number}")


async def test_a_server_that_fails_is_left_alone_for_a_while(rig):
    await rig.check("good")
    await open_circuit(rig)
    asked = len(rig.server.asked)
    for number in range(100):
        assert cause(rig.look(f"u{number}")) == "introspection: circuit open (corp)"
    assert isinstance(rig.look("good"), Identified)  # what is remembered still counts
    assert len(rig.server.asked) == asked


async def test_one_probe_finds_out_that_the_server_is_back(rig):
    await open_circuit(rig)
    rig.clock.advance(1)
    rig.server.fault = None
    rig.server.gate.clear()
    probe = asyncio.ensure_future(rig.check("good"))
    await under_way(rig, 1)
    assert cause(rig.look("other")) == "introspection: circuit open (corp)"
    with capture_logs() as logs:
        rig.server.gate.set()
        assert isinstance(await probe, Identified)
    assert [line["event"] for line in logs] == ["introspection_back"]
    assert isinstance(rig.look("other"), Opaque)


@pytest.mark.parametrize("status", [400, 413, 414, 422, 431])
async def test_tokens_that_the_server_chokes_on_do_not_close_it_to_others(rig, status):
    rig.server.fault = StatusError(status)
    for number in range(20):
        assert cause(await rig.check(f"t{number}")) == f"introspection: answered {status} (corp)"
    rig.server.fault = None
    assert isinstance(await rig.check("good"), Identified)


# --- storms ----
async def test_a_storm_of_unknown_tokens_leaves_the_server_alone_and_known_ones_in(rig):
    await rig.check("good")
    for number in range(1000):
        await rig.check(f"bad-{number}")
    assert len(rig.server.asked) == 100
    assert cause(await rig.check("new")) == "introspection: too many unknown tokens (corp)"
    rig.clock.advance(30.1)
    for number in range(1000):
        await rig.check(f"more-{number}")
    assert isinstance(await rig.check("good"), Identified)  # its answer had grown old meanwhile


async def test_questions_at_a_time_are_bounded(rig):
    rig.server.gate.clear()
    asking = []
    for number in range(400):
        rig.clock.advance(0.02)
        asking.append(asyncio.ensure_future(rig.check(f"t{number}")))
        if number % 50 == 0:
            await settle()
    await under_way(rig, 16)
    await settle()
    assert rig.server.most == 16
    refused = [cause(one.result()) for one in asking if one.done()]
    assert refused == ["introspection: too many questions at a time (corp)"] * (400 - 256)
    rig.server.gate.set()
    assert len(await asyncio.gather(*asking)) == 400


async def test_closing_ends_what_is_under_way(rig):
    rig.server.gate.clear()
    asking = asyncio.ensure_future(rig.check("good"))
    await under_way(rig, 1)
    await rig.inquirer.close()
    assert isinstance(await asking, GatewayError)
    assert await rig.inquirer.ask(Opaque(ENTRY, "good")) is False


# --- a real server on loopback ----
@pytest.fixture
def loopback():
    with TokenServer() as running:
        yield running


@pytest.fixture
async def real(tmp_path, loopback):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    clock = ManualClock(now=time.time())
    inquirer = Inquirer(lambda url, ca_file: fetch.Line(url, ca_file, clock), clock)
    entry = replace(ENTRY, endpoint=loopback.url, client_id=CLIENT, secret_file="secret", deadline_ms=2000)
    rig = Rig.__new__(Rig)
    rig.directory, rig.clock, rig.inquirer = tmp_path, clock, inquirer
    rig.follow(entry)
    yield rig
    await inquirer.close()


async def test_a_real_server_is_asked_over_http(real, loopback):
    loopback.issue("tok_1")
    assert (await real.check("tok_1")).principal == "svc-1"
    assert cause(await real.check("tok_2")) == "token: not active (corp)"
    assert loopback.asked == ["tok_1", "tok_2"]
    assert loopback.refused == 0


BROKEN = {
    "garbage": ({"body": b"\x00\xff"}, "introspection: not a JSON object (corp)"),
    "no active": ({"body": b"{}"}, "introspection: no `active` (corp)"),
    "oversized": ({"body": b'{"active":true,"x":"' + b"x" * 70_000 + b'"}'}, "introspection: answered more than 65536 bytes (corp)"),
    "a redirect": ({"status": 307}, "introspection: answered 307 (corp)"),
    "an error": ({"status": 500}, "introspection: answered 500 (corp)"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "why"), BROKEN.values(), ids=BROKEN)
async def test_a_server_that_answers_nonsense_is_away(real, loopback, changes, why):
    loopback.issue("tok_1")
    for name, value in changes.items():
        setattr(loopback, name, value)
    found = await real.check("tok_1")
    assert (found.kind, found.cause) == (Kind.ISSUER_UNAVAILABLE, why)


async def test_a_server_that_hangs_meets_the_deadline(real, loopback):
    loopback.delay_s = 60
    real.follow(replace(real.entries[0], deadline_ms=50))
    assert cause(await real.check("tok_1")) == "introspection: no answer within 0.05 s (corp)"


async def test_a_wrong_secret_is_the_servers_401(real, loopback):
    (real.directory / "secret").write_text("wrong")
    assert cause(await real.check("tok_1")) == "introspection: answered 401 (corp)"
    (real.directory / "secret").write_text(SECRET)
    loopback.issue("tok_1")
    real.clock.advance(1)
    assert isinstance(await real.check("tok_1"), Identified)
