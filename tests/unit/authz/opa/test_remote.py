"""An OPA server as evaluator: a bounded answer or a refusal, one try, a breaker before a server in need."""

import asyncio
import ssl
from dataclasses import replace

import orjson
import pytest

import rego
from authz.opa.evaluator import AwayError, BrokenError
from authz.opa.remote import Remote
from certs import Authority
from clocks import ManualClock
from gateway.tls import HopError
from opa_server import OpaServer

WHO = ("acme", "alice")


@pytest.fixture
def opa():
    with OpaServer() as server:
        yield server


def remote(url, clock=None, directory="", **changes):
    section = replace(rego.opa("", url=url, deadline_ms=2000), sources={}, **changes)
    return Remote(section, str(directory), clock or ManualClock())


async def ask(asked, document=b'{"a":1}'):
    try:
        return await asked.evaluate(document, WHO)
    finally:
        await asked.close()


async def test_the_document_is_posted_to_the_decision_of_the_package(opa):
    assert await ask(remote(opa.url)) == {"allow": True}
    ((path, body),) = opa.asked
    assert path == "/v1/data/ostiary/authz/decision?strict-builtin-errors=true"
    assert orjson.loads(body) == {"input": {"a": 1}}


async def test_no_result_is_an_undefined_decision(opa):
    opa.body = b"{}"
    assert await ask(remote(opa.url)) is None


BROKEN = {
    "garbage": (200, b"<html>", "did not answer JSON"),
    "a list": (200, b"[]", "did not answer JSON"),
    "nothing": (200, b"", "did not answer JSON"),
    "too much": (200, b'{"result":"' + b"x" * 70_000 + b'"}', "more than 65536 bytes"),
    "an evaluation that failed": (500, b'{"code":"internal_error","message":"input was hunter2"}', "evaluation failed"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_an_answer_that_is_no_decision_is_the_policys_fault(opa, case):
    opa.status, opa.body, cause = BROKEN[case]
    with pytest.raises(BrokenError, match=cause) as caught:
        await ask(remote(opa.url))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500, 502, 503])
async def test_a_server_that_does_not_decide_is_away(opa, status):
    opa.status, opa.body = status, b"no"
    with pytest.raises(AwayError, match=str(status)):
        await ask(remote(opa.url))
    assert len(opa.asked) == 1  # neither repeated nor followed


async def test_a_server_that_hangs_up_is_away_and_not_asked_twice(opa):
    opa.hangs_up = True
    with pytest.raises(AwayError, match="did not answer"):
        await ask(remote(opa.url))
    assert len(opa.asked) == 1


async def test_a_server_that_is_not_there_is_away(opa):
    opa.__exit__()
    with pytest.raises(AwayError, match="did not answer"):
        await ask(remote(opa.url))


async def test_a_silent_server_is_away_when_the_deadline_passes(opa):
    opa.silent = True
    with pytest.raises(AwayError, match="did not answer"):
        await ask(remote(opa.url, deadline_ms=50))


async def test_a_server_that_keeps_failing_is_left_alone_and_tried_again(opa):
    clock = ManualClock()
    asked = remote(opa.url, clock)
    opa.status = 503
    for _ in range(5):
        with pytest.raises(AwayError, match="503"):
            await asked.evaluate(b"{}", WHO)
    with pytest.raises(AwayError, match="left alone"):
        await asked.evaluate(b"{}", WHO)
    assert len(opa.asked) == 5
    opa.status = 200
    clock.advance(0.6)
    assert await ask(asked) == {"allow": True}


async def leave(asked, opa, clock, after_s, times=5):
    """Ask a silent server, and hang up after a while."""
    for _ in range(times):
        sent = len(opa.asked)
        waiting = asyncio.ensure_future(asked.evaluate(b"{}", WHO))
        while len(opa.asked) == sent and not waiting.done():
            await asyncio.sleep(0)
        clock.advance(after_s)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_waiters_whose_deadline_passed_count_as_failures(opa):
    opa.silent, clock = True, ManualClock()
    asked = remote(opa.url, clock)
    await leave(asked, opa, clock, 1.99)  # the deadline around it is started a moment earlier
    with pytest.raises(AwayError, match="left alone"):
        await ask(asked)


async def test_clients_that_hang_up_at_once_shut_the_server_to_nobody(opa):
    opa.silent, clock = True, ManualClock()
    asked = remote(opa.url, clock)
    await leave(asked, opa, clock, 0.0, times=20)
    opa.silent = False
    assert await ask(asked) == {"allow": True}


async def test_a_probe_whose_client_hangs_up_makes_room_for_another(opa):
    clock = ManualClock()
    asked = remote(opa.url, clock)
    opa.status = 503
    for _ in range(5):
        with pytest.raises(AwayError, match="503"):
            await asked.evaluate(b"{}", WHO)
    clock.advance(0.6)
    opa.status, opa.silent = 200, True
    await leave(asked, opa, clock, 0.0, times=1)
    opa.silent = False
    assert await ask(asked) == {"allow": True}


async def test_rego_that_fails_opens_no_circuit(opa):
    asked = remote(opa.url)
    opa.status, opa.body = BROKEN["an evaluation that failed"][:2]
    for _ in range(6):
        with pytest.raises(BrokenError):
            await asked.evaluate(b"{}", WHO)
    opa.status, opa.body = 200, b'{"result":1}'
    assert await ask(asked) == 1


# --- TLS ---------------------------------------------------------------------------------------------


@pytest.fixture
def mutual(tmp_path):
    """A server that asks for a client certificate, and the authority of both."""
    authority = Authority(tmp_path)
    leaf = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(leaf.cert, leaf.key)
    context.load_verify_locations(authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    with OpaServer(context) as server:
        yield authority, server


async def test_both_sides_show_a_certificate(mutual, tmp_path):
    authority, server = mutual
    own = authority.issue("gateway", client=True)
    files = {"ca_file": authority.pem.name, "cert_file": own.cert.name, "key_file": own.key.name}
    assert await ask(remote(server.url, directory=tmp_path, **files)) == {"allow": True}


async def test_a_server_of_another_authority_is_not_asked(mutual, tmp_path):
    _, server = mutual
    stranger = Authority(tmp_path / "other", "other")
    with pytest.raises(AwayError, match="did not answer"):
        await ask(remote(server.url, directory=tmp_path, ca_file=str(stranger.pem)))
    assert server.asked == []


async def test_certificates_that_cannot_be_read_are_told_when_it_is_built(tmp_path):
    with pytest.raises(HopError):
        remote("https://127.0.0.1:1", directory=tmp_path, ca_file="missing.pem")


@pytest.mark.slow
@pytest.mark.integration
async def test_a_real_server_decides():
    with rego.server() as url:
        rego.put(
            url,
            "policies/test",
            'package ostiary.authz\n\ndecision := {"allow": input.caller.tenant == "acme"}\n',
            "text/plain",
        )
        asked = remote(url)
        assert await asked.evaluate(b'{"caller":{"tenant":"acme"}}', WHO) == {"allow": True}
        assert await ask(asked, b'{"caller":{"tenant":"globex"}}') == {"allow": False}
