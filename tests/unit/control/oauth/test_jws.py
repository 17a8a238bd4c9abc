"""A compact JWS is read in one spelling and verified with the one key that was meant."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import issuing
from control.oauth import jws
from control.oauth.jws import MAX_CHARS, JwsError
from gateway import keyset

KEYS = keyset.parse(issuing.jwks(issuing.jwk("ES256"), issuing.jwk("EdDSA")))
GOOD = issuing.token("ES256")


def b64(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def judge(text, algorithms=("ES256", "EdDSA"), types=("at+jwt",)):
    jws.verify(jws.parse(text), KEYS, algorithms, types)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_genuine_text_counts(algorithm):
    judge(issuing.token(algorithm))


TWICE, NAN = b'{"sub":1,"sub":2}', b'{"exp":NaN}'
DEEP = b'{"a":' + b"[" * 2900 + b"]" * 2900 + b"}"
HEAD, BODY, SIGNATURE = GOOD.split(".")
UNREADABLE = {
    "two parts": f"{HEAD}.{BODY}",
    "five parts": f"{HEAD}.{BODY}.{SIGNATURE}.x.y",
    "padding": f"{HEAD}=.{BODY}.{SIGNATURE}",
    "another alphabet": GOOD.replace("_", "/").replace("-", "+") + "+/",
    "a space": f"{HEAD}. {BODY}.{SIGNATURE}",
    "unused bits": f"{b64({})[:-1]}P.{BODY}.{SIGNATURE}",
    "a list": f"{b64([])}.{BODY}.{SIGNATURE}",
    "a name twice": f"{HEAD}.{b64(TWICE)}.{SIGNATURE}",
    "NaN": f"{HEAD}.{b64(NAN)}.{SIGNATURE}",
    "nested without end": f"{HEAD}.{b64(DEEP)}.{SIGNATURE}",
    "too large": f"{HEAD}.{'A' * MAX_CHARS}.{SIGNATURE}",
    "no ASCII": f"{HEAD}.{BODY}.é",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_any_other_spelling_is_refused(text):
    with pytest.raises(JwsError):
        jws.parse(text)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("ABCxyz019-_."))
def test_no_character_can_be_changed(at, character):
    changed = GOOD[:at] + character + GOOD[at + 1 :]
    if changed != GOOD:
        with pytest.raises(JwsError):
            judge(changed)


def test_the_callers_algorithms_and_types_count_not_the_headers():
    with pytest.raises(JwsError, match="not pinned"):
        judge(GOOD, algorithms=("EdDSA",))
    with pytest.raises(JwsError, match="wrong typ"):
        judge(GOOD, types=("jwt", None))


def test_a_key_of_another_kid_does_not_stand_in():
    with pytest.raises(JwsError, match="no single key"):
        judge(issuing.token("ES256", header={"kid": "eddsa"}))


@pytest.mark.parametrize("value", [True, "1", -1, 10**12, None, [1], float("inf")])
def test_a_time_is_a_number_of_this_calendar(value):
    with pytest.raises(JwsError, match="not a time"):
        jws.time_of({"exp": value}, "exp")


def test_a_time_may_have_fractions_or_be_absent():
    assert (jws.time_of({"exp": 1.5}, "exp"), jws.time_of({}, "exp")) == (1.5, None)
