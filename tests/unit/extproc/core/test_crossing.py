"""Policy and translation know the same dialects, and a model is asked as policy says."""

import orjson
import pytest

from extproc.core.crossing import crossing, speaks
from extproc.providers.openai import DOORS
from extproc.translate.dialects import DIALECTS
from gateway.policy import endpoint
from gateway.policy.model import Backend, Model

CLAUDE = Backend(name="claude", host="claude.test", port=443, tls=True, dialect="anthropic")


def test_every_dialect_that_policy_may_name_can_be_translated():
    assert set(endpoint.DIALECTS) == set(DIALECTS)


@pytest.mark.parametrize(
    ("said", "thinking", "temperature"),
    [
        ({}, {"type": "adaptive"}, None),
        ({"thinking": "effort"}, {"type": "adaptive"}, None),
        ({"thinking": "budget", "max_output_tokens": 9000}, {"type": "enabled", "budget_tokens": 1024}, None),
        ({"thinking": "none", "sampling": True}, None, 0.5),
    ],
)
def test_a_model_is_told_to_think_as_policy_says_it_understands(said, thinking, temperature):
    way = crossing(DOORS["/v1/chat/completions"], Model(name="m", backend="claude", **said), CLAUDE)
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "reasoning_effort": "low",
        "temperature": 0.5,
    }
    sent = orjson.loads(way.request(orjson.dumps(body)).body)
    assert (sent.get("thinking"), sent.get("temperature")) == (thinking, temperature)
    assert sent["max_tokens"] == said.get("max_output_tokens", 4096)


@pytest.mark.parametrize(
    ("dialect", "own", "path"),
    [
        ("openai", True, None),
        ("openai", False, "/v1/chat/completions"),
        ("azure", True, "/openai/v1/chat/completions"),
        ("anthropic", True, "/v1/messages"),
        ("gemini", True, "/v1/models/m:generateContent"),
    ],
)
def test_responses_reach_every_chat_backend(dialect, own, path):
    backend = Backend(name="b", host="b.test", port=443, tls=True, dialect=dialect, responses=own)
    door = DOORS["/v1/responses"]
    way = crossing(door, Model(name="m", backend="b"), backend)
    assert speaks(door, backend)
    assert (None if way is None else way.request(b'{"model":"m","input":"Hi"}').path) == path


def test_chat_completions_do_not_ask_whether_responses_are_spoken():
    backend = Backend(name="b", host="b.test", port=443, tls=True, responses=False)
    assert crossing(DOORS["/v1/chat/completions"], Model(name="m", backend="b"), backend) is None
