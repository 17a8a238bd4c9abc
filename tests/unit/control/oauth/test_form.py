"""Form parameters: whatever an encoder writes is read back, and nothing is read in two ways."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.oauth.form import MAX_BYTES, decoded, one, read
from control.oauth.refusal import OAuthRefusal
from control.request import Request
from oauth_case import FORM

NAMES = st.from_regex(r"\A[a-z_]{1,12}\Z")
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=50)


def form(body, content_type=FORM, **changes):
    raw = body.encode() if isinstance(body, str) else body
    return read(Request(method="POST", path="/", headers={"content-type": content_type}, body=raw, **changes))


@given(st.dictionaries(NAMES, PRINTABLE, max_size=10))
def test_what_an_encoder_writes_is_read_back(parameters):
    assert form(urlencode(parameters)) == {name: (value,) for name, value in parameters.items()}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_refused(raw):
    try:
        found = form(raw)
    except OAuthRefusal:
        found = {}
    assert all(values and all(values) for values in found.values())


def test_a_parameter_without_a_value_counts_as_left_out():
    assert form("scope=&grant_type=x&resource") == {"grant_type": ("x",)}


def test_resources_may_stand_several_times():
    assert form("resource=a&resource=&resource=b&audience=c") == {"resource": ("a", "b"), "audience": ("c",)}


def test_names_are_decoded_before_they_are_compared():
    with pytest.raises(OAuthRefusal, match="scope stands twice"):
        form("scope=a&sco%70e=b")


def test_a_charset_is_no_other_type():
    assert form("a=b", "Application/X-WWW-Form-Urlencoded; charset=utf-8") == {"a": ("b",)}


@pytest.mark.parametrize(
    "text", ["%", "%2", "%2g", "a%", "%ff", "%c0%80", "%ed%a0%80", "%00", "%0a", "%7f", "%e2%80%a8"]
)
def test_what_is_no_text_is_refused(text):
    with pytest.raises(ValueError):
        decoded(text)


def test_plus_is_a_space_and_an_escaped_plus_is_none():
    assert decoded("a+b%2Bc") == "a b+c"


@pytest.mark.parametrize(("size", "fine"), [(MAX_BYTES, True), (MAX_BYTES + 1, False)])
def test_the_bound_is_exact(size, fine):
    body = "a=" + "b" * (size - 2)
    if fine:
        assert len(one(form(body), "a")) == size - 2
    else:
        with pytest.raises(OAuthRefusal) as refused:
            form(body)
        assert refused.value.status == 413


def test_an_empty_body_has_no_parameters():
    assert form("") == {}
    assert one({}, "token") == ""
