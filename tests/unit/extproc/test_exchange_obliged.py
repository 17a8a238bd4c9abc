"""Exchanges under obligations: models, a cap on output tokens, guards, as authz passes them on."""

import json
from dataclasses import replace

import pytest

import worlds
from extproc.core.commands import PassRequestBody
from extproc.core.events import RequestBody, ResponseChunk
from gateway.identity import Obligations
from gateway.policy.model import Action
from playbook import CHAT, MAIL, Play, answer_head, chat, completion, head

FLAGGED = {"request": worlds.settings(Action.FLAG), "response": worlds.settings(Action.FLAG)}


def asked(body, *, path=CHAT, held=None, **obligations):
    play = Play(held)
    caller = replace(worlds.CALLER, obligations=Obligations(**obligations), decision='{"allow":true,"cached":false}')
    play.give(head(path, caller=caller), RequestBody(body, end_of_stream=True))
    return play


def upstream_bytes(play):
    (passed,) = [command for command in play.commands if isinstance(command, PassRequestBody)]
    return passed.body


def code(play):
    return json.loads(play.commands[-1].rendered.body)["error"]["code"]


def test_a_model_outside_the_obligation_is_forbidden():
    play = asked(chat(), models=frozenset({"text-embedding-3-small"}))
    assert code(play) == "model_forbidden"
    assert play.record.reason == "obligation"


def test_an_obligation_never_widens_what_the_tenant_may_use():
    body = json.dumps({"model": "forbidden-model", "messages": [{"role": "user", "content": "x"}]}).encode()
    assert code(asked(body, models=frozenset({"forbidden-model"}))) == "model_forbidden"


def test_no_model_at_all_is_an_obligation_too():
    assert code(asked(chat(), models=frozenset())) == "model_forbidden"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o-mini"])
def test_the_list_of_models_shows_only_allowed_ones(path):
    play = Play()
    caller = replace(worlds.CALLER, obligations=Obligations(models=frozenset({"text-embedding-3-small"})))
    (answer,) = play.give(head(path, caller=caller, end=True, method="GET"))
    page = json.loads(answer.rendered.body)
    if path == "/v1/models":
        assert [entry["id"] for entry in page["data"]] == ["text-embedding-3-small"]
    else:
        assert page["error"]["code"] == "model_unknown"


def test_the_cap_is_written_in_front_and_every_other_byte_stays():
    raw = chat()
    assert upstream_bytes(asked(raw, max_tokens=64)) == b'{"max_completion_tokens":64,' + raw[1:]


def test_a_stream_gets_cap_and_usage():
    raw = chat(stream=True)
    sent = upstream_bytes(asked(raw, max_tokens=64))
    assert json.loads(sent) == {
        **json.loads(raw),
        "max_completion_tokens": 64,
        "stream_options": {"include_usage": True},
    }
    assert sent.endswith(raw[1:])


def test_a_null_is_replaced_by_the_cap_once():
    sent = upstream_bytes(asked(chat(max_completion_tokens=None), max_tokens=64))
    assert sent.count(b"max_completion_tokens") == 1
    assert json.loads(sent)["max_completion_tokens"] == 64


def test_a_redacted_request_keeps_its_cap():
    sent = json.loads(upstream_bytes(asked(chat(f"mail {MAIL}"), max_tokens=64)))
    assert sent["max_completion_tokens"] == 64
    assert MAIL not in sent["messages"][0]["content"]


def test_within_the_cap_the_request_travels_byte_for_byte():
    assert upstream_bytes(asked(chat(max_tokens=64), max_tokens=64)) is None


def test_more_than_the_cap_is_refused():
    assert code(asked(chat(max_tokens=65), max_tokens=64)) == "max_tokens_exceeded"


def test_an_obligatory_guard_blocks_a_request_that_the_tenant_would_let_pass():
    held = worlds.policy(**FLAGGED)
    assert upstream_bytes(asked(chat(f"mail {MAIL}"), held=held)) is None
    assert code(asked(chat(f"mail {MAIL}"), held=held, guards=frozenset({"pii.email"}))) == "request_blocked"


def test_an_obligatory_guard_blocks_an_answer():
    play = asked(chat(), held=worlds.policy(**FLAGGED), guards=frozenset({"pii.email"}))
    play.give(answer_head(), ResponseChunk(completion(f"write to {MAIL}"), end_of_stream=True))
    assert code(play) == "answer_blocked"


def test_a_guard_that_does_not_exist_refuses_the_request():
    assert code(asked(chat(), guards=frozenset({"pii.aura"}))) == "policy_unavailable"


def test_the_record_holds_decision_and_obligations_also_of_an_allowed_exchange():
    play = asked(chat(), max_tokens=64, route="eu")
    play.give(answer_head(), ResponseChunk(completion("hello"), end_of_stream=True))
    assert play.record.outcome == "completed"
    assert play.record.details == {
        "opa": '{"allow":true,"cached":false}',
        "obligations": '{"max_tokens":64,"route":"eu"}',
    }
