import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.revocation import record
from gateway.revocation.record import Revocation

GOOD = Revocation(mark="key:k1", reason="leaked in a ticket", actor="ada", at=100, until=200, issued_before=90)
SECONDS = st.integers(0, 253_402_300_799)


@given(
    st.builds(
        Revocation,
        mark=st.sampled_from(["key:k1", "subject:acme/ci", "tenant:acme", f"certificate:{'0f' * 32}"]),
        reason=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200),
        actor=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128),
        at=SECONDS,
        until=st.none() | SECONDS,
        issued_before=st.none() | SECONDS,
    )
)
def test_what_is_written_reads_the_same(revocation):
    assert record.read(revocation.mark, record.write(revocation)) == revocation


TOLD = orjson.loads(record.write(GOOD))


@pytest.mark.parametrize(
    "changes",
    [
        {"mark": "key:k2"}, {"mark": 1}, {"reason": ""}, {"reason": " "}, {"reason": "a\nb"}, {"reason": "x" * 501},
        {"reason": None}, {"actor": ""}, {"actor": "x" * 129}, {"actor": 7}, {"at": None}, {"at": 1.5}, {"at": True},
        {"at": -1}, {"at": "100"}, {"until": "200"}, {"until": False}, {"until": 10**12}, {"issued_before": 1.0},
        {"extra": 1},
    ],
)  # fmt: skip
def test_anything_else_is_not_read(changes):
    with pytest.raises(ValueError):
        record.read("key:k1", orjson.dumps(TOLD | changes))


@pytest.mark.parametrize("name", TOLD)
def test_a_missing_name_is_not_made_up(name):
    with pytest.raises(ValueError):
        record.read("key:k1", orjson.dumps({key: value for key, value in TOLD.items() if key != name}))


@pytest.mark.parametrize("value", [b"", b"[]", b"null", b"{", b"\xff"])
def test_what_is_no_json_object_is_not_read(value):
    with pytest.raises(ValueError):
        record.read("key:k1", value)


def test_the_mark_of_a_record_must_be_a_mark():
    with pytest.raises(ValueError):
        Revocation(mark="nobody", reason="x", actor="a", at=1)


def test_it_counts_up_to_its_end():
    assert GOOD.counts(199.9)
    assert not GOOD.counts(200)
    assert Revocation(mark="key:k1", reason="x", actor="a", at=100).counts(10**12)


def test_it_concerns_what_was_issued_earlier_or_does_not_tell():
    assert GOOD.concerns(89)
    assert not GOOD.concerns(90)
    assert GOOD.concerns(0)
    assert Revocation(mark="key:k1", reason="x", actor="a", at=100).concerns(10**9)


def test_a_record_that_cannot_be_read_revokes_everything_of_its_mark():
    worst = record.read_or_worst("key:k1", b"{}")
    assert (worst.mark, worst.until, worst.issued_before) == ("key:k1", None, None)
    assert record.read_or_worst("key:k1", record.write(GOOD)) == GOOD


def test_an_unknown_mark_is_told_as_such():
    with pytest.raises(ValueError):
        record.read_or_worst("planet:earth", b"{}")
