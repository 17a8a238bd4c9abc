"""Claims of a genuine token: who it is, and whether it counts now."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz import claims
from authz.jose import Bad, Fault
from issuing import CLAIMS, ISSUER, NOW_S

ID = b"token"


def read(issuer=ISSUER, **changes):
    return claims.read({**CLAIMS, **changes}, issuer, ID)


def fault(issuer=ISSUER, *, now_s=NOW_S, without=(), **changes):
    body = {name: value for name, value in {**CLAIMS, **changes}.items() if name not in without}
    try:
        claims.check_times(body, issuer, now_s)
        claims.read(body, issuer, ID)
    except Bad as bad:
        return bad.fault
    return None


def test_a_good_token_names_its_bearer():
    bearer = read(groups=["ops", "dev"])
    assert (bearer.issuer, bearer.tenant, bearer.principal) == ("corp", "acme", "svc-1")
    assert (bearer.scopes, bearer.groups) == (("chat", "embed"), ("ops", "dev"))
    assert (bearer.ends_s, bearer.stale_s) == (NOW_S + 300, NOW_S + 270)


def test_a_claim_never_chooses_the_tenant():
    assert read(tenant="globex", org="globex", tid="globex").tenant == "acme"


def test_the_key_id_names_the_token_and_gives_nothing_away():
    bearer = read()
    assert bearer.key_id.startswith("jwt:")
    assert len(bearer.key_id) == 20
    assert "token-0001" not in bearer.key_id
    assert bearer.key_id == read(exp=NOW_S + 900).key_id
    assert bearer.key_id != read(jti="token-0002").key_id
    assert bearer.key_id != read(replace(ISSUER, issuer="https://other.example")).key_id


def test_a_token_without_jti_is_named_by_its_hash():
    bare = {name: value for name, value in CLAIMS.items() if name != "jti"}
    assert claims.read(bare, ISSUER, b"a").key_id != claims.read(bare, ISSUER, b"b").key_id


def test_the_mapping_of_claims_is_the_issuers():
    issuer = replace(
        ISSUER, principal_claim="email", principal_prefix="corp:", scope_claims=("roles",), group_claim="teams"
    )
    bearer = read(issuer, email="ada@example.com", roles=["a", "b", "a"], teams="ops", groups=["not these"])
    assert (bearer.principal, bearer.scopes, bearer.groups) == ("corp:ada@example.com", ("a", "b"), ("ops",))


@pytest.mark.parametrize(
    ("given_claims", "scopes"),
    [
        ({"scope": "a b"}, ("a", "b")),
        ({"scp": "a b"}, ("a", "b")),
        ({"scp": ["a", "b"]}, ("a", "b")),
        ({"scope": "a", "scp": ["b"]}, ("a",)),
        ({"scope": ""}, ()),
        ({}, ()),
    ],
)
def test_scopes_come_as_text_or_list(given_claims, scopes):
    bare = {name: value for name, value in CLAIMS.items() if name != "scope"}
    assert claims.read({**bare, **given_claims}, ISSUER, ID).scopes == scopes


@pytest.mark.parametrize(
    "subject",
    [
        "auth0|5f7c8ec7",
        "system:serviceaccount:ns:name",
        "repo:a/b:ref:refs/heads/main",
        "ada@example.com",
        "client@clients",
    ],
)
def test_subjects_of_real_issuers_are_principals(subject):
    assert read(sub=subject).principal == subject


BAD = {
    "no exp": ({"without": ("exp",)}, Fault.CLAIM_MISSING),
    "exp null": ({"exp": None}, Fault.TIME),
    "exp a text": ({"exp": str(NOW_S)}, Fault.TIME),
    "exp true": ({"exp": True}, Fault.TIME),
    "exp negative": ({"exp": -1}, Fault.TIME),
    "exp beyond dates": ({"exp": 10**20}, Fault.TIME),
    "exp infinite": ({"exp": float("inf")}, Fault.TIME),
    "exp not a number": ({"exp": float("nan")}, Fault.TIME),
    "exp a list": ({"exp": [NOW_S]}, Fault.TIME),
    "nbf a text": ({"nbf": "now"}, Fault.TIME),
    "iat a text": ({"iat": "now"}, Fault.TIME),
    "nbf later": ({"nbf": NOW_S + 31}, Fault.NOT_YET),
    "iat later": ({"iat": NOW_S + 31}, Fault.ISSUED_LATER),
    "no sub": ({"without": ("sub",)}, Fault.PRINCIPAL),
    "sub empty": ({"sub": ""}, Fault.PRINCIPAL),
    "sub a number": ({"sub": 7}, Fault.PRINCIPAL),
    "sub null": ({"sub": None}, Fault.PRINCIPAL),
    "sub with a space": ({"sub": "a b"}, Fault.PRINCIPAL),
    "sub with a line end": ({"sub": "a\n"}, Fault.PRINCIPAL),
    "sub with a quote": ({"sub": 'a"'}, Fault.PRINCIPAL),
    "sub with a brace": ({"sub": "{tenant}"}, Fault.PRINCIPAL),
    "sub not ASCII": ({"sub": "ädä"}, Fault.PRINCIPAL),
    "sub half a character": ({"sub": "\ud800"}, Fault.PRINCIPAL),
    "sub endless": ({"sub": "x" * 256}, Fault.PRINCIPAL),
    "scope a number": ({"scope": 7}, Fault.SCOPES),
    "scope null": ({"scope": None}, Fault.SCOPES),
    "scope fields": ({"scope": {"a": 1}}, Fault.SCOPES),
    "scope with a quote": ({"scope": 'a "b"'}, Fault.SCOPES),
    "scope with a space in a list": ({"scope": ["a b"]}, Fault.SCOPES),
    "scope of numbers": ({"scope": [1]}, Fault.SCOPES),
    "scopes without end": ({"scope": " ".join(map(str, range(101)))}, Fault.SCOPES),
    "groups a number": ({"groups": 7}, Fault.GROUPS),
    "groups of numbers": ({"groups": [7]}, Fault.GROUPS),
    "groups with a control character": ({"groups": ["a\x1b[0m"]}, Fault.GROUPS),
    "groups without end": ({"groups": list(map(str, range(201)))}, Fault.GROUPS),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), BAD.values(), ids=BAD)
def test_a_claim_that_cannot_count_refuses_the_token(changes, expected):
    assert fault(**changes) is expected


@pytest.mark.parametrize("name", ["jti", "client_id", "iat", "sub"])
def test_a_required_claim_must_be_there(name):
    strict = replace(ISSUER, required_claims=frozenset({name}))
    assert fault(strict) is None
    assert fault(strict, without=(name,)) is Fault.CLAIM_MISSING
    assert fault(strict, **{name: None}) in {Fault.CLAIM_MISSING, Fault.TIME}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"client_id": "batch"}, None),
        ({"azp": "batch"}, None),
        ({"client_id": "batch", "azp": "chat"}, None),
        ({"client_id": "batch", "azp": "evil"}, Fault.CLIENT),
        ({"client_id": "evil"}, Fault.CLIENT),
        ({"client_id": ["batch"]}, Fault.CLIENT),
        ({}, Fault.CLIENT),
    ],
)
def test_only_named_clients_count_where_there_is_a_list(named, expected):
    bare = {"without": ("client_id",)} if "client_id" not in named else {}
    assert fault(replace(ISSUER, clients=frozenset({"batch", "chat"})), **bare, **named) is expected


@pytest.mark.parametrize(
    ("changes", "shift_s", "expected"),
    [
        ({"nbf": NOW_S}, -30, None),
        ({"nbf": NOW_S}, -30.001, Fault.NOT_YET),
        ({"nbf": NOW_S, "iat": NOW_S}, -30, None),
        ({"nbf": 0, "iat": NOW_S}, -30.001, Fault.ISSUED_LATER),
        ({"nbf": NOW_S + 0.5, "iat": 0}, -29.5, None),
    ],
)
def test_skew_has_sharp_edges(changes, shift_s, expected):
    assert fault(now_s=NOW_S + shift_s, **changes) is expected


def test_a_token_may_be_too_old_before_it_expires():
    issuer = replace(ISSUER, max_age_s=60)
    assert fault(issuer, iat=NOW_S - 90) is None
    assert fault(issuer, iat=NOW_S - 90, now_s=NOW_S + 0.001) is Fault.TOO_OLD
    assert fault(issuer, without=("iat",)) is Fault.CLAIM_MISSING
    assert read(issuer, iat=NOW_S - 10).stale_s == NOW_S + 50


@pytest.mark.parametrize(
    ("named", "audiences"),
    [
        ("a", {"a"}),
        (["a", "b"], {"a", "b"}),
        ([], set()),
        (["a", 1], set()),
        (None, set()),
        ({"a": 1}, set()),
        (1, set()),
    ],
)
def test_audiences_are_a_text_or_a_list_of_texts(named, audiences):
    assert claims.audiences_of({"aud": named}) == audiences


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(body=st.dictionaries(st.sampled_from([*CLAIMS, "azp", "groups", "scp"]), JSON))
def test_no_claims_raise_anything_else(body):
    issuer = replace(ISSUER, clients=frozenset({"x"}), max_age_s=5)
    with pytest.raises(Bad):
        claims.read(body, issuer, ID)
    claims.audiences_of(body)
