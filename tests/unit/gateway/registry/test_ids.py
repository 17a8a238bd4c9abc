import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.ids import Ids

names = st.text(min_size=1, max_size=20).filter(str.isprintable) | st.sampled_from(["a", "+a", "-a", "a-", "key:x"])


@given(st.lists(st.tuples(st.sampled_from(["add", "discard"]), names)))
def test_it_is_a_set(story):
    ids, plain = Ids(), set()
    for what, name in story:
        getattr(ids, what)(name)
        getattr(plain, what)(name)
        assert ids.all() == plain


def test_the_same_again_and_again_takes_no_more():
    ids = Ids()
    for number in range(100_000):
        ids.add(f"key-{number % 1000:06d}")
        ids.discard(f"key-{number % 500:06d}")
    assert len(ids._diary) <= 256 * 1024
    assert len(ids.all()) == 500


@pytest.mark.parametrize("entry_id", ["a\n-key:x", "\ud800", "a\rb", "\x00"])
def test_what_is_no_id_leaves_no_trace(entry_id):
    ids = Ids()
    ids.add("key:x")
    ids.add(entry_id)
    ids.discard(entry_id)
    assert ids.all() == {"key:x"}


def test_one_takes_over_what_another_was_told():
    one, other = Ids(), Ids()
    one.add("a")
    one.add("b")
    other.add("c")
    other.discard("a")
    one.absorb(other)
    assert one.all() == {"b", "c"}


def test_a_hundred_thousand_take_little():
    ids = Ids(whole=True)
    for number in range(100_000):
        ids.add(f"{number:012d}")
    assert len(ids._diary) == 1_400_000
    assert len(ids.all()) == 100_000
