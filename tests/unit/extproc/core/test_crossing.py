"""Policy and translation know the same dialects, and a model is asked as policy says."""

import orjson
import pytest

from extproc.core.crossing import crossing, denied, speaks, told_type
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
        ("openai", None, None),
        ("openai", True, None),
        ("openai", False, "/v1/chat/completions"),
        ("azure", True, "/openai/v1/responses"),
        ("azure", None, "/openai/v1/chat/completions"),
        ("anthropic", None, "/v1/messages"),
        ("gemini", None, "/v1/models/m:generateContent"),
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


NOVA = Backend(name="nova", host="nova.test", port=443, tls=True, dialect="bedrock")
SSE, FRAMES, JSON = "text/event-stream", "application/vnd.amazon.eventstream", "application/json"


def way(backend):
    return crossing(DOORS["/v1/chat/completions"], Model(name="m", backend=backend.name), backend)


@pytest.mark.parametrize(
    ("across", "kind", "told"),
    [
        (None, f"{SSE}; charset=utf-8", SSE),
        (None, FRAMES, FRAMES),
        (way(CLAUDE), SSE, SSE),
        (way(CLAUDE), FRAMES, FRAMES),
        (way(NOVA), FRAMES, SSE),
        (way(NOVA), f"{FRAMES.upper()} ; a=b", SSE),
        (way(NOVA), SSE, ""),
        (way(NOVA), JSON, JSON),
    ],
)
def test_only_what_a_backend_streams_is_told_as_a_stream(across, kind, told):
    assert told_type(across, kind) == told


def test_what_amazon_forbids_it_forbids_the_gateway():
    assert [denied(across, 403) for across in (None, way(CLAUDE), way(NOVA))] == [False, False, True]
    assert all(denied(across, 401) for across in (None, way(CLAUDE), way(NOVA)))
    assert not denied(way(NOVA), 400)


@pytest.mark.parametrize(("said", "temperature"), [({}, 0.5), ({"sampling": True}, 0.5), ({"sampling": False}, None)])
def test_a_model_behind_bedrock_is_told_how_to_draw_unless_policy_says_no(said, temperature):
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5}
    across = crossing(DOORS["/v1/chat/completions"], Model(name="m", backend="nova", **said), NOVA)
    sent = orjson.loads(across.request(orjson.dumps(asked)).body)
    assert sent.get("inferenceConfig", {}).get("temperature") == temperature
