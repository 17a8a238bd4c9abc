"""What every evaluator promises: a value, nothing for what is undefined, and two kinds of failure."""

from dataclasses import replace

import pytest

import rego
from authz.opa.embedded import Embedded, Lanes
from authz.opa.evaluator import AwayError, BrokenError
from authz.opa.library import Engine
from authz.opa.remote import Remote
from clocks import ManualClock
from gateway.clock import SystemClock
from opa_server import OpaServer

pytestmark = rego.needs_library
WHO = ("acme", "alice")


@pytest.fixture
def server():
    with OpaServer() as server:
        yield server


def library(source):
    lanes = Lanes(SystemClock(), lanes=1)
    return Embedded(Engine(rego.opa(f"package ostiary.authz\n\n{source}\n")), lanes, 1.0), lanes.close


def remote(server, status, body):
    server.status, server.body = status, body
    return Remote(replace(rego.opa(), url=server.url, deadline_ms=1000), "", ManualClock()), lambda: None


@pytest.fixture(params=["library", "server"])
def pair(request, server):
    """Makes an evaluator for Rego that a server would answer so."""

    def make(source, status, body):
        return library(source) if request.param == "library" else remote(server, status, body)

    return make


async def test_a_value_is_a_value(pair):
    evaluator, done = pair('decision := {"allow": true}', 200, b'{"result":{"allow":true}}')
    assert await evaluator.evaluate(b"{}", WHO) == {"allow": True}
    await evaluator.close()
    done()


async def test_what_is_undefined_is_none(pair):
    evaluator, done = pair("decision := 1 if false", 200, b"{}")
    assert await evaluator.evaluate(b"{}", WHO) is None
    await evaluator.close()
    done()


async def test_an_evaluation_that_fails_is_broken(pair):
    failed = b'{"code":"internal_error","message":"error(s) occurred while evaluating query"}'
    evaluator, done = pair("decision := 1 / input.zero", 500, failed)
    with pytest.raises(BrokenError):
        await evaluator.evaluate(b'{"zero":0}', WHO)
    await evaluator.close()
    done()


async def test_one_that_was_closed_and_one_that_is_gone_are_away(server):
    evaluator, done = library("decision := 1")
    await evaluator.close()
    with pytest.raises(AwayError):
        await evaluator.evaluate(b"{}", WHO)
    done()
    gone, _ = remote(server, 200, b"{}")
    server.__exit__()
    with pytest.raises(AwayError):
        await gone.evaluate(b"{}", WHO)
    await gone.close()
