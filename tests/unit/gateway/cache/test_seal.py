import secrets

from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.seal import CacheSeals

SEALS = CacheSeals(secrets.token_bytes(32))
GIVEN = (1_700_000_000.5, 7, 5, b'{"answer": "A tower with a light."}')
PARTS = st.lists(st.binary(max_size=12), max_size=5)


def test_what_was_closed_opens_under_its_tenant_name_and_moment_alone():
    sealed = SEALS.close("acme", "name", 1000, GIVEN)
    assert SEALS.open("acme", "name", 1000, sealed) == GIVEN
    assert SEALS.open("other", "name", 1000, sealed) is None
    assert SEALS.open("acme", "other", 1000, sealed) is None
    assert SEALS.open("acme", "name", 1001, sealed) is None
    assert CacheSeals(secrets.token_bytes(32)).open("acme", "name", 1000, sealed) is None
    assert b"tower" not in sealed


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_can_be_changed(at, by):
    sealed = bytearray(SEALS.close("acme", "name", 1000, GIVEN))
    sealed[at % len(sealed)] ^= by
    assert SEALS.open("acme", "name", 1000, bytes(sealed)) is None


@given(st.binary(max_size=80))
def test_nothing_made_up_opens(raw):
    assert SEALS.open("acme", "name", 1000, raw) is None


def test_the_same_answer_is_never_sealed_alike():
    assert SEALS.close("acme", "name", 1000, GIVEN) != SEALS.close("acme", "name", 1000, GIVEN)


@given(PARTS, PARTS)
def test_different_parts_have_different_names_wherever_they_are_divided(one, other):
    assert (SEALS.name("acme", one) == SEALS.name("acme", other)) == (one == other)


def test_tenants_and_peppers_have_names_of_their_own():
    parts = [b"prompt"]
    names = {
        SEALS.name("acme", parts),
        SEALS.name("other", parts),
        CacheSeals(secrets.token_bytes(32)).name("acme", parts),
    }
    assert len(names) == 3


def test_keys_of_many_tenants_are_not_remembered_for_ever():
    seals = CacheSeals(secrets.token_bytes(32))
    name = seals.name("acme", [b"x"])
    for number in range(5000):
        seals.name(f"t{number}", [])
    assert len(seals._keys) <= 4096
    assert seals.name("acme", [b"x"]) == name
