"""Sharing through a real Valkey: what one worker saw, another knows; without it each has its own."""

import asyncio
import random

import pytest

import valkey_server
from clocks import ManualClock
from gateway.latency.estimates import Batch, Estimate, Key, Latencies, fold
from gateway.latency.shared import Sharing, _name, folded
from gateway.script import Pipe, ScriptError
from racing import MODEL, Race, changes, steady

KEY = Key("m", "a", True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with valkey_server.running(tmp_path_factory.mktemp("v")) as started:
        yield started


@pytest.fixture
async def client(server):
    client = server.client()
    await client.flushall()
    yield client
    await client.aclose()


class Says:
    """A Valkey that says something, or that is away."""

    def __init__(self, told):
        self._told = told

    def start(self, _script, _keys, _arguments):
        answer = asyncio.get_running_loop().create_future()
        if isinstance(self._told, Exception):
            answer.set_exception(self._told)
        else:
            answer.set_result(self._told)
        return answer


AWAY = Says(ScriptError("ConnectionError"))


def _worker(runner, clock=None):
    latencies = Latencies(clock or ManualClock())
    shown = {}
    return latencies, Sharing(latencies, runner, lambda *told: shown.update({told[:3]: told[3]})), shown


def _saw(latencies, backend, *seconds):
    for each in seconds:
        run = latencies.start(MODEL, backend, streamed=True)
        run.answered(each)
        run.leave()


async def test_what_one_worker_saw_another_knows(client):
    one, sharing_one, _ = _worker(Pipe(client))
    two, sharing_two, shown = _worker(Pipe(client))
    _saw(one, "a", 2.0)
    _saw(one, "b", 0.2)
    for tenant in ("acme", "globex"):
        one.failed(MODEL, "b", streamed=True, tenant=tenant)
    two.choose(
        MODEL, ("a", "b"), 0.5, streamed=True, tenant="acme"
    )  # whoever has not asked about a backend needs no estimate of it
    await sharing_one.once()
    await sharing_two.once()
    assert two.known()[Key(MODEL, "a", True)] == pytest.approx(2.0)
    assert two.choose(MODEL, ("a", "b"), 0.5, streamed=True, tenant="acme").backend == "a"
    assert shown[(MODEL, "b", True)] > 2.0


async def test_what_one_tenant_alone_has_met_no_other_worker_hears_of(client):
    one, sharing_one, _ = _worker(Pipe(client))
    two, sharing_two, _ = _worker(Pipe(client))
    _saw(one, "b", 0.2)
    one.failed(MODEL, "b", streamed=True, tenant="acme")
    _saw(two, "a", 2.0)
    two.choose(MODEL, ("a", "b"), 0.5, streamed=True, tenant="acme")
    await sharing_one.once()
    await sharing_two.once()
    assert two.known()[Key(MODEL, "b", True)] == pytest.approx(0.2)
    assert two.choose(MODEL, ("a", "b"), 0.5, streamed=True, tenant="acme").backend == "b"


async def test_both_add_to_one_estimate_and_get_it(client):
    one, sharing_one, _ = _worker(Pipe(client))
    two, sharing_two, _ = _worker(Pipe(client))
    _saw(one, "a", 1.0)
    _saw(two, "a", *[3.0] * 50)
    for sharing in (sharing_one, sharing_two, sharing_one):
        await sharing.once()
    assert one.known() == two.known()
    assert 2.5 < one.known()[KEY] <= 3.0


async def test_an_estimate_ends_when_nobody_adds_to_it(client):
    one, sharing, _ = _worker(Pipe(client))
    _saw(one, "a", 1.0)
    await sharing.once()
    (key,) = [key async for key in client.scan_iter(match="ostiary:{:latency}:*")]
    assert 0 < await client.pttl(key) <= 3_600_000


async def test_nothing_is_written_for_what_was_only_asked_about(client):
    one, sharing, _ = _worker(Pipe(client))
    one.choose(MODEL, ("a", "b"), 0.5, streamed=True, tenant="acme")
    await sharing.once()
    assert await client.dbsize() == 0
    assert one.known() == {}


async def test_without_valkey_each_worker_goes_on_by_its_own():
    for runner in (AWAY, None):
        one, sharing, shown = _worker(runner)
        _saw(one, "a", 2.0)
        _saw(one, "b", 0.5)
        await sharing.once()
        _saw(one, "b", 0.5)
        await sharing.once()
        assert one.choose(MODEL, ("a", "b"), 0.5, streamed=True, tenant="acme").backend == "b"
        assert shown[KEY] == 2.0


async def test_what_valkey_missed_meanwhile_does_not_undo_what_a_worker_saw():
    clock = ManualClock()
    one, sharing, _ = _worker(AWAY, clock)
    clock.advance(60)
    _saw(one, "a", 9.0)
    await sharing.once()
    back = Says([b"2.0", b"0", b"60000"])  # of before it went away
    await Sharing(one, back, lambda *_: None).once()
    assert one.known() == {KEY: 9.0}


@pytest.mark.parametrize(
    "told",
    [None, [], [b"1.0", b"0"], [b"nan", b"0", b"0"], [b"inf", b"0", b"0"], [b"-1", b"0", b"0"], [b"1e9", b"0", b"0"],
     [b"1", b"77", b"0"], [b"1", b"0", b"-5"], [b"1", b"0", b"9" * 400], [b"1", b"x", b"0"], [b"\xff", b"0", b"0"]],
)  # fmt: skip
async def test_numbers_that_cannot_be_are_refused(told):
    with pytest.raises(ScriptError):
        await folded(Says(told), [(KEY, Batch())], 0)


@pytest.mark.parametrize(
    "planted",
    [{"seconds": "nan"}, {"seconds": "inf"}, {"seconds": "1e9"}, {"seconds": "-3"}, {"seconds": "1", "strikes": "99"},
     {"seconds": "1", "strikes": "2.5"}, {"seconds": "1", "at": "nan"}, {"seconds": "1", "at": "1.5"},
     {"seconds": "1", "at": "9e300"}, "no hash"],
)  # fmt: skip
async def test_what_cannot_be_in_valkey_ends_no_sharing_and_is_replaced(client, planted):
    await (client.set(_name(KEY), planted) if planted == "no hash" else client.hset(_name(KEY), mapping=planted))
    one, sharing_one, _ = _worker(Pipe(client))
    two, sharing_two, _ = _worker(Pipe(client))
    two.choose(MODEL, ("a", "b"), 0.5, streamed=True, tenant="acme")
    await sharing_two.once()
    _saw(one, "a", 2.0)
    _saw(one, "b", 0.5)
    await sharing_one.once()
    await sharing_two.once()
    known = two.known()
    assert known[Key(MODEL, "b", True)] == 0.5
    assert 1.0 <= known[KEY] <= 2.0


@pytest.mark.parametrize("seed", range(10))
async def test_valkey_folds_as_workers_do(client, seed):
    dice = random.Random(seed)  # noqa: S311 - cases, the same each time
    pipe, expected, now_ms = Pipe(client), Estimate(), 1_000_000
    for _ in range(8):
        answers, idle_ms = dice.choice((0, 1, 2, 1000)), dice.choice((1, 1000, 60_000))
        batch = Batch(answers, answers * dice.lognormvariate(0, 2), dice.randint(1, 5))
        now_ms += idle_ms
        found = (await folded(pipe, [(KEY, batch)], now_ms))[KEY][0]
        if not answers and batch.strikes <= expected.strikes:
            now_ms -= idle_ms  # nothing new: what is known is as old as before
        expected = fold(expected, idle_ms / 1000, batch)
        assert found.strikes == expected.strikes
        assert found.seconds == (expected.seconds and pytest.approx(expected.seconds, rel=1e-4, abs=1e-5))


@pytest.mark.parametrize("workers", [2, 6])
async def test_workers_that_share_are_within_ten_percent_of_the_oracle(client, workers):
    courses = {"a": changes(0.3, 3.0, 120.0), "b": steady(0.6), "c": steady(3.0)}
    race = Race(courses, per_s=10.0, length_s=240.0, noise=0.3, workers=workers)
    pipe, sharings = Pipe(client), {}

    async def share(all_of_them):
        for each in all_of_them:
            own = Sharing(each, pipe, lambda *_: None, lambda: int(race.clock.now() * 1000))
            await sharings.setdefault(id(each), own).once()

    shared_s, oracle_s = await race.run_shared(share)
    assert shared_s <= 1.10 * oracle_s
    alone = Race(courses, per_s=10.0, length_s=240.0, noise=0.3, workers=workers)
    assert shared_s < alone.run()[0]  # what one has tried, the others need not try
