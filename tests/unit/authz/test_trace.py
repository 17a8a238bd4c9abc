"""Request ids and trace context: what is kept, and what is made anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz import trace

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{PARENT}-01"


def ones(count):
    return b"\x01" * count


@pytest.mark.parametrize("given_id", ["7e0f0c6e-3a52-4b7e-9d0c-2a8a6f1f3f11", "a", "A.b_c-9", "x" * 64])
def test_safe_request_id_is_kept(given_id):
    assert trace.request_id([given_id], ones) == given_id


@pytest.mark.parametrize("values", [[], ["a", "b"], [""], ["a b"], ["a\n"], ["x" * 65], ["ä"], ['{"a":1}']])
def test_other_request_ids_are_replaced(values):
    assert trace.request_id(values, ones) == "01010101-0101-4101-8101-010101010101"


def test_good_traceparent_is_kept():
    assert trace.read_traceparent([GOOD]) == GOOD


def test_later_version_is_read_as_version_00():
    assert trace.read_traceparent([f"cc-{TRACE}-{PARENT}-01-what-the-future-brings"]) == GOOD
    assert trace.read_traceparent([f"cc-{TRACE}-{PARENT}-01"]) == GOOD


@pytest.mark.parametrize(
    "values",
    [
        [],
        [GOOD, GOOD],
        [f"{GOOD},{GOOD}"],
        [""],
        [GOOD.upper()],
        [f" {GOOD}"],
        [f"{GOOD}-"],  # version 00 has four fields
        [f"cc-{TRACE}-{PARENT}-01.more"],
        [f"ff-{TRACE}-{PARENT}-01"],
        [f"00-{'0' * 32}-{PARENT}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE[:-1]}-{PARENT}-01"],
        [f"00-{TRACE}-{PARENT}-1"],
        [f"00-{TRACE[:-1]}٣-{PARENT}-01"],
    ],
)
def test_malformed_traceparent_is_not_kept(values):
    assert trace.read_traceparent(values) is None


@given(random=st.binary(min_size=24, max_size=24).filter(lambda made: any(made[:16]) and any(made[16:])))
def test_new_traceparent_is_well_formed(random):
    made = trace.new_traceparent(lambda count: random[:count])
    assert trace.read_traceparent([made]) == made


@given(st.lists(st.integers(0, 5000), max_size=30))
def test_a_pool_hands_out_each_byte_once_and_as_many_as_were_asked_for(counts):
    pages = []

    def page(count):
        pages.append(count)
        return bytes(count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace.secrets, "token_bytes", page)
        pool = trace.Pool()
        assert [len(pool(count)) for count in counts] == counts
    assert sum(pages) >= sum(counts)


def test_a_pool_never_says_the_same_twice():
    pool = trace.Pool()
    assert len({pool(16) for _ in range(2000)}) == 2000
