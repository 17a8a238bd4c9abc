"""The exchange, played event by event: what each rule of the design asks for, without any I/O."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import CALLER, FakeClock, FakeWorld, policy, settings

from extproc.core.commands import (
    Answer,
    HeaderChange,
    PassRequestBody,
    PassRequestHead,
    PassResponseHead,
    PassResponseTrailers,
    Put,
    SendBody,
)
from extproc.core.events import (
    Expired,
    Gone,
    RequestBody,
    RequestHead,
    RequestTrailers,
    ResponseChunk,
    ResponseHead,
    ResponseTrailers,
)
from extproc.core.exchange import Exchange
from gateway import contract
from gateway.policy.model import Action, Limits

CHAT = "/v1/chat/completions"
VIA = {contract.ATTR_CODE_DETAILS: contract.VIA_UPSTREAM}
MAIL = "bob@example.com"


def head(path=CHAT, *, caller=CALLER, end=False, method="POST", **headers):
    pairs = {":method": method, ":path": path, "content-type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    return RequestHead(tuple(pairs.items()), caller, end)


def chat(text="hello", **more):
    return json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}).encode()


def answer_head(status="200", kind="application/json", details=VIA, end=False, **more):
    pairs = {":status": status, "content-type": kind} | {k.replace("_", "-"): v for k, v in more.items()}
    return ResponseHead(tuple(pairs.items()), end, details)


def completion(text, **more):
    return json.dumps(
        {
            "id": "c1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
            **more,
        }
    ).encode()


def delta(text, index=0, **choice):
    event = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None, **choice}],
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


class Play:
    """An exchange with its commands sorted as they come."""

    def __init__(self, held=None, secret="Bearer provider-secret"):
        self.clock = FakeClock()
        self.exchange = Exchange(FakeWorld(held, secret), self.clock)
        self.commands, self.records = [], []

    def give(self, *events):
        new = []
        for event in events:
            for command in self.exchange.receive(event):
                (self.records if isinstance(command, Put) else new).append(command)
        self.commands += new
        return new

    def asked(self, body=None, **kw):
        return self.give(head(), RequestBody(chat(**kw) if body is None else body, end_of_stream=True))

    @property
    def record(self):
        assert len(self.records) == 1
        return self.records[0].record

    def sent(self):
        return b"".join(c.body for c in self.commands if isinstance(c, SendBody))

    def refused(self):
        (answer,) = [c for c in self.commands if isinstance(c, Answer)]
        return answer.rendered.status, json.loads(answer.rendered.body)["error"]["code"]


def texts(stream: bytes, index=0, key="content"):
    out = ""
    for block in stream.split(b"\n\n"):
        if block.startswith(b"data: {"):
            for choice in json.loads(block[6:]).get("choices", []):
                if choice["index"] == index:
                    out += choice.get("delta", {}).get(key) or ""
    return out


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
    play = Play()
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


# --- answers ------------------------------------------------------------------------------------------------


def test_the_head_of_a_json_answer_is_held_until_its_body_was_judged():
    play = Play()
    play.asked()
    assert play.give(answer_head()) == []
    assert play.give(ResponseChunk(completion(f"write to {MAIL} now"), end_of_stream=False)) == []
    passed, body = play.give(ResponseChunk(b"", end_of_stream=True))
    assert isinstance(passed, PassResponseHead)
    assert body.end_of_stream
    assert json.loads(body.body)["choices"][0]["message"]["content"] == "write to [EMAIL] now"
    record = play.record
    assert (record.usage.input_tokens, record.usage.output_tokens, record.usage.source) == (5, 2, "provider")
    assert [(f.rule, f.direction, f.action, f.count) for f in record.found] == [("pii.email", "response", "redact", 1)]


def test_a_clean_json_answer_keeps_its_bytes():
    play = Play()
    play.asked()
    raw = completion("fine").replace(b":", b" : ")
    play.give(answer_head(), ResponseChunk(raw, end_of_stream=True))
    assert play.sent() == raw


def test_a_blocked_json_answer_is_a_clean_403():
    play = Play(policy(response=settings(pii_email=Action.BLOCK)))
    play.asked()
    play.give(answer_head(), ResponseChunk(completion(MAIL), end_of_stream=True))
    assert play.refused() == (403, "answer_blocked")
    assert play.sent() == b""


def test_only_listed_headers_of_an_answer_reach_the_client():
    play = Play()
    play.asked()
    play.give(answer_head(set_cookie="a=b", openai_organization="org", x_ostiary_x="1", retry_after="3"))
    (passed, _) = play.give(ResponseChunk(completion("x"), end_of_stream=True))
    assert passed.change.remove == ("openai-organization", "set-cookie", "x-ostiary-x")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (answer_head(kind="text/html"), (502, "backend_answer_invalid")),
        (answer_head(content_encoding="gzip"), (502, "backend_answer_invalid")),
        (answer_head(kind="text/event-stream"), (502, "backend_answer_invalid")),  # nobody asked for a stream
        (answer_head(status="401"), (503, "backend_unavailable")),
        (answer_head(status="503", kind="text/plain"), (503, "backend_unavailable")),
        (
            answer_head(status="503", details={contract.ATTR_CODE_DETAILS: "no_healthy_upstream"}),
            (503, "backend_unavailable"),
        ),
        (
            answer_head(status="504", details={contract.ATTR_CODE_DETAILS: "upstream_response_timeout"}),
            (504, "backend_timeout"),
        ),
        (answer_head(status="500", details={}), (503, "backend_unavailable")),
    ],
)
def test_answers_that_cannot_be_inspected_are_withheld(event, expected):
    play = Play()
    play.asked()
    play.give(event)
    assert play.refused() == expected
    assert play.record.outcome == "failed"


def test_a_json_answer_that_does_not_parse_or_is_too_large_is_withheld():
    play = Play()
    play.asked()
    play.give(answer_head(), ResponseChunk(b'{"choices": [', end_of_stream=True))
    assert play.refused() == (502, "backend_answer_invalid")
    play = Play(policy(limits=Limits(answer_bytes=10)))
    play.asked()
    play.give(answer_head(), ResponseChunk(completion("x" * 100), end_of_stream=False))
    assert play.refused() == (502, "backend_answer_too_large")


def test_a_provider_error_passes_in_its_own_words_but_guarded():
    play = Play()
    play.asked()
    body = json.dumps({"error": {"message": f"slow down {MAIL}", "type": "x", "code": "rate"}}).encode()
    play.give(answer_head(status="429", retry_after="7"), ResponseChunk(body, end_of_stream=True))
    assert json.loads(play.sent())["error"]["message"] == "slow down [EMAIL]"
    assert play.record.outcome == "failed"
    assert play.record.usage is None


def test_log_probabilities_do_not_spell_out_what_was_redacted():
    play = Play()
    play.asked()
    raw = json.dumps(
        {
            "choices": [
                {
                    "index": 0,
                    "message": {"content": MAIL},
                    "logprobs": {"content": [{"token": "bob"}, {"token": "@example.com"}]},
                }
            ]
        }
    ).encode()
    play.give(answer_head(), ResponseChunk(raw, end_of_stream=True))
    assert b"example" not in play.sent()


# --- streams ------------------------------------------------------------------------------------------------


def streaming(held=None, **kw):
    play = Play(held)
    play.asked(stream=True, **kw)
    play.give(answer_head(kind="text/event-stream; charset=utf-8"))
    return play


def test_usage_is_asked_for_by_a_splice_that_leaves_every_other_byte_alone():
    play = Play()
    body = chat(stream=True)
    _, sent = play.asked(body)
    assert sent.body == b'{"stream_options":{"include_usage":true},' + body[1:]
    assert json.loads(sent.body)["stream_options"] == {"include_usage": True}


def test_a_client_that_asked_for_usage_sees_it_and_its_body_stays_untouched():
    play = Play()
    _, sent = play.asked(chat(stream=True, stream_options={"include_usage": True}))
    assert sent.body is None
    usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'
    play.give(answer_head(kind="text/event-stream"), ResponseChunk(delta("hi ") + usage + DONE, end_of_stream=True))
    assert b'"prompt_tokens":9' in play.sent()
    assert play.record.usage.output_tokens == 4


def test_the_usage_event_is_hidden_from_a_client_that_did_not_ask():
    play = streaming()
    usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'
    play.give(ResponseChunk(delta("hi there. ") + usage + DONE, end_of_stream=True))
    assert b"usage" not in play.sent()
    assert play.record.usage.input_tokens == 9
    assert play.sent().endswith(DONE)


def test_missing_usage_is_estimated_and_says_so():
    play = streaming()
    play.give(ResponseChunk(delta("four") * 10 + DONE, end_of_stream=True))
    assert play.record.usage.source == "estimate"
    assert play.record.usage.output_tokens == 10


def test_an_address_split_over_events_never_leaves():
    play = streaming()
    for piece in ("write to bo", "b@exam", "ple.c", "om today. "):
        play.give(ResponseChunk(delta(piece), end_of_stream=False))
    play.give(ResponseChunk(DONE, end_of_stream=True))
    assert texts(play.sent()) == "write to [EMAIL] today. "
    assert b"bo" not in play.sent().replace(b"[EMAIL]", b"")


def test_choices_are_guarded_apart():
    play = streaming()
    play.give(
        ResponseChunk(
            delta("a@b", 0) + delta("c@d", 1) + delta(".com ", 0) + delta(".org ", 1) + DONE,
            end_of_stream=True,
        )
    )
    assert texts(play.sent(), 0) == "[EMAIL] "
    assert texts(play.sent(), 1) == "[EMAIL] "


def test_held_words_come_out_with_the_finish_reason():
    play = streaming()
    last = {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    play.give(
        ResponseChunk(delta("the end") + b"data: " + json.dumps(last).encode() + b"\n\n" + DONE, end_of_stream=True)
    )
    assert texts(play.sent()) == "the end"
    assert play.sent().index(b"end") < play.sent().index(b"[DONE]")


def test_a_stream_without_terminator_still_releases_its_last_words():
    play = streaming()
    play.give(ResponseChunk(delta("the end"), end_of_stream=True))
    assert texts(play.sent()) == "the end"


def test_streamed_tool_arguments_are_guarded_through_their_escapes_and_stay_json():
    play = streaming()
    pieces = ['{"to":"bob\\u00', "40exam", 'ple.com","n":1}']
    for number, piece in enumerate(pieces):
        call = {"index": 0, "function": {"arguments": piece}} | ({"id": "t", "type": "function"} if number == 0 else {})
        event = {
            "id": "c1",
            "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}],
        }
        play.give(ResponseChunk(b"data: " + json.dumps(event).encode() + b"\n\n", end_of_stream=False))
    last = {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    play.give(ResponseChunk(b"data: " + json.dumps(last).encode() + b"\n\n" + DONE, end_of_stream=True))
    arguments = ""
    for block in play.sent().split(b"\n\n"):
        if block.startswith(b"data: {"):
            for call in json.loads(block[6:])["choices"][0]["delta"].get("tool_calls", []):
                arguments += call.get("function", {}).get("arguments", "")
    assert json.loads(arguments) == {"to": "[EMAIL]", "n": 1}


def test_a_block_before_the_first_byte_is_a_clean_json_403():
    play = streaming(policy(response=settings(pii_email=Action.BLOCK)))
    play.give(ResponseChunk(delta(f"{MAIL} "), end_of_stream=False))
    assert play.refused() == (403, "answer_blocked")
    assert play.sent() == b""


def test_a_block_in_mid_stream_ends_it_with_the_dialects_error_and_terminator():
    play = streaming(policy(response=settings(pii_email=Action.BLOCK)))
    play.give(ResponseChunk(delta("so far so good. "), end_of_stream=False))
    play.give(ResponseChunk(delta(f"mail {MAIL} and more"), end_of_stream=False))
    assert play.exchange.finished
    assert play.commands[-1].end_of_stream
    out = play.sent()
    assert b"example.com" not in out
    assert b'"code":"answer_blocked"' in out
    assert out.endswith(DONE)
    assert play.record.outcome == "cut"
    assert play.give(ResponseChunk(delta("late"), end_of_stream=True)) == []


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {broken\n\n",
        b"data: []\n\n",
        b'data: {"choices":{}}\n\n',
        b'data: {"choices":[1]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":{}}}]}\n\n',
        b'data: {"choices":[{"index":"x"}]}\n\n',
    ],
)
def test_an_event_that_cannot_be_understood_cuts_the_stream(bad):
    play = streaming()
    play.give(ResponseChunk(delta("fine. "), end_of_stream=False))
    play.give(ResponseChunk(bad, end_of_stream=False))
    assert b"backend_answer_invalid" in play.sent()
    assert play.record.outcome == "cut"


def test_fields_nobody_knows_do_not_carry_text_past_the_guard():
    play = streaming()
    event = {
        "id": "c1",
        "choices": [{"index": 0, "delta": {"content": "hi. ", "annotations": MAIL}, "extra": MAIL}],
        "note": MAIL,
    }
    play.give(
        ResponseChunk(
            b": comment " + MAIL.encode() + b"\n\ndata: " + json.dumps(event).encode() + b"\n\n" + DONE,
            end_of_stream=True,
        )
    )
    assert b"example.com" not in play.sent()
    assert texts(play.sent()) == "hi. "


def test_trailers_end_an_answer_and_none_passes():
    play = streaming()
    play.give(ResponseChunk(delta("bye"), end_of_stream=False), ResponseTrailers(("grpc-status", "x-secret")))
    assert texts(play.sent()) == "bye"
    assert play.commands[-1] == PassResponseTrailers(("grpc-status", "x-secret"))
    assert play.exchange.finished


def test_deadlines_cut_a_stream_and_refuse_a_held_answer():
    play = streaming()
    play.give(ResponseChunk(delta("so far. "), end_of_stream=False), Expired("idle"))
    assert b"backend_timeout" in play.sent()
    play = Play()
    play.asked()
    play.give(answer_head(), Expired("exchange"))
    assert play.refused() == (504, "deadline_exceeded")
    play = Play()
    play.asked()
    assert play.give(Expired("idle")) == []  # Envoy's own timers rule before the answer's head


# --- endings ------------------------------------------------------------------------------------------------


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
    ResponseTrailers(()), Expired("idle"), Expired("exchange"), Gone(),
]  # fmt: skip


@given(st.lists(st.sampled_from(EVENTS), max_size=8))
def test_in_any_order_of_events_nothing_raises_and_exactly_one_record_is_made(events):
    play = Play()
    play.give(*events, Gone())
    assert play.exchange.finished
    assert len(play.records) == 1
    ends = [c for c in play.commands if isinstance(c, Answer) or (isinstance(c, SendBody) and c.end_of_stream)]
    assert len(ends) <= 1


@given(st.data())
def test_the_streaming_invariant_any_cut_of_the_bytes_gives_the_same_text(data):
    whole = b"".join(
        [
            delta("Dear bob"),
            delta("@example.com, pay "),
            delta("DE89 3704 0044 0532"),
            delta(" 0130 00 and 4111-1111-"),
            delta("1111-1111 é "),
            delta("from 10.0.0.1"),
            delta("", finish_reason="stop"),
            DONE,
        ]
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=40)))
    play = streaming()
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        play.give(ResponseChunk(whole[begin:end], end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert texts(play.sent()) == "Dear [EMAIL], pay [IBAN] and [CARD] é from [IP]"
