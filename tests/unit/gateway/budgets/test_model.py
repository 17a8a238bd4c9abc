"""Limits that can be counted, their keys, and what verdicts and reservations say of them."""

import pytest

from budgeting import ACME, limit
from gateway.budgets.model import (
    PER_DAY,
    RUNNING,
    Amounts,
    Dimension,
    Hold,
    Kind,
    Limit,
    Reservation,
    Resource,
    Shape,
    Standing,
    Subject,
    Verdict,
    Window,
    applies,
    key_of,
)


@pytest.mark.parametrize(
    "made",
    [
        lambda: limit(0),
        lambda: limit(10**13 + 1),
        lambda: limit(5, Resource.STREAMS),
        lambda: limit(5, Resource.TOKENS, RUNNING),
        lambda: limit(10**10, Resource.TOKENS, Window(Shape.BUCKET, 86_400)),
        lambda: Window(Shape.SLIDING),
        lambda: Window(Shape.DAY, 5),
        lambda: Limit("x", (Dimension.TENANT,), Resource.TOKENS, 5, PER_DAY, on_exceed=403),
    ],
)
def test_what_cannot_be_counted_is_refused(made):
    with pytest.raises(ValueError, match=r"\w"):
        made()


def test_a_limit_applies_to_who_has_all_of_its_scope():
    keyed = limit(5, Resource.TOKENS, PER_DAY, Dimension.KEY, Dimension.MODEL_GROUP)
    assert not applies(keyed, ACME)
    assert applies(keyed, Subject("acme", key="k", model_group="large"))


def test_keys_share_the_tenants_slot_and_cannot_be_made_alike():
    both = limit(5, Resource.TOKENS, PER_DAY, Dimension.KEY, Dimension.PRINCIPAL)
    pairs = [("a", "b|c"), ("a|b", "c"), ("a", "b:{x}"), ("a", "b" * 500), ("a", "b" * 501)]
    keys = [key_of(both, Subject("acme", key=key, principal=principal)) for key, principal in pairs]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith("ostiary:{acme}:budget:team:tokens:day:") and len(key) < 250 for key in keys)


def test_a_changed_amount_keeps_its_key_and_a_changed_window_does_not():
    assert key_of(limit(5), ACME) == key_of(limit(9), ACME)
    assert key_of(limit(5), ACME) != key_of(limit(5, Resource.TOKENS, PER_DAY), ACME)


def test_a_stream_may_run_to_the_least_that_a_hard_limit_granted():
    limits = (limit(50), limit(9, kind=Kind.SOFT), limit(30, name="other"))
    reservation = Reservation("r", "acme", tuple(Hold(one, "k", one.amount) for one in limits), 0.0)
    assert reservation.granted(Resource.TOKENS) == 30
    assert reservation.granted(Resource.MICRO_USD) is None


def test_headers_are_of_the_limit_with_the_smallest_part_left():
    standings = (Standing(limit(1000), 900, 50, 1.0), Standing(limit(10), 5, 0, 1.0), Standing(limit(3), 9, 0, 1.0))
    assert [one.remaining for one in standings] == [50, 5, 0]
    assert Verdict(allowed=True, standings=standings).tightest(Resource.TOKENS) is standings[2]
    assert Verdict(allowed=True, standings=standings).tightest(Resource.REQUESTS) is None


def test_amounts_of_what_is_asked():
    amounts = Amounts(3, 4, 5)
    assert [amounts.of(resource) for resource in Resource] == [3, 4, 7, 1, 1, 5]
