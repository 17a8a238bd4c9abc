"""Where a request goes: lone backends as ever, pools by what is ready and what was found; and what is told of it."""

from dataclasses import replace

import orjson
import pytest

from extproc.core import admission, route
from extproc.core.admission import Judged
from extproc.core.commands import HeaderChange, PassRequestBody, PassResponseHead
from extproc.core.events import ResponseChunk
from extproc.core.journal import NOBODY, Journal
from gateway import contract
from gateway.budgets.price import Line, Price, PriceBook
from gateway.errors import GatewayError, Kind
from gateway.latency.estimates import Key, Latencies
from gateway.policy.model import RETRY_ON, Backend, Model, Pool, Restriction, Select
from playbook import VIA, Play, answer_head, chat, completion
from worlds import FakeClock, policy

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


def choose(model, ready, rules=(), *, backends=None, **fields):
    base = held()
    tenant = replace(base.tenants["acme"], backends=backends)
    asking = route.Asking(model, ready, tenant, NOBODY, base.prices, 0.0, Latencies(FakeClock()))
    tree = orjson.loads(chat(**fields))
    return route.choose(asking, tree, admission.DOORS["/v1/chat/completions"], Judged([], False, None), rules)[:2]


def test_a_lone_backend_is_no_walk():
    assert choose(Model(name="m", backend="x"), ("x",), {"pii.card"}) == (("x",), None)


def test_a_walk_over_what_is_ready():
    allowed, walk = choose(MODEL, ("b", "c"))
    assert (allowed, walk.backends) == (("b", "c"), ("b", "c"))


def test_one_backend_that_is_left_is_asked_alone():
    assert choose(MODEL, ("a", "c"), {"pii.card"}) == (("c",), None)


def test_nobody_left_is_unavailable():
    with pytest.raises(GatewayError) as caught:
        choose(MODEL, ("a", "b"), {"pii.card"})
    assert caught.value.kind is Kind.BACKEND_UNAVAILABLE


def test_a_tenants_requests_reach_its_own_backends_only():
    assert choose(MODEL, ("a", "b", "c"), backends=frozenset("b")) == (("b",), None)
    with pytest.raises(GatewayError) as caught:
        choose(Model(name="m", backend="x"), ("x",), backends=frozenset("b"))
    assert caught.value.kind is Kind.BACKEND_UNAVAILABLE


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}]}]
TOOL = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


@pytest.mark.parametrize(
    ("fields", "lack"),
    [({"messages": IMAGE}, "image"), ({"tools": [TOOL]}, "tools"), ({"response_format": SCHEMA}, "json_schema")],
    ids=["image", "tools", "json_schema"],
)
def test_a_backend_that_cannot_do_what_is_asked_is_left_out(fields, lack):
    pool = replace(POOL, lacks={"a": frozenset({lack})})
    assert choose(replace(MODEL, pool=pool), ("a", "b", "c"), **fields)[0] == ("b", "c")
    assert choose(replace(MODEL, pool=pool), ("a", "b", "c"))[0] == ("a", "b", "c")


def test_where_nobody_can_do_it_the_caller_is_told():
    pool = replace(POOL, context=dict.fromkeys("abc", 100))
    with pytest.raises(GatewayError) as caught:
        choose(replace(MODEL, pool=pool), ("a", "b", "c"), max_tokens=101)
    assert (caught.value.kind, caught.value.param) == (Kind.REQUEST_INVALID, "model")


def test_the_cheapest_is_asked_first():
    pool = replace(POOL, select=Select.CHEAPEST, backends=("b", "a", "c"))
    assert choose(replace(MODEL, pool=pool), ("b", "a", "c"))[0] == ("a", "b", "c")


def why(model, text="Hello", latencies=None, **fields):
    base = held()
    known = latencies or Latencies(FakeClock())
    asking = route.Asking(model, ("a", "b", "c"), base.tenants["acme"], NOBODY, base.prices, 0.0, known)
    tree = orjson.loads(chat(**fields)) | {"messages": [{"role": "user", "content": text}]}
    return route.choose(asking, tree, admission.DOORS["/v1/chat/completions"], Judged([], False, None), ())


