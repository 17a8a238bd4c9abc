"""POST /v1/messages: what goes in, what comes out whole, and which models answer there."""

import json

import pytest

from extproc.core import admission
from extproc.core.commands import Answer, PassRequestBody
from extproc.core.events import RequestBody, ResponseChunk
from extproc.detectors.injection.provenance import Provenance
from extproc.providers.anthropic import DOORS
from gateway.policy.model import Action, Limits
from messaging import CLAUDE, asked, held, messages
from playbook import MAIL, Play, answer_head, head
from worlds import settings

DOOR = DOORS["/v1/messages"]
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA" * 200}}
#: A card number in base64's alphabet: a chance hit, as far as anybody can tell.
CHANCE = "A" * 600 + "/4111111111111111/" + "A" * 600


def document(**source):
    return {"type": "document", "source": source}


def result(content):
    return {"type": "tool_result", "tool_use_id": "t1", "content": content}


def sent_on(body, world=None):
    play, told = asked(body, world)
    (passed,) = [command for command in told if isinstance(command, PassRequestBody)]
    return json.loads(passed.body) if passed.body is not None else body, passed, play


def refused(body, world=None):
    _, told = asked(body, world)
    (answer,) = [command for command in told if isinstance(command, Answer)]
    error = json.loads(answer.rendered.body)
    assert error["type"] == "error"
    code = dict(answer.rendered.headers)["x-ostiary-error-code"]
    return answer.rendered.status, code, error["error"]["message"]


def answered(tree, world=None, status="200"):
    play, _ = asked(messages(), world)
    play.give(answer_head(status), ResponseChunk(json.dumps(tree).encode(), end_of_stream=True))
    return play


def message(*content, **more):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(content), "stop_reason": "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 4}, **more}  # fmt: skip


def text(words):
    return {"type": "text", "text": words}


# --- requests ------------------------------------------------
def test_a_clean_request_travels_byte_for_byte_also_when_it_streams():
    for stream in (False, True):
        _, passed, play = sent_on(messages(stream=stream))
        assert passed.body is None
        assert passed.metadata["backends"] == "anthropic"
        assert not play.records


def test_the_attempt_carries_the_backends_key_and_the_pinned_version_and_no_beta():
    play = Play(held(), secret="provider-secret")
    told = play.give(
        head("/v1/messages", anthropic_version="2023-06-01", anthropic_beta="mcp-client", anthropic_workspace_id="w"),
        RequestBody(json.dumps(messages()).encode(), end_of_stream=True),
    )
    (passed,) = [command for command in told if isinstance(command, PassRequestBody)]
    put = dict(passed.change.put)
    assert (put[":path"], put["x-api-key"], put["anthropic-version"]) == (
        "/v1/messages",
        "provider-secret",
        "2023-06-01",
    )
    assert {"anthropic-beta", "anthropic-workspace-id"} <= set(passed.change.remove)


@pytest.mark.parametrize("said", ["2023-01-01", "2099-01-01", "2023-06-01, 2023-06-01", "x"])
def test_a_version_that_the_guards_do_not_know_is_refused_before_the_body_is_read(said):
    play = Play(held())
    (answer,) = play.give(head("/v1/messages", anthropic_version=said))
    error = json.loads(answer.rendered.body)
    assert (answer.rendered.status, error["type"], error["error"]["type"]) == (400, "error", "invalid_request_error")
    assert "Send the header anthropic-version: 2023-06-01 or 2026-10-21." in error["error"]["message"]
    assert said not in error["error"]["message"]


