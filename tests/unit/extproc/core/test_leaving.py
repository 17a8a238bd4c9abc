"""How a request leaves: by which route, in whose words, and what `adapt` is told of it."""

import json
from dataclasses import replace

import pytest

import messaging
from extproc.core import admission
from extproc.core.leaving import Way, leave
from gateway import contract
from gateway.policy.model import Model, Pool
from gateway.policy.walk import Walk
from worlds import FakeWorld

DOOR = admission.DOORS["/v1/chat/completions"]
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
WALK = Walk(("demo", "anthropic"), frozenset(), 1)


def left(*allowed, walk=None, edited=None, adapt=False, **model):
    policy = messaging.held()
    backends = {name: replace(each, adapt=adapt) for name, each in policy.backends.items()}
    pool = None if walk is None else Pool(backends=walk.backends)
    way = Way(
        DOOR, Model(name="m", backend=allowed[0], pool=pool, **model), replace(policy, backends=backends), allowed, walk
    )
    return leave(way, "p-1", ((":path", "/x"),), BODY, edited, FakeWorld(), changed=edited is not None, now_s=0)


def test_a_lone_backend_of_the_same_words_gets_what_came():
    command, lost = left("demo")
    assert (command.body, lost) == (None, "")
    assert dict(command.change.put)[contract.ROUTE_HEADER] == "od-demo"
    assert command.metadata[contract.DECISION] == "allow"


def test_what_a_guard_changed_leaves_changed():
    command, _ = left("demo", edited=BODY.replace(b"hello", b"[X]"))
    assert b"[X]" in command.body
    assert command.metadata[contract.DECISION] == "redact"


def test_a_lone_backend_of_other_words_gets_its_own():
    command, lost = left("anthropic", upstream={"anthropic": "theirs"})
    assert json.loads(command.body)["model"] == "theirs"
    assert dict(command.change.put)[":path"].endswith("/v1/messages")
    assert lost == ""


@pytest.mark.parametrize(
    ("walk", "adapt", "route"), [(WALK, False, WALK.route), (None, True, "oc-demo")], ids=["pool", "always"]
)
def test_where_adapt_follows_the_request_leaves_in_the_callers_words(walk, adapt, route):
    allowed = WALK.backends if walk else ("demo",)
    command, _ = left(*allowed, walk=walk, adapt=adapt, edited=BODY + b" ")
    assert command.body == BODY + b" "
    assert dict(command.change.put) == {contract.ROUTE_HEADER: route}
    assert (contract.BODY_BYTES in command.metadata) is (walk is not None)


def test_adapt_is_told_the_length_only_where_some_attempt_has_another_body():
    command, _ = left("demo", adapt=True, upstream={"demo": "theirs"})
    assert command.metadata[contract.BODY_BYTES] == str(len(BODY))
