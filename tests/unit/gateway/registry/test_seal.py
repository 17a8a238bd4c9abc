import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.model import VALUE_BYTES, Sort
from gateway.registry.seal import STORED_BYTES, Seals

OLD, NEW = b"o" * 32, b"n" * 32
SEALS = Seals({"v1": OLD, "v2": NEW})
STORED = SEALS.close(Sort.KEY, "k1", b'{"scope":"read"}')


@given(st.sampled_from(Sort), st.text(max_size=40), st.binary(max_size=200))
def test_what_was_sealed_opens(sort, entry_id, value):
    entry_id = entry_id.encode(errors="replace").decode()
    assert SEALS.open(sort, entry_id, SEALS.close(sort, entry_id, value)) == value


def test_the_stored_form_is_version_mac_value_under_the_last_pepper():
    version, mac, value = STORED.split(b":", 2)
    assert (version, len(mac), value) == (b"v2", 64, b'{"scope":"read"}')


def test_older_peppers_still_open():
    assert SEALS.open(Sort.KEY, "k", Seals({"v1": OLD}).close(Sort.KEY, "k", b"1")) == b"1"


@given(st.integers(0, len(STORED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(at, difference):
    forged = bytearray(STORED)
    forged[at] ^= difference
    assert SEALS.open(Sort.KEY, "k1", bytes(forged)) is None


@given(st.binary(max_size=200))
def test_nothing_else_opens(stored):
    assert SEALS.open(Sort.KEY, "k1", stored) is None


def test_an_entry_moved_to_another_id_or_sort_is_refused():
    assert SEALS.open(Sort.KEY, "k2", STORED) is None
    assert SEALS.open(Sort.ACCOUNT, "k1", STORED) is None


def test_the_end_of_an_id_is_not_the_start_of_a_value():
    stored = SEALS.close(Sort.KEY, "k", b"1:x")
    version, mac, _ = stored.split(b":", 2)
    assert SEALS.open(Sort.KEY, "k:1", version + b":" + mac + b":x") is None


@pytest.mark.parametrize("peppers", [{"v2": OLD}, {"v9": NEW}])
def test_another_pepper_or_one_that_is_not_held_is_refused(peppers):
    assert Seals(peppers).open(Sort.KEY, "k1", STORED) is None


def test_what_is_longer_than_any_entry_is_not_looked_at():
    seals = Seals({"v" * 32: NEW})
    assert len(seals.close(Sort.KEY, "k", b"x" * VALUE_BYTES)) == STORED_BYTES
    assert seals.open(Sort.KEY, "k", seals.close(Sort.KEY, "k", b"x" * (VALUE_BYTES + 1))) is None


def test_the_key_is_not_the_pepper_itself():
    plain = hmac.digest(NEW, b"key:2:k1:" + b'{"scope":"read"}', "sha256").hex().encode()
    assert plain not in STORED
