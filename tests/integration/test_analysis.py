"""The real analysis process behind real Envoy: names are replaced before the provider hears them, or nobody hears them."""

import importlib.util
import json
import sys

import pytest

from gateway import contract
from ostiary import engines
from stack import START_S, Options, Stack, until

CHAT = "/v1/chat/completions"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in engines.NEEDS["ner"]),
        reason="the models come with `make analysis`",
    ),
]


def policy(directory):
    (directory / "advisers.yaml").write_text("names: {engine: ner, deadline_ms: 5000}\n")
    root = json.loads((directory / "policy.yaml").read_text())
    root["guards"]["request"]["pii.person"] = "redact"
    (directory / "policy.yaml").write_text(json.dumps(root))


@pytest.fixture
def running(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(policy=policy, workers=1)) as stack:
        yield stack


def analysing(stack):
    socket = stack.run_dir / contract.ANALYSIS_SOCKET
    command = [sys.executable, "-m", "ostiary.cli", "analyse", "--engines", "ner", "--socket", str(socket)]
    environ = {name: value for name, value in stack._environ(0).items() if not name.startswith("OSTIARY_")}
    child = stack._spawn("analysis", command, environ)
    until("analysis", socket.exists, START_S)
    return child


def say(stack, marker):
    """The marker stands beside the text: random letters may be read as somebody's name."""
    body = {
        "model": "gpt-test",
        "messages": [{"role": "user", "content": "Please write to Barack Obama about the weather."}],
        "metadata": {"run": marker},
    }
    return stack.client().post(CHAT, body)


def test_names_do_not_reach_the_provider_and_without_the_process_nothing_does(running, upstream):
    child = analysing(running)
    try:
        marker = upstream.script()
        assert say(running, marker).status == 200
        (heard,) = upstream.seen(marker)
        assert b"Obama" not in heard.body
        assert b"[PERSON]" in heard.body
        assert "Obama" not in child.log.read_text()
    finally:
        assert child.end()
    marker = upstream.script()
    answer = say(running, marker)
    assert (answer.status, answer.code) == (503, "advice_unavailable")
    assert not upstream.seen(marker)