SPOTS = [
    messages("@"),
    messages([text("@")]),
    messages([{**text("x"), "cache_control": {"type": "ephemeral", "ttl": "@"}}]),
    messages([{**text("x"), "citations": [{"cited_text": "@"}]}]),
    messages([{"type": "image", "source": {"type": "url", "url": "https://a.example/@"}}]),
    messages([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "@"}}]),
    messages([document(type="text", media_type="text/plain", data="@")]),
    messages([document(type="content", content="@")]),
    messages([document(type="content", content=[text("@")])]),
    messages([{**document(type="url", url="https://a.example/b.pdf"), "title": "@"}]),
    messages([{**document(type="url", url="https://a.example/b.pdf"), "context": "@"}]),
    messages([{"type": "search_result", "source": "@", "title": "t", "content": [text("x")]}]),
    messages([{"type": "search_result", "source": "s", "title": "@", "content": [text("@")]}]),
    messages([result("@")]),
    messages([result([text("@")])]),
    messages([result([document(type="text", media_type="text/plain", data="@")])]),
    messages([{**result("x"), "tool_use_id": "@"}]),
    messages(system="@"),
    messages(system=[text("@")]),
    messages(stop_sequences=["@"]),
    messages(metadata={"user_id": "@"}),
    messages(thinking={"type": "@"}),
    messages(output_config={"format": {"schema": {"description": "@"}}}),
    messages(tools=[{"name": "f", "description": "@", "input_schema": {}}]),
    messages(tools=[{"name": "f", "input_schema": {"properties": {"@": {"description": "@"}}}}]),
    messages(tools=[{"name": "f", "input_schema": {}, "input_examples": [{"a": "@"}]}]),
    messages(tool_choice={"type": "tool", "name": "@"}),
]
ASSISTANT = [
    "@",
    [text("@")],
    [{"type": "tool_use", "id": "@", "name": "f", "input": {}}],
    [{"type": "tool_use", "id": "t", "name": "@", "input": {}}],
    [{"type": "tool_use", "id": "t", "name": "f", "input": {"@": {"deep": ["@"]}}}],
]


@pytest.mark.parametrize(
    "body", [*SPOTS, *(messages(messages=[{"role": "assistant", "content": content}]) for content in ASSISTANT)]
)
def test_no_field_of_a_request_carries_an_address_upstream(body):
    body = json.loads(json.dumps(body).replace("@", MAIL))
    told, _, play = sent_on(body)
    assert "example.com" not in json.dumps(told)
    assert play.exchange is not None


@pytest.mark.parametrize("part", [{"thinking": MAIL, "signature": "c2ln"}, {"thinking": "x", "signature": MAIL}])
def test_signed_thinking_is_never_altered_on_its_way_back_but_refused(part):
    turns = [
        {"role": "assistant", "content": [{"type": "thinking", **part}, text("x")]},
        {"role": "user", "content": "go on"},
    ]
    status, code, told = refused(messages(messages=turns))
    assert (status, code) == (403, "request_blocked")
    assert "pii.email" in told
    assert MAIL not in told


def test_opaque_data_passes_as_it_came():
    opaque = [
        {"type": "thinking", "thinking": "clean", "signature": CHANCE},
        {"type": "redacted_thinking", "data": CHANCE},
    ]
    turns = [
        {"role": "assistant", "content": opaque},
        {"role": "user", "content": [{**PICTURE, "source": {**PICTURE["source"], "data": CHANCE}}, text(MAIL)]},
    ]
    told, _, _ = sent_on(messages(messages=turns))
    assert json.dumps(told).count(CHANCE) == 3
    assert MAIL not in json.dumps(told)


