"""A key's record: what was written is read, and nothing else is."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.key import LAST_SECOND
from gateway.policy.model import Key, RateLimit
from gateway.registry import keys
from gateway.registry.keys import KeyRecord
from gateway.registry.model import VALUE_BYTES

ID = "k7d2m0q9x4ab"
KEY = Key(id=ID, tenant="acme", principal="ci", scopes=("chat",), digest="0123456789abcdef" * 4, pepper="v1")
RECORD = KeyRecord(key=KEY, created_at=1_700_000_000, created_by="alice")

_IDS = st.text(string.ascii_lowercase + string.digits, min_size=12, max_size=12)
_PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), max_size=64)
_NETWORKS = st.sampled_from(["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32", "::/0", "0.0.0.0/0"])
_RATES = st.builds(RateLimit, requests=st.integers(1, 10_000), window_s=st.integers(1, 86_400))
_MODELS = st.sampled_from(["gpt-4o-mini", "meta/llama-3.1@70b", "a:b"])
RECORDS = st.builds(
    KeyRecord,
    key=st.builds(
        Key,
        id=_IDS,
        tenant=st.sampled_from(["acme", "a", "0-_"]),
        principal=st.sampled_from(["ci", "alice@acme.example", "A/b:c+d"]),
        scopes=st.lists(st.sampled_from(["chat", "ostiary.admin"]), max_size=3).map(tuple),
        digest=st.text("0123456789abcdef", min_size=64, max_size=64),
        pepper=st.sampled_from(["v1", "2026.07"]),
        expires_at=st.none() | st.integers(1, LAST_SECOND),
        disabled=st.booleans(),
        rate=st.none() | _RATES,
        models=st.frozensets(_MODELS),
        cidrs=st.lists(_NETWORKS, unique=True).map(tuple),
    ),
    created_at=st.integers(0, LAST_SECOND),
    created_by=_PRINTABLE,
    name=_PRINTABLE,
    note=_PRINTABLE,
    rotated_from=st.just("") | _IDS,
    rotated_to=st.just("") | _IDS,
)


@given(RECORDS)
def test_what_was_written_is_read(record):
    assert keys.read(record.key.id, keys.write(record)) == record


def test_the_longest_record_fits_the_registry():
    models = frozenset(f"{n:03}" + "m" * 125 for n in range(keys.MAX_MODELS))
    scopes = tuple(f"{n:02}" + "s" * 62 for n in range(keys.MAX_SCOPES))
    cidrs = tuple(f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{n:x}/128" for n in range(0x1000, 0x1000 + 64))
    key = Key(id=ID, tenant="a" * 63, principal="p" * 128, scopes=scopes, digest="a" * 64, pepper="v" * 32,
              models=models, cidrs=cidrs, rate=RateLimit(requests=1), expires_at=1)  # fmt: skip
    record = KeyRecord(key=key, created_at=1, created_by="é" * 128, name="é" * 64, note="é" * 256)
    value = keys.write(record)
    assert keys.read(ID, value) == record
    assert len(value) < VALUE_BYTES


def altered(**changes: object) -> bytes:
    told = json.loads(keys.write(RECORD)) | changes
    return json.dumps({name: told[name] for name in sorted(told)}, separators=(",", ":")).encode()


def test_an_altered_record_without_a_change_is_the_record():
    assert altered() == keys.write(RECORD)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ID},
        {"limit": 5},
        {"tenant": ""},
        {"tenant": None},
        {"tenant": "Acme"},
        {"tenant": ["acme"]},
        {"principal": "a b"},
        {"principal": 7},
        {"scopes": "chat"},
        {"scopes": [1]},
        {"scopes": ["a b"]},
        {"scopes": ["s"] * 65},
        {"digest": "0" * 63},
        {"digest": "A" * 64},
        {"pepper": ""},
        {"expires_at": "1"},
        {"expires_at": True},
        {"expires_at": 1.0},
        {"expires_at": -1},
        {"expires_at": LAST_SECOND + 1},
        {"disabled": 1},
        {"disabled": "true"},
        {"disabled": False},  # the default is left out
        {"rate": {}},
        {"rate": {"requests": 0, "window_s": 60}},
        {"rate": {"requests": True, "window_s": 60}},
        {"rate": {"requests": 1, "window_s": 60, "burst": 1}},
        {"rate": None},
        {"models": ["*"]},
        {"models": ["b", "a"]},  # not in order
        {"models": []},
        {"models": ["m"] * 257},
        {"cidrs": ["192.0.2.1/24"]},
        {"cidrs": ["everywhere"]},
        {"cidrs": "192.0.2.0/24"},
        {"created_at": None},
        {"created_by": "a\u202eb"},
        {"created_by": "a" * 129},
        {"name": "a\nb"},
        {"note": "\x1b[2J"},
        {"rotated_to": "short"},
    ],
)
def test_a_record_that_is_not_understood_whole_is_refused(changes):
    with pytest.raises(ValueError, match=r"expected|fields|spell"):
        keys.read(ID, altered(**changes))


@pytest.mark.parametrize("missing", ["tenant", "principal", "digest", "pepper", "created_at"])
def test_a_record_without_a_needed_field_is_refused(missing):
    told = json.loads(keys.write(RECORD))
    del told[missing]
    with pytest.raises(ValueError, match="expected"):
        keys.read(ID, json.dumps(told).encode())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"key"',
        b"\xff",
        keys.write(RECORD) + b" ",
        keys.write(RECORD)[:-1] + b',"tenant":"globex"}',  # a name twice
        keys.write(RECORD).replace(b'"acme"', b'"\\u0061cme"'),
    ],
)
def test_bytes_that_were_not_written_here_are_refused(value):
    with pytest.raises(ValueError, match=r".+"):
        keys.read(ID, value)


@pytest.mark.parametrize("key_id", ["", "K7D2M0Q9X4AB", "k7d2m0q9x4a", "k7d2m0q9x4ab\n"])
def test_an_id_of_another_form_is_refused(key_id):
    with pytest.raises(ValueError, match="id"):
        keys.read(key_id, keys.write(RECORD))
