"""Names of users and of prompt caches in requests: the tenant's own at the provider, and every other byte as it was."""

import json
from dataclasses import replace
from functools import partial

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.commands import PassRequestBody
from extproc.core.events import RequestBody
from extproc.core.names import apart
from extproc.detectors.catalogue import ALL_RULES, RULE_IDS
from extproc.guardrails.scanner import ScannerPool
from extproc.world import Book
from gateway.errors import Dialect
from gateway.policy.store import PolicyStore
from messaging import MESSAGES, held, messages
from playbook import CHAT, Play, chat, head
from worlds import policy

OPENAI = Dialect.OPENAI


def name(value):
    return f"<{value.decode()}>"


def changed(raw, dialect=OPENAI, name=name):
    tree = orjson.loads(raw)
    out = apart(raw, tree, dialect, name)
    assert orjson.loads(out) == tree
    return out


def test_only_the_name_is_changed_and_spelling_and_order_stay():
    raw = b'{ "user" :\t"ann", "n":1.0, "messages":[{"role":"user","content":"\\u0061 user"}],"prompt_cache_key":"k" }'
    told = changed(raw)
    assert told == raw.replace(b'"ann"', b'"<ann>"').replace(b'"k"', b'"<k>"')


def test_a_body_without_names_is_the_same_object():
    raw = b'{"messages":[{"role":"user","content":"hi"}],"metadata":{"user_id":"of no meaning here"}}'
    assert changed(raw) is raw


@pytest.mark.parametrize(
    "raw",
    [
        b'{"tools":[{"user":"ann"}],"user":"ann"}',  # the first of that name is not the one
        b'{"us\\u0065r":"ann"}',
        b'{"user":7}',
        b'{"user":{"mail":"ann"}}',
        b'{"user":"a\\u006en"}',
        b'{"x\\"user":"ann","user":"ann"}',
    ],
)
def test_however_it_is_written_the_name_does_not_pass(raw):
    tree = orjson.loads(changed(raw))
    assert tree["user"].startswith("<")
    assert tree.get("tools", [{"user": "ann"}]) == [{"user": "ann"}]


def test_a_name_that_is_null_is_none():
    raw = b'{"user":null,"safety_identifier":"s"}'
    assert changed(raw) == b'{"user":null,"safety_identifier":"<s>"}'


def test_anthropics_place_is_in_the_metadata():
    raw = b'{"metadata": {"user_id": "ann"}, "user": "x"}'
    assert changed(raw, Dialect.ANTHROPIC) == b'{"metadata": {"user_id": "<ann>"}, "user": "x"}'
    assert changed(b'{"metadata":"none"}', Dialect.ANTHROPIC) == b'{"metadata":"none"}'


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.just("user"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["user", "a", "user_id"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(["user", "prompt_cache_key", "messages", "x"]), values, max_size=4), st.booleans()
)
def test_no_name_passes_and_all_else_stays(tree, spaced):
    raw = json.dumps(tree, indent=1 if spaced else None).encode()
    told = orjson.loads(changed(raw, name=lambda value: "S" + str(len(value))))
    for field in ("user", "prompt_cache_key"):
        if tree.get(field) is not None:
            assert told.pop(field).startswith("S")
            tree.pop(field)
    assert told == tree


# --- the tenant's own ----------------------------------------------------------------------------------------------


def book(key=b"k" * 32):
    return Book(PolicyStore(policy()), key)


def test_a_name_is_always_the_same_and_no_two_tenants_share_one():
    tenant = policy().tenants["acme"]
    first = book().pseudonym(tenant, b"ann")
    assert first == book().pseudonym(tenant, b"ann")
    assert len(first) == 32
    others = [
        book().pseudonym(replace(tenant, id="other"), b"ann"),
        book().pseudonym(tenant, b"bob"),
        book(b"x" * 32).pseudonym(tenant, b"ann"),
        book(b"").pseudonym(tenant, b"ann"),
    ]
    assert len({first, *others}) == 5


def test_no_rule_takes_one_for_data():
    """They are read by the guards like every string: a rule that fires would change or refuse each such request."""
    scanner = ScannerPool(ALL_RULES).scanner(frozenset(RULE_IDS))
    tenant = policy().tenants["acme"]
    made = [book().pseudonym(tenant, str(number).encode()) for number in range(500)]
    assert not [each for each in made if scanner.scan(each)]


# --- in an exchange ------------------------------------------------------------------------------------------------


def sent(world, path, body):
    play = Play(world)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = play.give(head(path), RequestBody(raw, end_of_stream=True))
    (passed,) = [each for each in told if isinstance(each, PassRequestBody)]
    return passed, play


def test_a_provider_is_told_the_tenants_pseudonym_and_no_address_of_a_user():
    raw = chat(user="ann@example.com", prompt_cache_key="support")
    passed, play = sent(policy(), CHAT, raw)
    mine = partial(play.world.pseudonym, play.world.held.tenants["acme"])
    assert passed.body == raw.replace(b"ann@example.com", mine(b"ann@example.com").encode()).replace(
        b"support", mine(b"support").encode()
    )
    passed, _ = sent(held(), MESSAGES, messages(metadata={"user_id": "ann"}))
    assert json.loads(passed.body)["metadata"] == {"user_id": mine(b"ann")}


def test_a_request_without_names_is_sent_as_it_came():
    passed, _ = sent(policy(), CHAT, chat())
    assert passed.body is None


def test_policy_may_have_names_sent_as_they_are():
    world = policy()
    plain = replace(world, tenants={"acme": replace(world.tenants["acme"], identities="as_sent")})
    passed, _ = sent(plain, CHAT, chat(user="ann-7"))
    assert passed.body is None
