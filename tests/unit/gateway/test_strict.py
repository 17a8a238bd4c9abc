"""base64url and JSON: one spelling, one meaning."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import strict


@given(raw=st.binary(max_size=60))
def test_what_was_encoded_is_read(raw):
    assert strict.base64url(base64.urlsafe_b64encode(raw).rstrip(b"=").decode()) == raw


@pytest.mark.parametrize("text", ["QQ==", "QQ=", "QR", "Q", "Q Q", "QQ\n", "Q+Q_", "Q/Q_", "QQ.", "QéQQ", "\x00QQQ"])
def test_every_other_spelling_is_refused(text):
    with pytest.raises(ValueError):
        strict.base64url(text)


@given(text=st.text("ABab01-_+/= \n", max_size=12))
def test_a_text_that_is_read_is_the_only_one_that_means_its_bytes(text):
    try:
        raw = strict.base64url(text)
    except ValueError:
        return
    assert base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text


@given(
    value=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()))
)
def test_objects_are_read(value):
    assert strict.json_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize("raw", [b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'[{"a":1,"a":2}]', b'{"a":1,"\\u0061":2}'])
def test_duplicate_names_are_told_from_other_mistakes(raw):
    with pytest.raises(strict.DuplicateError):
        strict.json_object(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_strict_object_is_refused(raw):
    with pytest.raises(ValueError):
        strict.json_object(raw)