def test_a_field_that_only_looks_opaque_is_read():
    told, _, _ = sent_on(messages([result([text("x")])], metadata={"user_id": CHANCE}))
    assert "4111111111111111" not in json.dumps(told)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": CLAUDE, "messages": [{"role": "user", "content": "x"}]}, "max_tokens"),
        (messages(messages=[]), "messages"),
        (messages(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
        (messages(messages=[{"role": ["user"], "content": "x"}]), "messages[0].role"),
        (messages(None), "messages[0].content"),
        (
            messages([{"type": "web_search_tool_result", "tool_use_id": "x", "content": []}]),
            "messages[0].content[0].type",
        ),
        (messages([{"type": ["text"]}]), "messages[0].content[0].type"),
        (messages([document(type="file", file_id="f")]), "messages[0].content[0].source"),
        (messages([document(type="base64", media_type="text/plain", data="eA==")]), "source.media_type"),
        (
            messages([{"type": "image", "source": {"type": "base64", "media_type": "text/html", "data": "eA=="}}]),
            "media_type",
        ),
        (messages([result([{"type": "tool_reference", "tool_name": "x"}])]), "messages[0].content[0].content[0].type"),
        (messages([result([{"type": ["text"]}])]), "messages[0].content[0].content"),
        (messages([{"type": "thinking", "thinking": "x", "signature": "y"}]), "messages[0].content[0].type"),
        (messages(tools=[{"type": "web_search_20250305", "name": "web_search"}]), "tools[0].type"),
        (messages(tools="x"), "tools"),
        (messages(mcp_servers=[]), "mcp_servers"),
        (messages(container="x"), "container"),
        (messages(Model="x"), "model"),
    ],
)
def test_what_the_guards_do_not_know_is_refused_by_name(body, field):
    status, code, told = refused(body)
    assert (status, code) == (400, "request_invalid")
    assert field in told


def test_a_tolerant_policy_lets_unknown_fields_pass_but_no_unknown_tool():
    tolerant = held(strict_schema=False)
    _, passed, _ = sent_on(messages(novelty=1), tolerant)
    assert passed.body is None
    assert refused(messages(tools=[{"type": "web_search_20250305", "name": "web_search"}]), tolerant)[0] == 400


def test_positions_tell_who_said_what():
    body = messages(
        [
            text("user"),
            result("tool"),
            result([text("tool part")]),
            {**document(type="text", media_type="text/plain", data="paper"), "title": "title"},
            {"type": "search_result", "source": "where", "title": "what", "content": [text("found")]},
        ],
        system="tenant",
        tools=[{"name": "f", "description": "described", "input_schema": {}}],
    )
    body["messages"].append({"role": "assistant", "content": "model"})
    told = {(who, said) for who, said in DOOR.positions(body)}
    assert told == {
        (Provenance.USER, "user"),
        (Provenance.TOOL_RESULT, "tool"),
        (Provenance.TOOL_RESULT, "tool part"),
        *((Provenance.DOCUMENT, said) for said in ("paper", "title", "where", "what", "found")),
        (Provenance.TOOL_DESCRIPTION, "described"),
    }


def test_pictures_in_tool_results_count():
    limited = held(limits=Limits(images=1))
    status, _, told = refused(messages([PICTURE, result([PICTURE])]), limited)
    assert status == 400
    assert "2 images" in told


def test_bounds_and_caps_read_this_dialect_as_any_other():
    body = messages([PICTURE, document(type="url", url="https://a.example/b.pdf")], system="Be kind.",
                    tools=[{"name": "f", "input_schema": {}}])  # fmt: skip
    asked_as = DOOR.as_chat(body)
    assert [part["type"] for part in asked_as["messages"][1]["content"]].count("image_url") == 1
    assert [part["type"] for part in asked_as["messages"][1]["content"]].count("file") == 1
    assert asked_as["messages"][0] == {"role": "system", "content": "Be kind."}
    assert asked_as["tools"][0]["function"]["name"] == "f"
    assert DOOR.cap_field == "max_tokens"


# --- routing ------------------------------------------------
def test_a_door_without_words_in_the_models_dialect_names_those_that_have_them():
    play = Play(held())
    body = json.dumps({"model": CLAUDE, "input": "hello"}).encode()
    (answer,) = [
        command
        for command in play.give(head("/v1/embeddings"), RequestBody(body, end_of_stream=True))
        if isinstance(command, Answer)
    ]
    error = json.loads(answer.rendered.body)["error"]
    assert (answer.rendered.status, error["param"]) == (400, "model")
    assert "POST /v1/messages" in error["message"]
    assert "POST /v1/chat/completions" in error["message"]


