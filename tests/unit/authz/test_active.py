"""Introspection answers, read strictly: what counts becomes a caller, what does not is told apart from what is garbled."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz import active
from authz.active import SKEW_S, GarbledError
from authz.jose import Bad, Fault
from gateway.policy.model import Introspector

NOW_S = 1_800_000_000.0
THUMBPRINT = "A" * 43
ENTRY = Introspector(
    name="corp",
    tenant="acme",
    endpoint="https://login.example.com/introspect",
    client_id="gateway",
    secret_file="secret",
)
STRICT = Introspector(
    name="corp",
    tenant="acme",
    endpoint="https://login.example.com/introspect",
    client_id="gateway",
    secret_file="secret",
    issuer="https://login.example.com",
    audiences=frozenset({"llm"}),
    clients=frozenset({"batch"}),
    principal_claim="username",
    principal_prefix="corp:",
    scope_claims=("roles",),
    group_claim="teams",
)
ANSWER = {
    "active": True,
    "sub": "svc-1",
    "username": "bob",
    "client_id": "batch",
    "scope": "chat embed",
    "groups": ["ops"],
    "roles": ["r1"],
    "teams": "t1",
    "token_type": "Bearer",
    "iss": "https://login.example.com",
    "aud": ["llm", "other"],
    "iat": NOW_S - 10,
    "exp": NOW_S + 100,
}


def read(entry=ENTRY, *, without=(), **changes):
    answer = {name: value for name, value in {**ANSWER, **changes}.items() if name not in without}
    return active.read(json.dumps(answer).encode(), entry, b"\1" * 32, NOW_S)


def test_an_active_token_names_its_bearer_in_the_policys_terms():
    found = read()
    who = found.who
    assert (who.tenant, who.principal, who.method, who.client) == ("acme", "svc-1", "opaque", "batch")
    assert (who.scopes, who.groups) == (("chat", "embed"), ("ops",))
    assert (who.issued_at, who.bound_to, who.expired) == (int(NOW_S - 10), "", None)
    assert who.key_id.startswith("opaque:")
    assert len(who.key_id) == len("opaque:") + 16
    assert found.ends_s == NOW_S + 100


def test_the_entrys_mapping_decides_which_members_count():
    who = read(STRICT).who
    assert (who.principal, who.scopes, who.groups) == ("corp:bob", ("r1",), ("t1",))


def test_members_that_are_optional_may_be_missing():
    found = read(without=("scope", "groups", "client_id", "iss", "aud", "iat", "exp"))
    assert (found.ends_s, found.who.scopes, found.who.client, found.who.issued_at) == (None, (), "", 0)


def test_a_server_that_names_no_type_needs_a_word_in_the_policy():
    with pytest.raises(Bad):
        read(without=("token_type",))
    assert read(replace(ENTRY, token_type="any"), without=("token_type",)).who.principal == "svc-1"


def test_a_certificate_that_the_token_is_bound_to_is_passed_on():
    assert read(cnf={"x5t#S256": THUMBPRINT}).who.bound_to == THUMBPRINT


FAULTS = {
    "inactive": ({"active": False}, Fault.INACTIVE),
    "another issuer": ({"iss": "https://login.example.com/"}, Fault.ISSUER),
    "no issuer": ({"iss": None}, Fault.ISSUER),
    "another audience": ({"aud": "other"}, Fault.AUDIENCE),
    "a malformed audience": ({"aud": [1]}, Fault.AUDIENCE),
    "another client": ({"client_id": "chat"}, Fault.CLIENT),
    "no client": ({"client_id": None}, Fault.CLIENT),
    "DPoP": ({"token_type": "DPoP"}, Fault.TYPE),
    "a refresh token": ({"token_type": None}, Fault.TYPE),
    "a malformed type": ({"token_type": 1}, Fault.TYPE),
    "no principal": ({"username": None}, Fault.PRINCIPAL),
    "a principal of two words": ({"username": "a b"}, Fault.PRINCIPAL),
    "scopes that are no scopes": ({"roles": [1]}, Fault.SCOPES),
    "groups that are no groups": ({"teams": {}}, Fault.GROUPS),
    "a foreign confirmation": ({"cnf": {"jkt": "x"}}, Fault.CONFIRMATION),
    "a text as time": ({"exp": "soon"}, Fault.TIME),
    "true as time": ({"nbf": True}, Fault.TIME),
    "expired": ({"exp": NOW_S - SKEW_S}, Fault.EXPIRED),
    "not yet": ({"nbf": NOW_S + SKEW_S + 1}, Fault.NOT_YET),
}


@pytest.mark.parametrize(("changes", "fault"), FAULTS.values(), ids=FAULTS)
def test_what_the_entry_does_not_let_in_is_named(changes, fault):
    with pytest.raises(Bad) as refused:
        read(STRICT, **changes)
    assert refused.value.fault is fault


@pytest.mark.parametrize("times", [{"exp": NOW_S - SKEW_S + 1}, {"nbf": NOW_S + SKEW_S}])
def test_clocks_may_differ_by_the_skew(times):
    assert read(**times).who.principal == "svc-1"


GARBLED = {
    "nothing": b"",
    "a page": b"<html>",
    "a list": b"[]",
    "no active": b'{"sub":"svc-1"}',
    "active as text": b'{"active":"true"}',
    "active as number": b'{"active":1}',
    "active twice": b'{"active":false,"active":true}',
    "not UTF-8": b'{"active":true,"sub":"\xff"}',
    "NaN": b'{"active":true,"exp":NaN}',
    "deep": b'{"active":' + b"[" * 100_000,
}


@pytest.mark.parametrize("raw", GARBLED.values(), ids=GARBLED)
def test_an_answer_that_does_not_say_is_garbled(raw):
    with pytest.raises(GarbledError):
        active.read(raw, ENTRY, b"\1" * 32, NOW_S)


@given(st.binary(max_size=200) | st.builds(lambda found: json.dumps(found).encode(), st.dictionaries(
    st.sampled_from(["active", "sub", "exp", "nbf", "aud", "scope", "groups", "cnf", "client_id", "token_type"]),
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=3),
)))  # fmt: skip
def test_no_answer_raises_anything_else(raw):
    # Invariant: an answer is a caller of the entry's tenant, a verdict, or garbled.
    try:
        found = active.read(raw, ENTRY, b"\1" * 32, NOW_S)
    except (Bad, GarbledError):
        return
    assert found.who.tenant == "acme"
    assert found.who.principal
