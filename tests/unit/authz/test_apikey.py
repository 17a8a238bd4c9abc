"""API keys: what counts as one, and pepper rotation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz import apikey
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


# --- what is remembered ----
class Counting(dict):
    """Peppers that count how often they are asked for: once for each HMAC."""

    used = 0

    def get(self, name, default=None):
        self.used += 1
        return super().get(name, default)


MINTED = mint(KEY_ID, counting, PEPPERS)
GOOD, RECORD = MINTED.text, key_for(MINTED)


def genuine_rig():
    secrets_ = Counting(PEPPERS.secrets)
    return apikey.Genuine(), Peppers(current=PEPPERS.current, secrets=secrets_), secrets_


def test_a_key_that_matched_is_not_digested_again():
    genuine, peppers, used = genuine_rig()
    keys = {RECORD.id: RECORD}
    assert [genuine.check(GOOD, keys, peppers).key for _ in range(3)] == [RECORD] * 3
    assert used.used == 1


@pytest.mark.parametrize("changes", [{"disabled": True}, {"digest": "0" * 64}, {"pepper": "v9"}, None])
def test_a_record_that_was_changed_or_removed_is_looked_at_anew(changes):
    genuine, peppers, _ = genuine_rig()
    keys = {RECORD.id: RECORD}
    assert genuine.check(GOOD, keys, peppers).key is RECORD
    changed = {} if changes is None else {RECORD.id: replace(RECORD, **changes)}
    for _ in range(2):
        assert isinstance(genuine.check(GOOD, changed, peppers), Rejected)
    assert genuine.check(GOOD, keys, peppers).key is RECORD


def test_a_wrong_secret_of_a_known_id_is_refused_however_often():
    genuine, peppers, _ = genuine_rig()
    keys = {RECORD.id: RECORD}
    assert genuine.check(GOOD, keys, peppers).key is RECORD
    wrong = GOOD[:-1] + ("a" if GOOD[-1] != "a" else "b")
    for _ in range(2):
        assert genuine.check(wrong, keys, peppers) == Rejected(Fault.MISMATCH, RECORD.id)


@pytest.mark.parametrize("text", ["", "osk_", GOOD + "x", GOOD[:-1] + "ä", "é" * len(GOOD)])
def test_what_is_no_key_is_told_as_that(text):
    genuine, peppers, _ = genuine_rig()
    assert genuine.check(text, {}, peppers) == Rejected(Fault.MALFORMED)


def test_what_is_remembered_is_bounded_and_holds_no_key():
    peppers = PEPPERS
    genuine, keys, texts = apikey.Genuine(remembered=3), {}, []
    for number in range(6):
        made = apikey.mint(f"key{number:09d}", lambda count, salt=number: bytes([salt]) * count, peppers)
        keys[made.id] = replace(RECORD, id=made.id, digest=made.digest, pepper=made.pepper)
        texts.append(made.text)
        assert genuine.check(made.text, keys, peppers).who.key_id == made.id
    assert len(genuine._known) == 3
    assert not [text for text in texts if text in repr(vars(genuine))]
