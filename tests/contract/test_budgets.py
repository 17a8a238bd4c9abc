"""One suite for every store of budgets: a real Valkey answers as the oracle does, whatever the order of events."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.budgets.oracle import Claim, Oracle, Part, Slice, Want
from gateway.budgets.store import ValkeyStore
from gateway.budgets.window import Meter, slot_of
from gateway.script import Pipe

START_MS = 1_700_000_000_000
P = "ostiary:{acme}:budget:"
METERS = {
    P + "minute": Meter("S", 60_000, 100, soft=False, once=False),
    P + "odd": Meter("S", 1_000, 70, soft=False, once=False),
    P + "requests": Meter("S", 60_000, 5, soft=False, once=True),
    P + "bucket": Meter("B", 60_000, 77, soft=False, once=False),
    P + "day": Meter("D", 0, 300, soft=False, once=False),
    P + "month": Meter("M", 0, 500, soft=False, once=False),
    P + "streams": Meter("R", 0, 3, soft=False, once=False),
    P + "soft": Meter("S", 60_000, 20, soft=True, once=False),
}


class Patient(Oracle):
    """Keys of a real server end by its own clock, which stands nearly still while a test's clock runs."""

    def _record(self, now, key):
        return self._records.get(key)


def ignore(answer):
    """Nobody leaves early here."""


# --- the script and the oracle ----
keys = st.lists(st.sampled_from(sorted(METERS)), min_size=1, max_size=4, unique=True)
moves = st.one_of(
    st.integers(0, 2_000),
    st.integers(0, 90_000),
    st.sampled_from([86_400_000, 32 * 86_400_000, 601_000]),
    st.integers(-100_000, 0),
    st.sampled_from([-86_400_000, -100 * 86_400_000]),
)
amounts = st.integers(0, 60)
asks = st.fixed_dictionaries({"keys": keys, "ask": amounts, "least": amounts, "ttl": st.sampled_from([7_000, 120_000])})
steps = st.one_of(
    st.tuples(st.just("reserve"), asks),
    st.tuples(st.just("settle"), st.tuples(st.integers(0, 5), amounts)),
    st.tuples(st.just("extend"), st.tuples(st.integers(0, 5), amounts)),
    st.tuples(st.just("restore"), st.tuples(keys, st.dictionaries(st.integers(-63, 2), amounts, max_size=5))),
    st.tuples(st.just("lease"), st.tuples(st.sampled_from(sorted(METERS)), st.lists(amounts, min_size=3, max_size=3))),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(moves, steps), min_size=1, max_size=30))
def test_the_script_answers_as_the_oracle(server, script):
    async def play() -> None:
        client = server.client()
        now = START_MS
        try:
            await client.flushall()
            store, oracle = ValkeyStore(Pipe(client), lambda: now), Patient()
            taken: list[tuple[str, list[Part]]] = []
            slices: dict[str, Slice] = {}
            for move, (what, how) in script:
                now += move
                match what:
                    case "reserve":
                        least = min(how["ask"], how["least"])
                        wants = [Want(key, METERS[key], how["ask"], least) for key in how["keys"]]
                        expected = oracle.reserve(now, wants, how["ttl"])
                        assert await store.reserve(wants, how["ttl"], ignore) == expected
                        if expected.done:
                            pairs = zip(wants, expected.figures, strict=True)
                            parts = [Part(w.key, w.meter, f.granted, f.until, 0) for w, f in pairs if not w.meter.once]
                            taken.append((f"ostiary:{{acme}}:reservation:{len(taken)}", parts))
                    case "settle" | "extend" if taken:
                        record, parts = taken[-1 - how[0] % len(taken)]
                        parts = [part._replace(used=how[1]) for part in parts]
                        if what == "settle":
                            assert await store.settle(record, parts) == oracle.settle(now, record, parts)
                        else:
                            expected = oracle.extend(now, record, parts, 60_000)
                            assert await store.extend(record, parts, 60_000) == expected
                    case "restore":
                        of, by_slot = how
                        counted = [key for key in of if METERS[key].code in "SDM"]
                        claims = [
                            Claim(
                                key,
                                METERS[key],
                                tuple((slot_of(METERS[key], now) + at, by_slot[at]) for at in sorted(by_slot)),
                            )
                            for key in counted
                        ]
                        if claims:
                            assert await store.restore(claims) == oracle.restore(now, claims)
                    case "lease":
                        key, (used, keep, want) = how
                        was = slices.get(key) or Slice(key, METERS[key], 0, 0, 0, 0, 0, 0, 4)
                        one = was._replace(used=was.used + used, keep=keep, want=want)
                        expected = oracle.lease(now, [key + ":w"], [one], 30_000)
                        assert await store.lease([key + ":w"], [one], 30_000) == expected
                        figures = expected.figures[0]
                        slices[key] = one._replace(held=figures.granted, until=figures.until, charged=one.used)
                every = [Want(key, meter, 0, 0) for key, meter in METERS.items()]
                assert await store.look(list(METERS.items())) == oracle.look(now, every)
        finally:
            await client.aclose()

    asyncio.run(play())
