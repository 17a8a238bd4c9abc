"""Exchanges whose backend speaks another dialect: what leaves, what the guards see, what the client reads."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import messaging
from extproc.adapt import prepare
from extproc.core.commands import Answer, PassRequestBody, PassResponseHead
from extproc.core.events import RequestBody, ResponseChunk
from gateway import contract
from gateway.policy.model import Model, Pool
from messaging import CLAUDE, MESSAGES
from playbook import MAIL, Play, answer_head, chat, head, texts
from worlds import FakeWorld

POOL = Pool(backends=("demo", "anthropic"))
EVENTS = (
    messaging.start(), messaging.block(), messaging.text(f"to {MAIL[:7]}"), messaging.text(f"{MAIL[7:]} and on"),
    messaging.stop(), messaging.end(),
)  # fmt: skip


def held(**fields):
    """One model on Anthropic's backend; more fields as `Model` has them."""
    base = messaging.held()
    model = {"name": CLAUDE, "backend": "anthropic", "upstream": {"anthropic": "theirs"}, **fields}
    return replace(base, models={**base.models, CLAUDE: Model(**model)})


def asked(policy=None, **fields):
    play = Play(policy or held())
    told = play.give(head(), RequestBody(chat(model=CLAUDE, **fields), end_of_stream=True))
    return play, told


def left(told):
    (command,) = [each for each in told if isinstance(each, PassRequestBody)]
    return command, None if command.body is None else json.loads(command.body)


def answered(play, body, status="200"):
    play.give(answer_head(kind="application/json", status=status), ResponseChunk(json.dumps(body).encode(), True))
    return json.loads(play.sent())


def message(text):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "theirs", "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": text}],
            "usage": {"input_tokens": 9, "output_tokens": 4}}  # fmt: skip


def test_a_lone_backend_gets_its_own_words_path_and_name():
    _, told = asked(messages=[{"role": "user", "content": f"mail {MAIL}"}])
    command, tree = left(told)
    assert dict(command.change.put)[":path"].endswith("/v1/messages")
    assert dict(command.change.put)["anthropic-version"] == "2023-06-01"
    assert (tree["model"], tree["max_tokens"]) == ("theirs", 4096)
    assert MAIL not in command.body.decode()
    assert contract.BODY_BYTES not in command.metadata


def test_its_answer_is_guarded_as_the_client_reads_it_and_its_tokens_are_on_record():
    play, _ = asked()
    tree = answered(play, message(f"to {MAIL}"))
    assert tree["choices"][0]["message"]["content"] == "to [EMAIL]"
    assert tree["object"] == "chat.completion"
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (9, 4)


