"""A Check that runs into its deadline, through real Envoy: told as that and not as a missing policy; nothing goes on."""

import os
import signal

import orjson
import pytest

from asking import CHAT, chat
from control.edge.spec import Deadlines
from gateway.errors import Kind
from rawhttp import request_bytes
from stack import Options, Stack, until

pytestmark = pytest.mark.slow
#: Little time for a Check. For `inspect`, which sees Envoy's own reply too, all that a busy host may need.
DEADLINES = Deadlines(authz_ms=1000, message_ms=60_000)
ERRORS = "http.ostiary.ext_authz.ostiary.error"


@pytest.fixture(scope="module")
def hurried(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=1, edge={"deadlines": DEADLINES})) as running:
        yield running


def test_a_check_that_is_late_is_told_as_that_and_is_no_missing_policy(hurried):
    marker, client = hurried.upstream.script(), hurried.client()
    asked = request_bytes(
        "POST", CHAT, [*client.headers, ("content-type", "application/json")], orjson.dumps(chat(marker))
    )
    until("a gateway that serves", lambda: client.ask("GET", "/v1/models").status == 200)
    before = hurried.envoy_stats(ERRORS)[ERRORS]
    with client.open() as conn:
        os.kill(hurried.workers[0].pid, signal.SIGSTOP)
        try:
            conn.send(asked)
            until("the end of Envoy's patience", lambda: hurried.envoy_stats(ERRORS)[ERRORS] > before)
        finally:
            os.kill(hurried.workers[0].pid, signal.SIGCONT)
        answer = conn.answer()
    assert (answer.status, answer.code) == (504, Kind.DEADLINE_EXCEEDED)
    assert b"finish checking" in answer.body
    assert hurried.upstream.seen(marker) == []