def test_every_door_tells_its_dialect():
    assert {path: door.dialect.value for path, door in admission.DOORS.items()}["/v1/messages"] == "anthropic"


# --- answers ------------------------------------------------
def test_an_answer_is_guarded_and_its_tokens_are_on_record():
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"to": [MAIL], MAIL: 1}}
    usage = {"input_tokens": 9, "cache_read_input_tokens": 100, "output_tokens": 4}
    play = answered(message(text(f"to {MAIL}"), call, usage=usage))
    assert json.loads(play.sent())["content"] == [
        text("to [EMAIL]"),
        {**call, "input": {"to": ["[EMAIL]"], "[EMAIL]": 1}},
    ]
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (109, 4)


@pytest.mark.parametrize(
    "tree",
    [
        *(message(**{key: MAIL}) for key in ("id", "role", "model", "stop_reason", "stop_sequence", "note")),
        message(stop_details={"explanation": MAIL}),
        message(usage={"service_tier": MAIL}),
        message({**text("x"), "citations": [{"cited_text": MAIL}]}),
        message({**text("x"), MAIL: MAIL}),
        message({"type": "thinking", "thinking": MAIL, "signature": "c2ln"}),
        message({"type": "thinking", "thinking": "x", "signature": MAIL}),
        message({"type": "redacted_thinking", "data": MAIL}),
        message({"type": "tool_use", "id": MAIL, "name": MAIL, "input": {"a": {MAIL: MAIL}}}),
        message({"type": "server_tool_use", "id": "x", "name": "y", "input": {"q": MAIL}}),
        {**message(), "content": MAIL},
        {**message(), "content": [MAIL]},
        {"type": "error", "error": {"type": "api_error", "message": MAIL}},
    ],
)
@pytest.mark.parametrize("status", ["200", "529"])
def test_no_field_of_an_answer_carries_an_address_out(tree, status):
    play = answered(tree, status=status)
    answers = b"".join(command.rendered.body for command in play.commands if isinstance(command, Answer))
    assert b"example" not in play.sent() + answers
    assert play.sent() + answers


def test_the_texts_of_two_blocks_never_become_one_word():
    play = answered(message(text("bob@exam"), text("ple.com"), text(" and "), text("more")))
    assert [each["text"] for each in json.loads(play.sent())["content"]] == ["bob@exam", "\nple.com", " and ", "more"]


def test_clean_thinking_passes_byte_for_byte():
    tree = message({"type": "thinking", "thinking": "let me think", "signature": CHANCE}, text("done"))
    assert answered(tree).sent() == json.dumps(tree).encode()


def test_thinking_that_a_rule_would_change_blocks_the_answer():
    thought = {"type": "thinking", "thinking": f"from {MAIL}", "signature": "c2ln"}
    play = answered(message(thought, text("done")))
    assert (play.record.status, play.record.code) == (403, "answer_blocked")
    assert play.record.found[0].rule == "pii.email"
    flagged = answered(message(thought), held(response=settings(Action.FLAG)))
    assert json.loads(flagged.sent())["content"] == [thought]


@pytest.mark.parametrize(
    "content", ["x", [1], [{"type": ["text"]}], [{"type": "web_search_tool_result", "content": []}]]
)
def test_blocks_that_nobody_here_knows_are_withheld(content):
    play = answered({**message(), "content": content})
    assert (play.record.status, play.record.code) == (502, "backend_answer_invalid")


def test_a_call_that_is_too_deep_to_be_written_anew_is_withheld_in_the_words_of_the_dialect():
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"to": MAIL, "x": json.loads("[" * 300 + "]" * 300)}}
    told = answered(message(call)).commands[-1].rendered
    assert (told.status, dict(told.headers)["x-ostiary-error-code"]) == (502, "backend_answer_invalid")
    assert json.loads(told.body)["type"] == "error"