@given(st.integers(1, 400))
def test_a_stream_is_guarded_however_it_is_cut(size):
    whole = b"".join(EVENTS)
    play, _ = asked(stream=True)
    play.give(answer_head(kind="text/event-stream"))
    for at in range(0, len(whole), size):
        play.give(ResponseChunk(whole[at : at + size], end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert texts(play.sent()) == "to [EMAIL] and on"
    assert play.sent().endswith(b"data: [DONE]\n\n")
    assert play.record.outcome == "completed"


def test_a_stream_that_breaks_off_ends_in_the_callers_error_event():
    play, _ = asked(stream=True)
    play.give(answer_head(kind="text/event-stream"), ResponseChunk(b"".join(EVENTS[:3]), end_of_stream=True))
    assert b'"error"' in play.sent()
    assert b'"finish_reason":"stop"' not in play.sent()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"type": "message", "content": 7}'])
def test_an_answer_that_cannot_be_read_is_withheld(body):
    play, _ = asked()
    play.give(answer_head(kind="application/json"), ResponseChunk(body, end_of_stream=True))
    assert play.refused() == (502, "backend_answer_invalid")


def test_an_answer_that_is_too_large_is_withheld():
    policy = held()
    play, _ = asked(replace(policy, limits=replace(policy.limits, answer_bytes=1024, event_bytes=1024)))
    play.give(answer_head(kind="application/json"), ResponseChunk(b" " * 1025, end_of_stream=False))
    assert play.refused() == (502, "backend_answer_too_large")


def test_an_error_is_told_in_the_callers_dialect():
    play, _ = asked()
    tree = answered(play, {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}, "529")
    assert tree["error"]["message"] == "Busy"
    assert "type" in tree["error"]


def test_what_was_dropped_is_told_with_the_answer():
    play, told = asked(logit_bias={"1": 2})
    assert "logit_bias" not in left(told)[1]
    answered(play, message("yes"))
    (passed,) = [each for each in play.commands if isinstance(each, PassResponseHead)]
    assert "logit_bias" in dict(passed.change.put)[contract.DROPPED_HEADER]


def test_where_policy_says_so_it_is_refused_and_nothing_leaves():
    play, _ = asked(held(on_loss="refuse"), logit_bias={"1": 2})
    (answer,) = [each for each in play.commands if isinstance(each, Answer)]
    assert (answer.rendered.status, json.loads(answer.rendered.body)["error"]["param"]) == (400, "logit_bias")
    assert not any(isinstance(each, PassRequestBody) for each in play.commands)


def test_a_pool_leaves_in_the_callers_words_and_each_attempt_makes_its_own():
    _, told = asked(held(backend="demo", pool=POOL))
    command, tree = left(told)
    assert command.metadata[contract.BACKENDS] == "demo,anthropic"
    assert int(command.metadata[contract.BODY_BYTES]) > 0
    assert tree is None or "messages" in tree


def test_a_backend_that_would_lose_a_field_is_left_out_of_its_pool():
    _, told = asked(held(backend="demo", pool=POOL, on_loss="refuse"), logit_bias={"1": 2})
    assert left(told)[0].metadata[contract.BACKENDS] == "demo"


def test_the_answer_of_a_pool_is_read_in_the_dialect_of_whoever_answered():
    play, _ = asked(held(backend="demo", pool=POOL), stream=True)
    attributes = {contract.ATTR_HOST_METADATA: "anthropic", contract.ATTR_ATTEMPTS: "2"}
    arrived = answer_head(kind="text/event-stream")
    play.give(replace(arrived, attributes={**arrived.attributes, **attributes}))
    play.give(ResponseChunk(b"".join(EVENTS), end_of_stream=True))
    assert texts(play.sent()) == "to [EMAIL] and on"


def test_an_attempt_that_goes_out_unchanged_says_its_own_length_again():
    told = {"backends": "demo", "policy": "p-test", "front_path": "/v1/chat/completions", "body_bytes": "77"}
    change = prepare(((":path", "/x"), ("content-length", "90")), "demo", told, held(), FakeWorld(), now_s=0)
    assert dict(change.put)["content-length"] == "77"


def test_the_other_way_round_too():
    base = messaging.held()
    policy = replace(
        base, models={**base.models, "gpt": Model(name="gpt", backend="demo", upstream={"demo": "theirs"})}
    )
    play = Play(policy)
    body = json.dumps(messaging.messages(model="gpt", system="Be brief.")).encode()
    told = play.give(head(MESSAGES), RequestBody(body, end_of_stream=True))
    command, tree = left(told)
    assert dict(command.change.put)[":path"].endswith("/v1/chat/completions")
    assert tree["model"] == "theirs"
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "theirs", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": f"to {MAIL}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}  # fmt: skip
    said = answered(play, answer)
    assert said["content"] == [{"type": "text", "text": "to [EMAIL]"}]
    assert said["stop_reason"] == "end_turn"


def test_a_same_dialect_backend_may_just_have_another_name_for_the_model():
    base = messaging.held()
    policy = replace(
        base, models={**base.models, "gpt": Model(name="gpt", backend="demo", upstream={"demo": "theirs"})}
    )
    play = Play(policy)
    told = play.give(head(), RequestBody(chat(model="gpt"), end_of_stream=True))
    assert left(told)[1]["model"] == "theirs"


# --- what of an answer has no word on this side ------------------------------------------------------------------

CITED = [{"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None,
          "start_char_index": 0, "end_char_index": 1}]  # fmt: skip


def test_what_a_whole_answer_loses_is_told_with_it_and_on_record():
    play, _ = asked()
    body = message("as it is written")
    body["content"][0]["citations"] = CITED
    answered(play, body)
    (told,) = [each for each in play.commands if isinstance(each, PassResponseHead)]
    assert dict(told.change.put)[contract.ANSWER_DROPPED_HEADER] == "content[].citations"
    assert play.record.details["answer_dropped"] == "content[].citations"


def test_a_whole_answer_that_loses_nothing_says_nothing_of_it():
    play, _ = asked()
    answered(play, message("as it is written"))
    (told,) = [each for each in play.commands if isinstance(each, PassResponseHead)]
    assert contract.ANSWER_DROPPED_HEADER not in dict(told.change.put)
    assert "answer_dropped" not in play.record.details


def test_what_a_stream_loses_is_on_record_since_its_head_has_left():
    play, _ = asked(stream=True)
    cited = messaging.event(
        type="content_block_delta", index=0, delta={"type": "citations_delta", "citation": CITED[0]}
    )
    events = (
        messaging.start(),
        messaging.block(),
        messaging.text("as it is"),
        cited,
        messaging.stop(),
        messaging.end(),
    )
    play.give(answer_head(kind="text/event-stream"), ResponseChunk(b"".join(events), end_of_stream=True))
    assert texts(play.sent()) == "as it is"
    (told,) = [each for each in play.commands if isinstance(each, PassResponseHead)]
    assert contract.ANSWER_DROPPED_HEADER not in dict(told.change.put)
    assert play.record.details["answer_dropped"] == "content[].citations"
