"""Where a request goes: lone backends as ever, pools by what is ready and what was found; and what is told of it."""

from dataclasses import replace

import pytest

from extproc.core import route
from extproc.core.commands import HeaderChange, PassRequestBody, PassResponseHead
from extproc.core.events import ResponseChunk
from gateway import contract
from gateway.budgets.price import Line, Price, PriceBook
from gateway.errors import GatewayError, Kind
from gateway.policy.model import RETRY_ON, Backend, Model, Pool, Restriction
from playbook import VIA, Play, answer_head, completion
from worlds import policy

POOL = Pool(
    backends=("a", "b", "c"),
    retry_on=frozenset(RETRY_ON),
    restrictions=(Restriction(rule="pii.*", backends=frozenset("c")),),
    tell=True,
)
MODEL = Model(name="gpt-4o-mini", backend="a", pool=POOL)
ANSWERED = VIA | {contract.ATTR_HOST_METADATA: "b", contract.ATTR_ATTEMPTS: "2"}
HEAD = PassResponseHead(HeaderChange((("content-type", "application/json"),), ("server",)))


def held(pool=POOL):
    base = policy()
    backends = {name: Backend(name=name, host="127.0.0.1", port=1, tls=False) for name in pool.backends}
    prices = PriceBook(
        lines={
            MODEL.name: tuple(
                Line(price=Price(input=cost, output=cost), backend=name) for name, cost in (("a", 10**6), ("b", 10**7))
            )
        }
    )
    return replace(
        base,
        backends={**base.backends, **backends},
        models={**base.models, MODEL.name: replace(MODEL, pool=pool)},
        prices=prices,
    )


def sent(play):
    (passed,) = [command for command in play.commands if isinstance(command, PassRequestBody)]
    return passed


def test_a_lone_backend_is_no_walk():
    assert route.choose(Model(name="m", backend="x"), ("x",), {"pii.card"}, "r") == (("x",), None)


def test_a_walk_over_what_is_ready():
    allowed, walk = route.choose(MODEL, ("b", "c"), (), "r")
    assert (allowed, walk.backends) == (("b", "c"), ("b", "c"))


def test_one_backend_that_is_left_is_asked_alone():
    assert route.choose(MODEL, ("a", "c"), {"pii.card"}, "r") == (("c",), None)


def test_nobody_left_is_unavailable():
    with pytest.raises(GatewayError) as caught:
        route.choose(MODEL, ("a", "b"), {"pii.card"}, "r")
    assert caught.value.kind is Kind.BACKEND_UNAVAILABLE


def test_clients_are_told_only_where_policy_says_so():
    told = route.tell(HEAD, MODEL, "b", "2").change
    assert told.put == (*HEAD.change.put, ("x-ostiary-backend", "b"), ("x-ostiary-attempts", "2"))
    assert told.remove == HEAD.change.remove
    assert route.tell(HEAD, replace(MODEL, pool=replace(POOL, tell=False)), "b", "2") is HEAD
    assert route.tell(HEAD, Model(name="m", backend="x"), "x", "1") is HEAD


def test_the_allowed_set_is_pinned_and_the_walk_is_the_route():
    play = Play(held())
    play.asked()
    metadata = sent(play).metadata
    assert metadata[contract.BACKENDS] == "a,b,c"
    assert dict(sent(play).change.put)[contract.ROUTE_HEADER].startswith("og-")


def test_personal_data_goes_nowhere_but_where_it_may():
    play = Play(held())
    play.asked(text="my card is 4111 1111 1111 1111")
    assert sent(play).metadata[contract.BACKENDS] == "c"
    assert dict(sent(play).change.put)[contract.ROUTE_HEADER] == contract.direct_route_of("c")


def test_the_backend_that_answered_is_on_record_and_bills():
    play = Play(held())
    play.asked()
    play.give(answer_head(details=ANSWERED), ResponseChunk(completion("hi"), end_of_stream=True))
    assert (play.record.backend, play.record.outcome) == ("b", "completed")
    assert play.record.details == {"first_backend": "a", "attempts": "2"}
    assert play.record.usage.cost_micros == 70  # seven tokens at ten for a million, of b


def test_what_failed_everywhere_names_the_last_that_was_asked():
    play = Play(held())
    play.asked()
    gone = {contract.ATTR_CODE_DETAILS: "upstream_reset", contract.ATTR_HOST_METADATA: "b", contract.ATTR_ATTEMPTS: "2"}
    play.give(answer_head(status="503", details=gone))
    assert play.refused() == (503, "backend_unavailable")
    assert (play.record.backend, play.record.details["attempts"]) == ("b", "2")
