"""Walks: every one that can be chosen was rendered, first choices follow the weights, restrictions hold."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import walk
from gateway.policy.copies import Mirror
from gateway.policy.model import RETRY_ON, Pool, Restriction, Select
from gateway.policy.walk import Draw

NAMES = ("a", "b", "c", "d", "e")
PRICES = {"a": 30, "b": 10, "c": 20}  # nobody knows what d and e cost


def pool(*names, **fields):
    return Pool(backends=names, retry_on=frozenset(RETRY_ON), **fields)


def weighted(**weights):
    return pool(*weights, select=Select.WEIGHTED, weights=weights)


@st.composite
def pools(draw):
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, len(NAMES)))]
    weights = draw(st.fixed_dictionaries({name: st.integers(0, 3) for name in names}).filter(lambda w: any(w.values())))
    select = draw(st.sampled_from(Select))
    scores = draw(st.dictionaries(st.sampled_from(names), st.integers(1, 100), max_size=len(names) - 1))
    weights = weights if select in {Select.WEIGHTED, Select.STICKY} else {}
    return pool(*names, select=select, weights=weights, scores=scores if select is Select.COMPLEXITY else {})


@given(pools(), st.data())
def test_every_walk_that_may_be_chosen_was_rendered(made, data):
    rendered = {each.route for each in walk.walks_of(made)}
    ready = data.draw(st.sets(st.sampled_from(made.backends), min_size=2))
    allowed = walk.allowed(made, ready, ())
    lot = Draw(
        data.draw(st.text(max_size=8)), "t/p", PRICES.get, lambda names, _: names[-1], data.draw(st.integers(0, 100))
    )
    chosen = walk.choose(made, allowed, lot)
    assert chosen.route in rendered
    assert sorted(chosen.backends) == sorted(ready)


def test_the_order_is_the_pools_whoever_is_left_out():
    made = pool("b", "a", "c")
    assert walk.choose(made, walk.allowed(made, {"a", "b", "c"}, ()), Draw("x")).backends == ("b", "a", "c")
    assert walk.choose(made, walk.allowed(made, {"a", "c"}, ()), Draw("x")).backends == ("a", "c")


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {"a": 90, "b": 10}, {"a": 7, "b": 2, "c": 1}])
def test_first_choices_follow_the_weights_within_two_percent(weights):
    made = weighted(**weights)
    drawn = Counter(walk.choose(made, made.backends, Draw(f"request-{number}")).backends[0] for number in range(20_000))
    for name, weight in weights.items():
        assert abs(drawn[name] / 20_000 - weight / sum(weights.values())) < 0.02


def canary(percent):
    return pool("stable", "canary", select=Select.STICKY, weights={"stable": 100 - percent, "canary": percent})


def callers_of_the_canary(made, allowed=("stable", "canary")):
    first = {number: walk.choose(made, allowed, Draw("any", f"t/{number}")).backends[0] for number in range(5_000)}
    return {number for number, name in first.items() if name == "canary"}


def test_a_sticky_canary_has_its_share_of_callers_and_keeps_them_while_it_grows():
    small, large = callers_of_the_canary(canary(5)), callers_of_the_canary(canary(20))
    assert abs(len(small) / 5_000 - 0.05) < 0.02
    assert abs(len(large) / 5_000 - 0.20) < 0.02
    assert small < large
    asked = {walk.choose(canary(20), ("stable", "canary"), Draw(f"{at}", "t/7")).backends for at in range(20)}
    assert len(asked) == 1  # of one caller, whatever the request
    assert callers_of_the_canary(canary(0)) == set()


def mirror(percent):
    return pool("a", mirror=Mirror(backend="m", percent=percent))


def test_a_mirror_gets_its_share_of_requests_and_all_or_none_where_policy_says_so():
    ids = [f"request-{number}" for number in range(5_000)]
    assert not any(walk.mirrored(mirror(0), each) for each in ids)
    assert all(walk.mirrored(mirror(100), each) for each in ids)
    assert abs(sum(walk.mirrored(mirror(10), each) for each in ids) / 5_000 - 0.10) < 0.02
    assert not walk.mirrored(pool("a", "b"), "x")


def test_a_weight_of_nothing_makes_a_stand_in():
    made = weighted(a=1, b=0)
    assert {walk.choose(made, ("a", "b"), Draw(str(number))).backends for number in range(50)} == {("a", "b")}
    assert walk.choose(weighted(a=1, b=0, c=0), ("b", "c"), Draw("x")).backends == ("b", "c")


def test_the_same_request_is_drawn_alike_everywhere():
    made = weighted(a=1, b=1)
    assert len({walk.choose(made, ("a", "b"), Draw("req-7")).route for _ in range(5)}) == 1


def test_what_was_found_shrinks_the_set():
    made = pool(
        "a", "b", "c",
        restrictions=(
            Restriction(rule="pii.*", backends=frozenset("bc")),
            Restriction(rule="secret.key", backends=frozenset("c")),
        ),
    )  # fmt: skip
    everybody = {"a", "b", "c"}
    assert walk.allowed(made, everybody, {"injection.override"}) == ("a", "b", "c")
    assert walk.allowed(made, everybody, {"pii.card"}) == ("b", "c")
    assert walk.allowed(made, everybody, {"pii.card", "secret.key"}) == ("c",)
    assert walk.allowed(made, {"a", "b"}, {"secret.key"}) == ()


def test_a_name_tells_order_and_retries_and_nothing_else():
    made = pool("a", "b")
    same = pool("a", "b", tell=True)
    others = [pool("b", "a"), pool("a", "c"), pool("a", "b", first_byte_s=5), Pool(backends=("a", "b"))]
    routes = {next(walk.walks_of(each)).route for each in (made, same)}
    assert len(routes) == 1
    assert len(routes | {next(walk.walks_of(each)).route for each in others}) == 1 + len(others)


def test_the_stated_numbers_of_walks():
    assert walk.count(pool(*NAMES)) == 26
    assert walk.count(weighted(**dict.fromkeys(NAMES, 1))) == 75
    assert walk.count(pool("a", "b")) == sum(1 for size in (2,) for _ in combinations("ab", size))


def first(made, allowed=None, **draw):
    return walk.choose(made, allowed or made.backends, Draw("request", **draw)).backends[0]


def test_the_cheapest_comes_first_and_what_has_no_price_last():
    made = pool("d", "a", "c", "b", select=Select.CHEAPEST)
    assert first(made, price=PRICES.get) == "b"
    assert first(made, ("d", "a", "c"), price=PRICES.get) == "c"
    assert first(made, ("d", "a"), price=PRICES.get) == "a"
    assert first(pool("d", "e", select=Select.CHEAPEST), price=PRICES.get) == "d"


@pytest.mark.parametrize(
    ("score", "allowed", "asked"),
    [
        (0, "small middle big", "small"),
        (19, "small middle big", "small"),
        (20, "small middle big", "middle"),
        (59, "small middle big", "middle"),
        (100, "small middle big", "big"),
        (100, "small middle", "middle"),  # the big one is not there, or may not see it: no score brings it back
        (0, "middle big", "middle"),
        (0, "big small", "small"),
    ],
)
def test_a_request_goes_to_the_one_for_its_score_among_those_that_may_have_it(score, allowed, asked):
    made = pool("small", "middle", "big", select=Select.COMPLEXITY, scores={"middle": 20, "big": 60})
    names = tuple(allowed.split())
    chosen = walk.choose(made, names, Draw("request", score=score)).backends
    assert chosen[0] == asked
    assert set(chosen) == set(names)


def test_whoever_answers_fastest_is_asked_of_those_that_are_left_by_a_lot_of_the_request_alone():
    made = pool("a", "b", "c", select=Select.LATENCY)
    told = []

    def fastest(names, lot):
        told.append((names, lot))
        return names[-1]

    for number in range(2):
        assert walk.choose(made, ("a", "b"), Draw("request", fastest=fastest)).backends == ("b", "a"), number
    assert told[0] == told[1]
    assert told[0][0] == ("a", "b")
    assert 0 <= told[0][1] < 1


def test_a_principal_stays_with_its_backend_whoever_else_is_left_out():
    made = pool("a", "b", "c", select=Select.STICKY)
    principals = [f"acme/{number}" for number in range(3000)]
    homes = {one: first(made, caller=one) for one in principals}
    assert all(abs(count / 3000 - 1 / 3) < 0.03 for count in Counter(homes.values()).values())
    moved = [one for one in principals if homes[one] != "c" and first(made, ("a", "b"), caller=one) != homes[one]]
    assert moved == []


@pytest.mark.parametrize(
    ("features", "tokens", "left"),
    [
        ((), 100, ("a", "b")),
        (("tools",), 100, ("a",)),
        (("image", "tools"), 100, ("a",)),
        (("audio",), 100, ("b",)),
        ((), 8193, ("b",)),
        (("tools",), 8193, ()),
    ],
)
def test_what_a_backend_cannot_do_is_not_asked_of_it(features, tokens, left):
    lacks = {"a": frozenset({"audio"}), "b": frozenset({"tools", "image"})}
    made = pool("a", "b", lacks=lacks, context={"a": 8192})
    assert walk.able(made, {"a", "b"}, features, tokens) == left
