import re
from collections import OrderedDict
from enum import IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.secrets.reference import Secret
from gateway.telemetry import redact

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY = "osk_a1b2c3d4e5f6_" + "Zy9" * 14 + "Z"


@pytest.mark.parametrize(
    "credential",
    [
        KEY,
        "ocs_" + "a-b_" * 10 + "abc",
        "sk-proj-abcdefgh",
        "sk-ant-api03-abcdefgh",
        "sk_live_abcdefgh",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefghijk",
        "ghp_abcdefghijklmnop1234",
        "github_pat_11ABCDEFG0123456789",
        "glpat-abcdefghij1234567890",
        "hf_abcdefghijklmnopqrst",
        "hvs.CAESIJabcdefghijklmnop",
        "xoxb-123456789012-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
        "0123456789abcdef" * 4,
    ],
)
@pytest.mark.parametrize("around", ["{}", "upstream said: {} is bad", "key={},", '"{}"', "({})", "ключ {}"])
def test_a_credential_is_masked_wherever_it_stands(credential, around):
    shown = redact.text(around.format(credential))
    assert credential not in shown
    assert shown == around.format(redact.MASK)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("Bearer abc", "[redacted]"),
        ("bearer abc.def-ghi", "[redacted]"),
        ("BEARER: abc", "[redacted]"),
        ("authorization: Bearer token-7, then", "authorization: [redacted], then"),
        ("Basic dXNlcjpwYXNzd29yZA==", "[redacted]"),
        ("redis://user:hunter2@cache:6379/0", "redis[redacted]@cache:6379/0"),
        ("rediss://:hunter2@cache", "rediss[redacted]@cache"),
        ("a -----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY----- b", "a [redacted] b"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ", "[redacted]"),
    ],
)
def test_schemes_and_containers_of_credentials(told, shown):
    assert redact.text(told) == shown


@pytest.mark.parametrize(
    "harmless",
    [
        "",
        "exchange_done",
        "/v1/chat/completions",
        "gpt-4o-mini-2024-07-18",
        "p-0123456789ab",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "task-management-of-the-kiosk",
        "risk_assessment_of_models",
        "a bearer token is missing",
        "bearer tokens, basic things",
        "basic authentication was used",
        "https://api.example.com/v1/models?limit=10",
        "2024-03-01T12:00:00.000000Z",
        "upstream_reset_before_response_started{connection_timeout}",
        "/usr/lib/python3/site-packages/some_rather_long_package_name/module_of_it.py",
        "café, naïve and 日本語",
    ],
)
def test_what_operators_need_is_left_alone(harmless):
    assert redact.text(harmless) == harmless


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "proxy-authorization", "x-api-key", "api_key", "apiKey", "APIKey", "APIKEYS",
        "x-goog-api-key", "set-cookie", "Cookie", "password", "db_password", "client_secret", "clientSecret", "token",
        "access_token", "refreshToken", "private_key", "signing.key", "pepper", "peppers", "credential", "jwt",
        "SECRET_KEY", "secret",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["short", 12345678, b"bytes", ["a", "b"], {"a": "b"}, Secret("x"), 1.5])
def test_values_under_secret_names_are_masked_whole(name, value):
    assert redact.event({name: value}) == {name: redact.MASK}


@pytest.mark.parametrize(
    "name",
    [
        "key_id", "tokens", "input_tokens", "output_tokens", "token_count", "secret_file", "credential_kind", "pepper_version",
        "cache_key", "key", "keys", "monkey", "keyboard", "tokenizer", "secretary", "status", "password_path",
    ],
)  # fmt: skip
def test_names_that_only_sound_alike_keep_their_values(name):
    assert redact.event({name: "value", "n": 1}) == {name: "value", "n": 1}


def test_absence_of_a_secret_may_be_told():
    assert redact.event({"password": None, "token": False, "secret": True}) == {
        "password": None,
        "token": False,
        "secret": True,
    }


def test_both_nets_reach_into_containers():
    found = redact.event(
        {
            "headers": [("x-api-key", KEY), {"authorization": "x", "path": "/v1"}],
            "nested": {"list": [f"key {KEY}"]},
            KEY: "a key as a name",
        },
    )
    assert KEY not in repr(found)
    assert found["headers"][1] == {"authorization": redact.MASK, "path": "/v1"}
    assert found["nested"] == {"list": [f"key {redact.MASK}"]}


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Talkative:
    def __repr__(self):
        raise AssertionError("a repr must not be asked")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (Path("/etc/ostiary"), "/etc/ostiary"),
        (b"hunter2", "<7 bytes>"),
        (bytearray(3), "<3 bytes>"),
        (ValueError("hunter2"), "<ValueError>"),
        (Secret("hunter2"), "<Secret>"),
        (Talkative(), "<Talkative>"),
        ((1, "a"), [1, "a"]),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (OrderedDict(a=1), {"a": 1}),
        ({Talkative(): 1}, {"<Talkative>": 1}),
        (2**63, redact.CUT),
        (-(2**63), -(2**63)),
        ("half \ud800 pair", "half ? pair"),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_every_value_becomes_json_without_its_repr(value, shown):
    clean = redact.event({"field": value})
    assert clean == {"field": shown}
    orjson.dumps(clean)


def test_long_text_is_cut_and_no_half_credential_is_left_at_the_cut():
    for start in range(redact.TEXT_CHARS - 80, redact.TEXT_CHARS + 5):
        shown = redact.text("w " * (start // 2) + KEY + " tail" * 100)
        assert shown.endswith(redact.CUT)
        assert len(shown) <= redact.TEXT_CHARS + len(redact.CUT) + len(redact.MASK)
        assert "Zy9" not in shown


def test_a_flood_of_values_is_cut():
    clean = redact.event({"values": list(range(10_000)), "after": 1})
    assert len(clean["values"]) == redact.NODES
    assert clean["values"][-1] == redact.CUT
    assert "after" not in clean
    wide = redact.event({str(number): number for number in range(10_000)})
    assert len(wide) == redact.NODES + 1
    assert wide["cut"] is True


def test_deep_and_circular_values_are_cut():
    loop: dict[str, object] = {}
    loop["self"] = loop
    assert redact.event(loop) == {"self": {"self": {"self": {"self": redact.CUT}}}}
    deep: object = "bottom"
    for _ in range(5_000):
        deep = [deep]
    assert "bottom" not in repr(redact.event({"deep": deep}))


def test_long_names_are_cut():
    (name,) = redact.event({"n" * 100_000: 1})
    assert len(name) == 64


def test_every_branch_starts_with_a_literal_so_that_scanning_stays_fast():
    parsed = re._parser.parse(redact._MARKED.pattern, redact._MARKED.flags)
    info = re._compiler._get_charset_prefix(parsed, redact._MARKED.flags)
    assert info, "re found no set of first characters: one branch starts with a class or an assertion"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _json))
def test_any_event_becomes_serialisable(fields):
    orjson.dumps(redact.event(fields))


@given(
    st.text(max_size=1500),
    st.text(BASE62, min_size=43, max_size=43),
    st.text(" ,;\"'()\n", min_size=1, max_size=1),
    st.text(max_size=1500),
)
def test_our_own_keys_never_survive_in_any_text(before, secret, gap, after):
    assume(secret not in before)
    assume(secret not in after)
    key = f"osk_a1b2c3d4e5f6_{secret}"
    assert secret not in redact.text(f"{before}{gap}{key}{gap}{after}")
    assert secret not in redact.text(f"{before}{key}{after}")
