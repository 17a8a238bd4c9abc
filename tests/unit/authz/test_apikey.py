"""API keys: what counts as one, and pepper rotation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.apikey import Fault, Peppers, Rejected, check, digest, mint
from gateway.policy.model import Key

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PEPPERS = Peppers(current="v2", secrets={"v1": OLD, "v2": NEW})
KEY_ID = "acme00000001"


def counting(count: int) -> bytes:
    return bytes(range(1, count + 1))


def key_for(minted, **changes) -> Key:
    record = Key(
        id=minted.id,
        tenant="acme",
        principal="alice",
        scopes=("chat",),
        digest=minted.digest,
        pepper=minted.pepper,
    )
    return replace(record, **changes)


@pytest.fixture
def minted():
    return mint(KEY_ID, counting, PEPPERS)


def test_minted_key_is_found(minted):
    key = key_for(minted)
    assert check(minted.text, {KEY_ID: key}, PEPPERS) is key


@given(secret=st.binary(min_size=32, max_size=32))
def test_every_secret_fits_the_form_and_is_found(secret):
    made = mint(KEY_ID, lambda _: secret, PEPPERS)
    key = key_for(made)
    assert check(made.text, {KEY_ID: key}, PEPPERS) is key


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.upper(),
        lambda text: text.replace("osk_", "sk_"),
        lambda text: text.replace("_", "-"),
        lambda text: text[:-1] + "ä",
        lambda text: text[:-1] + "٣",  # a digit, but not of ASCII
        lambda text: text + "," + text,
        lambda text: "osk_" * 100_000,
    ],
)
def test_malformed_key_is_refused(minted, alter):
    assert check(alter(minted.text), {KEY_ID: key_for(minted)}, PEPPERS) == Rejected(Fault.MALFORMED)


def test_unknown_id_is_refused(minted):
    assert check(minted.text, {}, PEPPERS) == Rejected(Fault.UNKNOWN, KEY_ID)


def test_one_wrong_character_is_refused(minted):
    other = minted.text[:-1] + ("a" if minted.text[-1] != "a" else "b")
    assert check(other, {KEY_ID: key_for(minted)}, PEPPERS) == Rejected(Fault.MISMATCH, KEY_ID)


def test_disabled_key_is_told_apart_only_for_who_holds_the_secret(minted):
    keys = {KEY_ID: key_for(minted, disabled=True)}
    wrong = minted.text[:-1] + ("a" if minted.text[-1] != "a" else "b")
    assert check(minted.text, keys, PEPPERS) == Rejected(Fault.DISABLED, KEY_ID)
    assert check(wrong, keys, PEPPERS) == Rejected(Fault.MISMATCH, KEY_ID)


def test_key_of_an_older_pepper_still_works_after_rotation(minted):
    before = Peppers(current="v1", secrets={"v1": OLD})
    key = key_for(mint(KEY_ID, counting, before))
    assert key.pepper == "v1"
    assert check(minted.text, {KEY_ID: key}, PEPPERS) is key


def test_digest_under_another_version_is_refused(minted):
    key = key_for(minted, pepper="v1")  # made with v2
    assert check(minted.text, {KEY_ID: key}, PEPPERS) == Rejected(Fault.MISMATCH, KEY_ID)


def test_key_of_a_retired_pepper_is_refused_by_cause(minted):
    key = key_for(minted, pepper="v0")
    assert check(minted.text, {KEY_ID: key}, PEPPERS) == Rejected(Fault.PEPPER, KEY_ID)


def test_digest_of_a_retired_pepper_does_not_pass_under_the_current_one(minted):
    # The substitute pepper only evens out the time; its result must never count.
    key = key_for(minted, pepper="v0", digest=digest(minted.text, NEW))
    assert check(minted.text, {KEY_ID: key}, PEPPERS) == Rejected(Fault.PEPPER, KEY_ID)


def test_record_that_holds_the_substitute_digest_matches_nothing(minted):
    assert check(minted.text, {KEY_ID: key_for(minted, digest="0" * 64)}, PEPPERS) == Rejected(Fault.MISMATCH, KEY_ID)


@pytest.mark.parametrize(
    "change",
    [{}, {"digest": "0" * 64}, {"pepper": "v0"}, {"disabled": True}, None],
)
def test_every_well_formed_key_costs_one_digest(minted, change, monkeypatch):
    calls = []
    real = digest
    monkeypatch.setattr("authz.apikey.digest", lambda *given: calls.append(1) or real(*given))
    check(minted.text, {} if change is None else {KEY_ID: key_for(minted, **change)}, PEPPERS)
    assert calls == [1]
