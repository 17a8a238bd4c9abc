import asyncio

import pytest

from analysis.desk import BrokenError, Desk, FullError, LateError
from clocks import ManualClock
from engines import HeldEngine
from gateway.advice import Text


def said(*texts):
    return tuple(Text(provenance="user", text=text) for text in texts)


@pytest.fixture
def engine():
    return HeldEngine()


@pytest.fixture
async def desk(engine):
    made = Desk(engine=engine, clock=ManualClock(), waiting_max=2, waiting_chars=100, batch=2)
    made.start()
    yield made
    engine.let_go()
    assert await made.close(10)


async def begun(engine):
    assert await asyncio.to_thread(engine.begun.wait, 10)


async def waiting(desk, count):
    while desk.waiting < count:
        await asyncio.sleep(0)


async def held(engine, desk):
    """One question that the engine is busy with."""
    engine.hold()
    first = asyncio.create_task(desk.ask(said("first"), 1))
    await begun(engine)
    return first


async def test_a_verdict_comes_back_to_who_asked(desk):
    verdicts = await asyncio.gather(desk.ask(said("good"), 1), desk.ask(said("x", "so bad"), 1))
    assert not verdicts[0].findings
    assert [(each.text, each.start) for each in verdicts[1].findings] == [(1, 3)]
    assert desk.tally.answered == 2


async def test_what_has_gathered_is_judged_together(desk, engine):
    first = await held(engine, desk)
    others = [asyncio.create_task(desk.ask(said(text), 1)) for text in ("second", "third")]
    await waiting(desk, 2)
    engine.let_go()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in engine.batches] == [1, 2]


async def test_beyond_the_bound_nobody_waits(desk, engine):
    first = await held(engine, desk)
    others = [asyncio.create_task(desk.ask(said(text), 1)) for text in ("second", "third")]
    await waiting(desk, 2)
    with pytest.raises(FullError):
        await desk.ask(said("fourth"), 1)
    assert desk.tally.full == 1
    engine.let_go()
    await asyncio.gather(first, *others)
    assert "fourth" not in engine.seen


async def test_beyond_the_bound_of_characters_nobody_waits(desk, engine):
    first = await held(engine, desk)
    second = asyncio.create_task(desk.ask(said("x" * 90), 1))
    await waiting(desk, 1)
    with pytest.raises(FullError):
        await desk.ask(said("y" * 11), 1)
    engine.let_go()
    await asyncio.gather(first, second)


async def test_one_question_beyond_the_bound_of_characters_is_taken_when_nothing_waits(desk):
    assert not (await desk.ask(said("x" * 1000), 1)).findings


async def test_what_is_late_is_never_judged(desk, engine):
    first = await held(engine, desk)
    late = asyncio.create_task(desk.ask(said("late"), 0.5))
    timely = asyncio.create_task(desk.ask(said("timely"), 5))
    await waiting(desk, 2)
    desk.clock.advance(1)
    engine.let_go()
    with pytest.raises(LateError):
        await late
    await asyncio.gather(first, timely)
    assert engine.seen == ["first", "timely"]
    assert desk.tally.late == 1


async def test_what_nobody_waits_for_is_never_judged(desk, engine):
    first = await held(engine, desk)
    gone = asyncio.create_task(desk.ask(said("gone"), 5))
    stays = asyncio.create_task(desk.ask(said("stays"), 5))
    await waiting(desk, 2)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    engine.let_go()
    await asyncio.gather(first, stays)
    assert engine.seen == ["first", "stays"]
    assert desk.tally.left == 1


async def test_whoever_leaves_while_judged_harms_nobody(desk, engine):
    first = await held(engine, desk)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    engine.let_go()
    assert (await desk.ask(said("bad"), 5)).findings


async def test_an_engine_that_fails_is_told_and_works_on(desk, caplog):
    with pytest.raises(BrokenError):
        await desk.ask(said("boom secret"), 1)
    assert (await desk.ask(said("bad"), 1)).findings
    assert desk.tally.failed == 1
    assert "secret" not in caplog.text


async def test_closing_answers_what_waits_and_takes_nothing_new(engine):
    desk = Desk(engine=engine, clock=ManualClock())
    desk.start()
    first = await held(engine, desk)
    second = asyncio.create_task(desk.ask(said("bad"), 1))
    await waiting(desk, 1)
    closing = asyncio.create_task(desk.close(10))
    while not desk._closing:
        await asyncio.sleep(0)
    with pytest.raises(BrokenError):
        await desk.ask(said("new"), 1)
    engine.let_go()
    assert (await second).findings
    await first
    assert await closing
    assert not desk.alive


async def test_closing_gives_up_on_an_engine_that_hangs(engine):
    desk = Desk(engine=engine, clock=ManualClock())
    desk.start()
    first = await held(engine, desk)
    assert not await desk.close(0)
    engine.let_go()
    await first
    assert await desk.close(10)


async def test_a_desk_that_was_not_started_takes_nothing(engine):
    with pytest.raises(BrokenError):
        await Desk(engine=engine, clock=ManualClock()).ask(said("x"), 1)
