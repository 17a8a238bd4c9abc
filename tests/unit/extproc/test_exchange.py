"""Requests and endings, played event by event: what each rule of the design asks for, without any I/O."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.commands import (
    Answer,
    HeaderChange,
    PassRequestBody,
    PassRequestHead,
    PassResponseHead,
    PassResponseTrailers,
    SendBody,
)
from extproc.core.events import (
    Answered,
    Expired,
    Gone,
    RequestBody,
    RequestHead,
    RequestTrailers,
    ResponseChunk,
    ResponseHead,
    ResponseTrailers,
    Revoked,
)
from extproc.core.questions import Advised, Failed
from gateway import contract
from gateway.policy.model import Action, Adviser, Limits, RuleSetting
from playbook import CHAT, MAIL, REVOKED, Play, answer_head, chat, completion, delta, head
from worlds import CALLER, policy, settings


def test_a_clean_request_passes_byte_for_byte_and_is_routed_to_its_backend():
    play = Play()
    first, second = play.asked()
    assert first == PassRequestHead()
    assert isinstance(second, PassRequestBody)
    assert second.body is None
    assert dict(second.change.put) == {
        ":path": f"/base{CHAT}",
        "authorization": "Bearer provider-secret",
        contract.ROUTE_HEADER: "od-demo",
    }
    assert second.metadata[contract.BACKENDS] == "demo"
    assert second.metadata[contract.FRONT_PATH] == CHAT
    assert second.metadata[contract.POLICY] == "p-test"


def test_a_backend_that_wants_adapt_is_given_no_credential_yet():
    held = policy()
    held = replace(held, backends={"demo": replace(held.backends["demo"], adapt=True)})
    play = Play(held)
    _, second = play.asked()
    assert second.change == HeaderChange(put=((contract.ROUTE_HEADER, "oc-demo"),))


def test_the_only_attempt_loses_the_clients_private_headers_and_query():
    play = Play()
    play.give(head(f"{CHAT}?debug=1", x_forwarded_for="10.1.2.3", traceparent="00-1", user_agent="openai"))
    (sent,) = play.give(RequestBody(chat(), end_of_stream=True))
    assert set(sent.change.remove) == {"x-forwarded-for", "traceparent"}
    assert dict(sent.change.put)[":path"] == f"/base{CHAT}"


def test_personal_data_in_a_request_is_redacted_in_every_position():
    body = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": f"sys {MAIL}"},
                {"role": "user", "content": [{"type": "text", "text": f"part {MAIL}"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "t",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"to":"bob\\u0040example.com"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "t", "content": f"result {MAIL}"},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": f"mail {MAIL}",
                        "parameters": {"properties": {f"{MAIL}": {"description": f"see {MAIL}"}}},
                    },
                }
            ],
            "metadata": {"note": MAIL},
            "a_field_nobody_knows": {"deep": [MAIL]},
        }
    ).encode()
    play = Play(policy(strict_schema=False))
    _, sent = play.asked(body)
    tree = json.loads(sent.body)
    assert b"example.com" not in sent.body
    assert json.loads(tree["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"to": "[EMAIL]"}
    assert tree["a_field_nobody_knows"] == {"deep": ["[EMAIL]"]}
    assert sent.metadata[contract.DECISION] == "redact"


def test_a_blocking_rule_refuses_the_request_without_telling_the_value():
    play = Play(policy(request=settings(pii_card=Action.BLOCK)))
    play.asked(text="card 4111 1111 1111 1111")
    assert play.refused() == (403, "request_blocked")
    assert b"4111" not in play.commands[-1].rendered.body
    assert play.record.outcome == "refused"
    assert play.record.found[0].rule == "pii.card"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (head(caller=None), (500, "internal_error")),
        (head(path="/v1/secret"), (404, "route_unknown")),
        (head(end=True), (400, "body_empty")),
        (head(content_type="text/plain"), (415, "content_type_unsupported")),
        (head(content_type="application/json; charset=utf-16"), (415, "content_type_unsupported")),
        (head(content_encoding="gzip"), (415, "content_encoding_unsupported")),
    ],
)
def test_heads_that_cannot_be_inspected_are_refused(event, expected):
    play = Play()
    play.give(event)
    assert play.refused() == expected
    assert play.exchange.finished
    assert play.record.code == expected[1]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "body_empty"),
        (b"{", "json_invalid"),
        (b"[]", "request_invalid"),
        (b'{"model":"a","model":"b"}', "json_duplicate_key"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "json_too_deep"),
        (b'{"messages":[]}', "request_invalid"),
        (b'{"model":"gpt-4o-mini","messages":[]}', "request_invalid"),
        (b'{"model":"gpt-4o-mini","messages":[{"role":"owner","content":"x"}]}', "request_invalid"),
        (b'{"model":"gpt-4o-mini","messages":[{"role":["user"],"content":"x"}]}', "request_invalid"),
        (b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":[{"type":["text"]}]}]}', "request_invalid"),
        (
            b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":[{"type":"video"}]}]}',
            "request_invalid",
        ),
        (
            b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"stream":"yes"}',
            "request_invalid",
        ),
        (
            b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"modalities":["audio"]}',
            "request_invalid",
        ),
        (b'{"model":"nope","messages":[{"role":"user","content":"x"}]}', "model_unknown"),
        (b'{"model":"forbidden-model","messages":[{"role":"user","content":"x"}]}', "model_forbidden"),
    ],
)
def test_bodies_that_cannot_be_admitted_are_refused(body, code):
    play = Play()
    play.asked(body)
    assert play.refused()[1] == code
    assert play.record.outcome == "refused"


def test_a_body_over_the_limit_is_refused():
    play = Play(policy(limits=Limits(body_bytes=50)))
    play.asked(text="x" * 100)
    assert play.refused() == (413, "body_too_large")


def test_an_unknown_policy_version_is_refused():
    play = Play()
    play.exchange._world.held = policy()
    caller = type(CALLER)(**{n: getattr(CALLER, n) for n in CALLER.__slots__} | {"policy": "p-other"})
    play.give(head(caller=caller))
    assert play.refused() == (503, "policy_unavailable")


def test_a_backend_without_credential_is_not_tried():
    play = Play(secret=None)
    play.asked()
    assert play.refused() == (503, "backend_unavailable")


def test_trailers_are_refused_whether_announced_or_sent():
    play = Play()
    play.give(head(), RequestBody(chat(), end_of_stream=False))
    assert play.refused() == (400, "trailers_refused")
    play = Play()
    play.give(head(), RequestTrailers())
    assert play.refused() == (400, "trailers_refused")


def test_models_are_listed_by_the_gateway_itself_as_the_tenant_may_see_them():
    play = Play()
    (answer,) = play.give(head("/v1/models", method="GET", end=True))
    assert [m["id"] for m in json.loads(answer.rendered.body)["data"]] == [
        "gpt-4o-mini",
        "text-embedding-3-small",
    ]
    assert play.record.outcome == "completed"
    play = Play()
    play.give(head("/v1/models/forbidden-model", method="GET", end=True))
    assert play.refused() == (404, "model_unknown")


def test_a_local_reply_passes_and_is_recorded_unless_authz_did():
    play = Play()
    play.give(ResponseHead(((":status", "429"),), False, {}), ResponseChunk(b"{}", end_of_stream=True))
    assert play.sent() == b"{}"
    assert play.record.outcome == "refused"
    play = Play()
    play.give(ResponseHead(((":status", "401"), (contract.REFUSED_BY_HEADER, "authz")), False, {}))
    assert play.commands[0].change.remove == (contract.REFUSED_BY_HEADER,)
    play.give(ResponseChunk(b"{}", end_of_stream=True))
    assert play.records == []


def test_an_exchange_that_is_left_early_is_recorded_once_as_aborted():
    for events in ([], [head()], [head(), RequestBody(chat(), end_of_stream=True)]):
        play = Play()
        play.give(*events, Gone(), Gone())
        assert play.record.outcome == "aborted"
        assert play.exchange.finished


EVENTS = [
    head(), head(caller=None), head("/v1/models", end=True), RequestBody(chat(), end_of_stream=True),
    RequestBody(chat(stream=True), end_of_stream=True), RequestBody(b"junk", end_of_stream=True),
    RequestBody(chat(), end_of_stream=False), RequestTrailers(), answer_head(), answer_head(kind="text/event-stream"),
    answer_head(end=True), answer_head(status="abc"), ResponseChunk(delta("x y "), end_of_stream=False),
    ResponseChunk(completion("x"), end_of_stream=True), ResponseChunk(b"", end_of_stream=True),
    ResponseTrailers(()), Expired("idle"), Expired("exchange"), Revoked(REVOKED), Gone(),
]  # fmt: skip


@given(st.lists(st.sampled_from(EVENTS), max_size=8))
def test_in_any_order_of_events_nothing_raises_and_exactly_one_record_is_made(events):
    play = Play()
    play.give(*events, Gone())
    assert play.exchange.finished
    assert len(play.records) == 1
    ends = [c for c in play.commands if isinstance(c, Answer) or (isinstance(c, SendBody) and c.end_of_stream)]
    assert len(ends) <= 1


#: What Envoy asked, and what of ours answers that. It lets the rest pass, unguarded, of an exchange in which a processor
#: answers something else (test_fail_closed.py), so this order is part of the guard.
ANSWERS = {
    PassRequestHead: {RequestHead},
    PassRequestBody: {RequestBody, Answered},
    PassResponseHead: {ResponseHead, ResponseChunk, ResponseTrailers},
    SendBody: {
        ResponseChunk,
        ResponseTrailers,
        RequestBody,
        Expired,
        Revoked,
        ResponseHead,
        RequestHead,
        RequestTrailers,
    },
    PassResponseTrailers: {ResponseTrailers},
}
REPLIES = [Answered(()), Answered((Failed("deadline"),)), Answered((Advised(()),))]


def asking_world():
    rule = RuleSetting(rule="advice.outside", action=Action.BLOCK)
    adviser = Adviser(name="outside", url="https://guard.example/")
    return replace(policy(request={**settings(), rule.rule: rule}), advisers={"outside": adviser})


@given(st.lists(st.sampled_from([*EVENTS, *REPLIES]), max_size=8), st.booleans())
def test_nothing_is_answered_that_was_not_asked_and_no_body_goes_before_its_head(events, asks):
    play = Play(asking_world() if asks else None)
    heads = bodies = 0
    streaming = False
    for event in events:
        for command in play.give(event):
            if type(command) in ANSWERS:
                assert type(event) in ANSWERS[type(command)], (event, command)
            heads += isinstance(command, PassResponseHead)
            bodies += isinstance(command, PassRequestBody)
            streaming |= isinstance(command, PassResponseHead)
            assert not isinstance(command, SendBody | PassResponseTrailers) or streaming
    assert heads <= 1
    assert bodies <= 1
