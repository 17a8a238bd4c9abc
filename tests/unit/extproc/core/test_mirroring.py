"""Which requests are copied, and what a copy says: asked of whole exchanges."""

import json
from dataclasses import replace

import pytest

from extproc.core.commands import Copy, PassRequestBody
from extproc.core.events import RequestBody
from extproc.core.mirroring import MOST_BYTES
from gateway.policy.copies import Mirror
from gateway.policy.model import Backend, Model, Pool, Restriction
from playbook import MAIL, Play, head
from worlds import CALLER, policy

MODEL = "gpt-4o-mini"


def held(*, tenant=None, percent=100, dialect="openai", **pool):
    base = policy()
    copies = Mirror(backend="copies", percent=percent)
    backends = {**base.backends, "copies": Backend(name="copies", host="127.0.0.1", port=1, tls=False, dialect=dialect)}
    models = {
        **base.models,
        MODEL: Model(name=MODEL, backend="demo", pool=Pool(backends=("demo",), mirror=copies, **pool)),
    }
    return replace(
        base, backends=backends, models=models, tenants={"acme": replace(base.tenants["acme"], **(tenant or {}))}
    )


def sent(world=None, content="hello", path="/v1/chat/completions", **fields):
    """The commands by which a request leaves."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}
    body = {key: value for key, value in body.items() if value is not None}
    play = Play(world or held())
    return play.give(head(path), RequestBody(json.dumps(body).encode(), end_of_stream=True))


def copies(*args, **fields):
    told = sent(*args, **fields)
    assert any(type(each) is PassRequestBody for each in told)
    return [each for each in told if type(each) is Copy]


def test_a_copy_says_what_leaves_after_the_guards():
    told = sent(content=f"Write to {MAIL}")
    (copy,) = [each for each in told if type(each) is Copy]
    (passed,) = [each for each in told if type(each) is PassRequestBody]
    assert copy.body == passed.body
    assert MAIL.encode() not in copy.body
    assert (copy.model, copy.path, copy.mirror.backend) == (MODEL, "/v1/chat/completions", "copies")
    assert copy.caller.request_id == CALLER.request_id
    assert "hello" not in repr(copies()[0])


def test_what_is_not_changed_is_copied_as_the_client_wrote_it():
    (copy,) = copies()
    assert json.loads(copy.body)["messages"][0]["content"] == "hello"


@pytest.mark.parametrize(
    ("changes", "request_fields"),
    [
        ({"percent": 0}, {}),
        ({"tenant": {"backends": frozenset({"demo"})}}, {}),
        ({"lacks": {"copies": frozenset({"json_schema"})}}, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}),
        ({"context": {"copies": 100}}, {"max_tokens": 200}),
        ({"restrictions": (Restriction(rule="pii.*", backends=frozenset({"demo"})),)}, {"content": MAIL}),
        ({}, {"content": "x" * MOST_BYTES}),
    ],
    ids=["percent", "tenant", "lacks", "context", "risk", "size"],
)  # fmt: skip
def test_no_copy_where_policy_or_size_says_no(changes, request_fields):
    assert copies(held(**changes), **request_fields) == []


def test_a_mirror_that_may_see_what_was_found_is_sent_it():
    allowed = (Restriction(rule="pii.*", backends=frozenset({"demo", "copies"})),)
    assert len(copies(held(restrictions=allowed), content=MAIL)) == 1


def test_no_copy_to_a_dialect_without_words_for_the_door():
    world = held(dialect="anthropic")
    assert len(copies(world)) == 1
    fields = {"model": MODEL, "messages": None, "input": "hello", "path": "/v1/embeddings"}
    assert copies(world, **fields) == []


def test_a_request_that_is_refused_is_not_copied():
    told = sent(held(restrictions=(Restriction(rule="pii.*", backends=frozenset({"copies"})),)), content=MAIL)
    assert [each for each in told if type(each) in {Copy, PassRequestBody}] == []
