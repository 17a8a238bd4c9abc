"""Lanes: evaluations off the loop, and what overruns its deadline is contained."""

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

import rego
from authz.opa.embedded import Embedded, Lanes
from authz.opa.evaluator import AwayError, BrokenError
from authz.opa.library import Engine, LibraryError
from clocks import ManualClock
from gateway.clock import SystemClock

ALICE, BOB, CAROL = ("acme", "alice"), ("acme", "bob"), ("acme", "carol")


class Rego:
    """Stands in for an engine: "hang" evaluates until it is released, everything else is its own value."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()

    def evaluate(self, document):
        if document == b"hang":
            self.entered.release()
            self.released.wait(30)
        if document == b"fail":
            raise LibraryError("eval_error", "rego/authz.rego:3: the value of input was hunter2")
        if document == b"bug":
            raise ZeroDivisionError
        return document


class Rig:
    """Lanes with a clock that stands still, and evaluations that hang on purpose."""

    def __init__(self, **options):
        self.clock, self.engine = ManualClock(), Rego()
        self.lanes = Lanes(self.clock, **{"lanes": 2, **options})
        self.hung = []

    async def ask(self, document, who=ALICE):
        return await self.lanes.evaluate(self.engine, document, who, 0.05)

    async def hang(self, who):
        self.hung.append(asyncio.ensure_future(self.ask(b"hang", who)))
        await asyncio.to_thread(self.engine.entered.acquire)

    async def end(self):
        self.engine.released.set()
        answers = await asyncio.gather(*self.hung, return_exceptions=True)
        self.lanes.close()
        return answers


@pytest.fixture
async def rig():
    rig = Rig()
    yield rig
    await rig.end()


async def test_a_value_comes_back_from_another_thread(rig):
    assert await rig.ask(b"42") == b"42"


async def test_other_callers_are_answered_while_one_hangs(rig):
    await rig.hang(ALICE)
    rig.clock.advance(1)
    assert await rig.ask(b"1", BOB) == b"1"


async def test_a_caller_whose_evaluation_hangs_gets_no_second_lane(rig):
    await rig.hang(ALICE)
    rig.clock.advance(1)
    with pytest.raises(AwayError, match="this caller"):
        await rig.ask(b"1", ALICE)


async def test_a_caller_may_have_two_evaluations_within_their_deadline(rig):
    await rig.hang(ALICE)
    assert await rig.ask(b"1", ALICE) == b"1"


async def test_when_every_lane_hangs_nobody_waits_in_vain(rig):
    await rig.hang(ALICE)
    await rig.hang(BOB)
    rig.clock.advance(1)
    with pytest.raises(AwayError, match="every lane"):
        await rig.ask(b"1", CAROL)


async def test_lanes_that_come_back_evaluate_again(rig):
    await rig.hang(ALICE)
    await rig.hang(BOB)
    rig.clock.advance(1)
    rig.engine.released.set()
    assert await asyncio.gather(*rig.hung) == [b"hang", b"hang"]
    assert await rig.ask(b"1", CAROL) == b"1"


async def test_a_waiter_that_gives_up_leaves_the_lane_to_end_by_itself(rig):
    await rig.hang(ALICE)
    rig.hung[0].cancel()
    with capture_logs() as logs:
        await rig.end()
        for _ in range(100):
            if logs:
                break
            await asyncio.to_thread(lambda: None)
    assert [entry["event"] for entry in logs] == ["opa_evaluation_late"]


async def test_too_many_that_wait_are_told_so():
    rig = Rig(lanes=1, max_waiting=2)
    await rig.hang(ALICE)
    waiting = [asyncio.ensure_future(rig.ask(b"1", BOB)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(AwayError, match="too many"):
        await rig.ask(b"1", CAROL)
    await rig.end()
    assert await asyncio.gather(*waiting) == [b"1", b"1"]


async def test_what_nobody_waits_for_any_more_is_not_evaluated():
    rig = Rig(lanes=1)
    await rig.hang(ALICE)
    waiting = asyncio.ensure_future(rig.ask(b"hang", BOB))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    rig.engine.released.set()
    assert await rig.ask(b"1", CAROL) == b"1"  # the lane has passed the cancelled one
    assert not rig.engine.entered.acquire(blocking=False)
    await rig.end()


@pytest.mark.parametrize(("document", "kind"), [(b"fail", BrokenError), (b"bug", AwayError)])
async def test_a_failure_has_a_cause_without_values(rig, document, kind):
    embedded = Embedded(rig.engine, rig.lanes, 0.05)
    with pytest.raises(kind) as caught:
        await embedded.evaluate(document, ALICE)
    assert "hunter2" not in str(caught.value)
    assert await embedded.evaluate(b"1", ALICE) == b"1"  # and the lane lives


@pytest.mark.slow
@rego.needs_library
async def test_the_library_answers_others_while_rego_loops():
    engine, lanes = Engine(rego.opa(rego.SLOW)), Lanes(SystemClock())
    loops = asyncio.ensure_future(lanes.evaluate(engine, b'{"caller":{"principal":"loop"}}', ALICE, 0.05))
    others = [await lanes.evaluate(engine, b'{"caller":{"principal":"x"}}', BOB, 0.05) for _ in range(20)]
    assert others == [{"allow": True}] * 20
    assert not loops.done()
    assert await loops == {"allow": True}
    lanes.close()
    engine.close()
