"""What tenants share: a real Valkey answers as the oracle does, whatever the order of events."""

import asyncio
import contextlib
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import budgeting
import sharing
from crowd import Client, Crowd
from gateway.budgets.board import ValkeyBoard
from gateway.budgets.fair import SharingOracle, Wish
from gateway.budgets.model import PER_MINUTE, RUNNING, Amounts, Reserved, Resource, Shape, Subject, Window, key_of
from gateway.budgets.oracle import Part, Want
from gateway.budgets.store import ValkeyStore
from gateway.budgets.watch import Watch, no_alerts, no_gauge
from gateway.budgets.window import meter_of
from gateway.clock import SystemClock
from gateway.script import Pipe

START_MS = 1_700_000_000_000
WEIGHTS = {"acme": 3, "beta": 1, "coop": 2}
LIMITS = [
    sharing.shared(200, WEIGHTS),
    sharing.shared(64, WEIGHTS, Resource.REQUESTS, PER_MINUTE, "requests"),
    sharing.shared(40, WEIGHTS, Resource.STREAMS, RUNNING, "streams"),
    sharing.shared(100, WEIGHTS, Resource.TOKENS_OUT, Window(Shape.SLIDING, 7), "odd"),
]
TERMS = {limit.name: sharing.terms(limit) for limit in LIMITS}
amounts = st.integers(0, 80)
who = st.sampled_from(sorted(WEIGHTS))
what = st.sampled_from(sorted(TERMS))
moves = st.one_of(st.just(0), st.integers(0, 2_000), st.integers(0, 90_000), st.just(700_000), st.integers(-20_000, 0))
steps = st.one_of(
    st.tuples(st.just("share"), st.tuples(what, who, amounts, amounts)),
    st.tuples(st.just("share"), st.tuples(what, who, st.integers(1, 10), st.just(10))),
    st.tuples(st.just("settle"), st.tuples(st.integers(0, 9), amounts)),
    st.tuples(st.just("refund"), st.integers(0, 9)),
    st.tuples(st.just("extend"), st.tuples(st.integers(0, 9), amounts)),
    st.tuples(st.just("withdraw"), st.tuples(what, who, amounts)),
)


class Patient(SharingOracle):
    """Keys of a real server end by its own clock, which stands nearly still while a test's clock runs."""

    def _record(self, now, key):
        return self._records.get(key)


def ignore(answer):
    """Nobody leaves early here."""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(moves, steps), min_size=1, max_size=40))
def test_the_script_shares_as_the_oracle(server, script):
    async def play() -> None:
        client = server.client()
        now = START_MS
        try:
            await client.flushall()
            store, oracle = ValkeyStore(Pipe(client), lambda: now), Patient()
            taken: list[tuple[str, list[Part]]] = []
            for move, (step, how) in script:
                now += move
                match step:
                    case "share":
                        name, tenant, ask, least = how
                        terms = TERMS[name][tenant]
                        wish = Wish(terms, ask, min(ask, least))
                        expected = oracle.share(now, wish, 60_000)
                        assert await store.share(wish, 60_000, ignore) == expected
                        if expected.done:
                            keys = ((terms.key, terms.meter), (terms.own.key, terms.own_meter))
                            parts = [
                                Part(key, meter, 0 if meter.once else one.granted, one.until, one.granted)
                                for (key, meter), one in zip(keys, expected.figures, strict=True)
                            ]
                            tag = terms.key.partition("}")[0]
                            taken.append((f"{tag}}}:reservation:{len(taken)}", parts))
                    case "settle" | "extend" if taken:
                        record, parts = taken[-1 - how[0] % len(taken)]
                        parts = [one._replace(used=how[1]) for one in parts if not one.meter.once]
                        if step == "settle":
                            assert await store.settle(record, parts) == oracle.settle(now, record, parts)
                        elif parts:
                            expected = oracle.extend(now, record, parts, 60_000)
                            assert await store.extend(record, parts, 60_000) == expected
                    case "refund" if taken:
                        record, parts = taken[-1 - how % len(taken)]
                        parts = [one._replace(used=-one.used if one.meter.once else 0) for one in parts]
                        assert await store.settle(record, parts) == oracle.settle(now, record, parts)
                    case "withdraw":
                        name, tenant, amount = how
                        await store.withdraw(TERMS[name][tenant], amount)
                        oracle.withdraw(TERMS[name][tenant], amount)
                for terms in (one for group in TERMS.values() for one in group.values()):
                    pair = [(terms.key, terms.meter), (terms.own.key, terms.own_meter)]
                    wants = [Want(key, meter, 0, 0) for key, meter in pair]
                    assert await store.look(pair) == oracle.look(now, wants)
        finally:
            await client.aclose()

    asyncio.run(play())


