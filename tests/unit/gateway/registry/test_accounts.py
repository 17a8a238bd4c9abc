"""Service accounts as entries: what is written is read back, and nothing half, mixed or private is."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.accounts import Account, Binding, Method, Secret, read, write

SECRET = Secret(digest="ab" * 32, pepper="v1", created_at=100)
ACCOUNT = Account(
    client_id="batch-7",
    tenant="acme",
    principal="svc/batch",
    method=Method.SECRET,
    scopes=("chat", "embed"),
    secrets=(SECRET,),
    created_at=100,
    created_by="alice (uid:1000)",
)
SIGNED = replace(ACCOUNT, method=Method.JWT, secrets=(), jwks='{"keys":[]}', algorithms=frozenset({"ES256", "RS256"}))
BOUND = replace(
    ACCOUNT,
    method=Method.CERTIFICATE,
    secrets=(),
    certificate=Binding(uri="spiffe://acme.example/batch", spki_sha256=frozenset({"cd" * 32, "ef" * 32})),
)
FULL = replace(
    ACCOUNT,
    audiences=("https://a.example", "b"),
    secrets=(SECRET, replace(SECRET, expires_at=900)),
    token_s=60,
    disabled=True,
    expires_at=1_900_000_000,
)


@pytest.mark.parametrize("account", [ACCOUNT, SIGNED, BOUND, FULL])
def test_what_is_written_is_read_back(account):
    assert read(account.client_id, write(account)) == account


def test_no_digest_is_shown():
    assert "abab" not in repr(FULL)


TOLD = json.loads(write(ACCOUNT))
BAD = {
    "not an object": [1],
    "a name more": TOLD | {"groups": []},
    "a name less": {name: value for name, value in TOLD.items() if name != "disabled"},
    "another id": TOLD | {"client_id": "other"},
    "no tenant": TOLD | {"tenant": ""},
    "tenant a list": TOLD | {"tenant": ["acme"]},
    "a principal with a space": TOLD | {"principal": "a b"},
    "an unknown method": TOLD | {"method": "client_secret_post"},
    "method a list": TOLD | {"method": ["client_secret_basic"]},
    "scopes a text": TOLD | {"scopes": "chat"},
    "a scope twice": TOLD | {"scopes": ["chat", "chat"]},
    "a scope with a space": TOLD | {"scopes": ["chat embed"]},
    "a scope that is none": TOLD | {"scopes": [1]},
    "too many scopes": TOLD | {"scopes": [f"s{n}" for n in range(101)]},
    "an audience with a space": TOLD | {"audiences": ["a b"]},
    "no secret": TOLD | {"secrets": []},
    "three secrets": TOLD | {"secrets": TOLD["secrets"] * 3},
    "a secret with a name more": TOLD | {"secrets": [TOLD["secrets"][0] | {"text": "x"}]},
    "a secret in clear": TOLD | {"secrets": [TOLD["secrets"][0] | {"digest": "hunter2"}]},
    "secrets a mapping": TOLD | {"secrets": {}},
    "keys beside a secret": TOLD | {"jwks": "{}"},
    "jwks a mapping": TOLD | {"jwks": {}},
    "algorithms beside a secret": TOLD | {"algorithms": ["ES256"]},
    "a certificate beside a secret": TOLD
    | {"certificate": {"uri": "a:b", "dns": "", "subject": "", "spki_sha256": []}},
    "an endless life": TOLD | {"token_s": 3601},
    "no life": TOLD | {"token_s": 0},
    "a flag as life": TOLD | {"token_s": True},
    "disabled a number": TOLD | {"disabled": 0},
    "a fraction as time": TOLD | {"created_at": 1.5},
    "beyond all calendars": TOLD | {"expires_at": 10**12},
    "made by nobody": TOLD | {"created_by": ""},
    "a JWT client without keys": json.loads(write(SIGNED)) | {"jwks": ""},
    "a JWT client without algorithms": json.loads(write(SIGNED)) | {"algorithms": []},
    "a shared-secret algorithm": json.loads(write(SIGNED)) | {"algorithms": ["HS256"]},
    "no algorithm at all": json.loads(write(SIGNED)) | {"algorithms": ["none"]},
    "a TLS client without a certificate": json.loads(write(BOUND)) | {"certificate": None},
    "any certificate": json.loads(write(BOUND))
    | {"certificate": {"uri": "", "dns": "", "subject": "", "spki_sha256": []}},
    "a certificate with a name more": json.loads(write(BOUND)) | {"certificate": {"uri": "a:b"}},
    "a pin that is none": json.loads(write(BOUND))
    | {"certificate": {"uri": "", "dns": "", "subject": "", "spki_sha256": ["x"]}},
    "a wildcard": json.loads(write(BOUND))
    | {"certificate": {"uri": "", "dns": "*.acme.example", "subject": "", "spki_sha256": []}},
}


@pytest.mark.parametrize("told", BAD.values(), ids=BAD)
def test_nothing_else_is_an_account(told):
    with pytest.raises(ValueError):  # the text is for the log; that it is refused is what counts
        read("batch-7", json.dumps(told).encode())


def test_a_name_that_stands_twice_is_refused():
    with pytest.raises(ValueError):
        read("batch-7", write(ACCOUNT).replace(b'{"algorithms"', b'{"disabled":true,"algorithms"', 1))


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_bytes_of_any_kind_raise_nothing_but_value_errors(raw):
    with pytest.raises(ValueError):
        read("batch-7", raw)


@pytest.mark.parametrize(
    ("account", "is_open"),
    [
        (ACCOUNT, True),
        (replace(ACCOUNT, disabled=True), False),
        (replace(ACCOUNT, expires_at=1000), False),
        (replace(ACCOUNT, expires_at=1001), True),
    ],
)
def test_a_disabled_or_expired_account_is_shut(account, is_open):
    assert account.open_at(1000.0) is is_open
