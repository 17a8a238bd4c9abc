"""Answers of a vault: KV of both versions, leases, and values that cannot be a header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vault.reading import Reading, read, whole
from gateway.vault.wire import VaultError


def values(found: Reading) -> dict[str, str]:
    return {name: one.reveal() for name, one in found.fields.items()}


def test_version_two_of_kv_tells_its_version():
    found = read({"data": {"data": {"key": "sk-1"}, "metadata": {"version": 7}}, "lease_duration": 0})
    assert (values(found), found.version, found.lease_id) == ({"key": "sk-1"}, 7, "")


def test_version_one_of_kv_has_a_duration_but_no_lease():
    found = read({"data": {"key": "sk-1", "data": "x"}, "lease_duration": 2_764_800, "lease_id": ""})
    assert (values(found), found.version, found.ttl_s) == ({"key": "sk-1", "data": "x"}, 0, 0)


def test_a_leased_secret_tells_how_long_it_lives():
    found = read({"data": {"password": "p"}, "lease_id": "l/1", "lease_duration": 60, "renewable": True})
    assert (found.lease_id, found.ttl_s, found.renewable) == ("l/1", 60, True)


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": "text"}, {"data": []}])
def test_an_answer_without_a_secret_is_an_error(answer):
    with pytest.raises(VaultError, match="without a secret"):
        read(answer)


PEM = "-----BEGIN PRIVATE KEY-----\nAAAA\r\n\tBBBB\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("value", [PEM, '{\n  "type": "service_account"\n}', "one line"])
def test_lines_of_text_are_texts_and_only_one_line_is_a_field_too(value):
    found = read({"data": {"key": value}})
    assert {name: one.reveal() for name, one in found.texts.items()} == {"key": value}
    assert values(found) == ({} if "\n" in value else {"key": value})
    assert value not in repr(found)


@pytest.mark.parametrize("value", ["", " \n", "\x00\n", "\x1b[0m", "\u00e9", 5, None, "x" * 20_000])
def test_what_is_no_text_is_none(value):
    assert read({"data": {"key": value}}).texts == {}


def test_a_text_that_changed_is_another_secret():
    one, two = (read({"data": {"key": f"a\n{last}"}}) for last in "bc")
    assert not one.says(two)
    assert one.says(one)


@pytest.mark.parametrize("value", ["", "a\nb", "a\r\nx-evil: 1", "\x00", "\u00e9", 5, None, ["x"], {}, "x" * 20_000])
def test_what_cannot_be_a_header_is_no_field(value):
    assert values(read({"data": {"key": value, "other": "fine"}})) == {"other": "fine"}


def test_one_line_break_at_the_end_is_not_part_of_the_value():
    assert values(read({"data": {"key": "sk-1\r\n"}})) == {"key": "sk-1"}


def test_the_same_values_say_the_same():
    one, two = read({"data": {"key": "a"}}), read({"data": {"key": "a"}})
    assert one.says(two)
    assert not one.says(read({"data": {"key": "b"}}))
    assert not one.says(read({"data": {"key": "a", "more": "b"}}))


def test_no_value_is_shown():
    assert "sk-1" not in repr(read({"data": {"key": "sk-1"}}))


@pytest.mark.parametrize(("value", "seconds"), [(5, 5), (0, 0), (-1, 0), (True, 0), ("5", 0), (None, 0), (1.5, 0)])
def test_durations_are_whole_seconds(value, seconds):
    assert whole(value) == seconds


ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "metadata", "version", "lease_id", "lease_duration", "renewable", "key"]), inner
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["data", "lease_id", "lease_duration", "renewable"]), ANSWERS))
def test_every_answer_is_read_or_refused_and_a_field_is_one_visible_line(answer):
    try:
        found = read(answer)
    except VaultError:
        return
    assert all(text and text.isascii() and text.isprintable() for text in values(found).values())