def test_all_keys_of_a_shared_limit_are_in_one_slot_and_in_no_tenants():
    for group in TERMS.values():
        for terms in group.values():
            keys = (terms.key, terms.unmet, terms.own.key, *(one.key for one in terms.others))
            tags = {key.partition("{")[2].partition("}")[0] for key in keys}
            assert len(tags) == 1
            assert tags.pop().startswith(":shared:")
            assert len(set(keys)) == len(keys)


async def test_a_caller_that_leaves_while_answers_are_under_way_leaves_nothing_held(client):
    store = ValkeyStore(Pipe(client))
    budgets = budgeting.worker(store, SystemClock(), deadline_s=20.0)
    limit = sharing.shared(1000, WEIGHTS, name="left")
    terms = sharing.terms(limit)["acme"]
    own = budgeting.limit(100)
    for turns in range(12):
        asking = asyncio.ensure_future(budgets.reserve(budgeting.ask(own, limit, tokens=60)))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            got = await asking
            if isinstance(got, Reserved):  # the one before may still be giving back what it got
                budgets.release(got.reservation)
    keys = [(terms.key, terms.meter), (terms.own.key, terms.own_meter)]
    # Calls are answered in their order: behind this one nothing is under way but what is given back.
    await store.look(keys)
    await budgeting.until_settled(budgets)
    assert [one.held for one in await store.look(keys)] == [0, 0]
    assert [one.held for one in await store.look([(key_of(own, budgeting.ACME), meter_of(own))])] == [0]


async def test_workers_tell_of_a_shared_limit_once_together_and_measure_it_and_each_part(server):
    limit = sharing.shared(1000, {"acme": 3, "beta": 1}, name="told", alerts=(50, 80))
    clients = [server.client() for _ in range(2)]
    try:
        await clients[0].flushall()
        gauges, watches, workers = [], [], []
        for number, client in enumerate(clients):
            gauges.append({})
            pipe = Pipe(client)
            measure = partial(_measure, gauges[-1])
            watches.append(Watch(ValkeyBoard(pipe), no_alerts, no_gauge, SystemClock(), measure))
            workers.append(
                budgeting.worker(
                    ValkeyStore(pipe), SystemClock(), deadline_s=20.0, saw=watches[-1].saw, name=f"w{number}"
                )
            )
        for tenant, tokens in (("acme", 300), ("beta", 240), ("acme", 300)):
            for budgets in workers if tokens == 240 else workers[:1]:  # 1,080 are asked for: the last does not fit
                asked = budgeting.ask(limit, tokens=tokens, subject=Subject(tenant, key="k"))
                got = await budgets.reserve(asked)
                if isinstance(got, Reserved):
                    budgets.settle(got.reservation, Amounts(0, tokens, 0))
                await budgeting.until_settled(budgets)
            await asyncio.gather(*(watch.tick() for watch in watches))
        notices = await ValkeyBoard(Pipe(clients[0])).take(60_000, 100)
        assert [(one.percent, one.tenant, one.limit) for one in notices] == [(50, "", "told")]
        assert gauges[0] == {("", "told"): 0.78, ("acme", "told"): 0.4, ("beta", "told"): 0.96}
        assert gauges[1] == {("", "told"): 0.78, ("beta", "told"): 1.92}
    finally:
        for client in clients:
            await client.aclose()


def _measure(gauge, tenant, name, part):
    gauge[tenant, name] = part


async def test_a_greedy_member_on_a_real_server_leaves_the_others_their_shares(client):
    amount = 60_000
    terms = sharing.terms(sharing.shared(amount, {"greedy": 1, "ann": 1, "bob": 2}))
    found = {}
    store = ValkeyStore(Pipe(client), lambda: found["crowd"].now_ms)
    clients = {"greedy": Client(terms["greedy"], 1500, 100 * 15_000 / 60 / 1500, polite=False)}
    for name in ("ann", "bob"):
        clients[name] = Client(terms[name], 600, 1.5 * terms[name].own.assured / 60 / 600, begins_ms=20_000)
    found["crowd"] = crowd = Crowd(store, clients)
    await crowd.run(20 + 63 + 30)
    assert max(whole for _, whole, _ in crowd.seen) <= amount
    assert next(whole for at, whole, _ in crowd.seen if at == 20_000) >= 0.95 * amount
    for name in ("ann", "bob"):
        late = [has[name] for at, _, has in crowd.seen if at >= 20_000 + 63_000]
        assert min(late) >= terms[name].own.assured - 2 * 600