def test_a_hard_request_goes_to_the_big_one_and_the_score_is_told():
    model = replace(MODEL, pool=replace(POOL, select=Select.COMPLEXITY, scores={"c": 20}))
    assert why(model)[0::2] == (("a", "b", "c"), "complexity;score=0")
    assert why(model, "Prove it.")[0::2] == (("c", "a", "b"), "complexity;score=20")


def test_no_score_leads_where_a_request_may_not_go():
    model = replace(MODEL, pool=replace(POOL, select=Select.COMPLEXITY, scores={"b": 20}))
    tree = orjson.loads(chat()) | {"messages": [{"role": "user", "content": "Prove it."}]}
    base = held()
    for ready, backends, rules, left in (
        (("a", "b", "c"), None, {"pii.card"}, ("c",)),
        (("a", "b", "c"), frozenset("ac"), (), ("a", "c")),
        (("a", "c"), None, (), ("a", "c")),
    ):
        tenant = replace(base.tenants["acme"], backends=backends)
        asking = route.Asking(model, ready, tenant, NOBODY, base.prices, 0.0, Latencies(FakeClock()))
        found = route.choose(asking, tree, admission.DOORS["/v1/chat/completions"], Judged([], False, None), rules)
        assert found[0] == left


def test_the_fastest_lately_is_asked_first_and_whether_to_learn_is_told():
    known = Latencies(FakeClock())
    model = replace(MODEL, pool=replace(POOL, select=Select.LATENCY))
    assert why(model, latencies=known)[0::2] == (("a", "b", "c"), "lowest_latency;explored")
    for name, seconds in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        known.start(MODEL.name, name, streamed=False).answered(seconds)
    found, chosen, told = why(model, latencies=known)
    assert (found, chosen.backends, told) == (("b", "a", "c"), ("b", "a", "c"), "lowest_latency")


def test_clients_are_told_only_where_policy_says_so():
    journal = Journal(FakeClock())
    journal.backend, journal.attempts, journal.select = "b", "2", "weighted"
    told = route.tell(HEAD, MODEL, journal).change
    more = (("x-ostiary-backend", "b"), ("x-ostiary-attempts", "2"), ("x-ostiary-select", "weighted"))
    assert told.put == (*HEAD.change.put, *more)
    assert told.remove == HEAD.change.remove
    assert route.tell(HEAD, replace(MODEL, pool=replace(POOL, tell=False)), journal) is HEAD
    assert route.tell(HEAD, Model(name="m", backend="x"), journal) is HEAD


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


def test_an_exchange_tells_how_long_its_backend_took_and_who_failed():
    play = Play(held(replace(POOL, select=Select.LATENCY)))
    play.world.latencies = known = Latencies(play.clock)
    play.asked()
    play.clock.at += 2.0
    answered = ANSWERED | {contract.ATTR_HOST_METADATA: "a", contract.ATTR_ATTEMPTS: "1"}
    play.give(answer_head(details=answered), ResponseChunk(completion("hi"), end_of_stream=True))
    assert play.record.details["select"] == "lowest_latency;explored"
    assert {key.backend: seconds > 2.0 for key, seconds in known.known().items()} == {"a": True}
    again = Play(held(replace(POOL, select=Select.LATENCY)))
    again.world.latencies = known
    again.asked()
    first = sent(again).metadata[contract.BACKENDS].split(",")[0]
    assert first == "b"  # nobody knows how fast it is
    failed = VIA | {contract.ATTR_HOST_METADATA: "a", contract.ATTR_ATTEMPTS: "2"}
    again.give(answer_head(details=failed), ResponseChunk(completion("hi"), end_of_stream=True))
    track, now_s = known.track(Key(MODEL.name, "b", streamed=False)), play.clock.monotonic()
    assert track.cost_s(now_s, "acme") >= 600
    assert track.cost_s(now_s, "globex") is None


def test_what_failed_everywhere_names_the_last_that_was_asked():
    play = Play(held())
    play.asked()
    gone = {contract.ATTR_CODE_DETAILS: "upstream_reset", contract.ATTR_HOST_METADATA: "b", contract.ATTR_ATTEMPTS: "2"}
    play.give(answer_head(status="503", details=gone))
    assert play.refused() == (503, "backend_unavailable")
    assert (play.record.backend, play.record.details["attempts"]) == ("b", "2")
