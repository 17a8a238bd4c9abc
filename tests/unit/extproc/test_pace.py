"""Turns of one event loop: bounded rounds, first come first served, nothing held for streams that ended."""

import asyncio

from extproc.pace import COURTESY_MOST, COURTESY_ROUNDS, EVENT_BYTES, ROUND_BYTES, Pace

LARGE = ROUND_BYTES


async def _judge(pace, size_bytes, told, name):
    turn = pace.take(size_bytes)
    if turn is not None:
        await turn
    told.append(name)


async def _rounds(pace, sizes):
    """What was judged in each round of the loop."""
    told, rounds = [], []
    tasks = [asyncio.ensure_future(_judge(pace, size, told, index)) for index, size in enumerate(sizes)]
    while len(told) < len(sizes):
        before = len(told)
        await asyncio.sleep(0)
        if told[before:]:
            rounds.append(told[before:])
    await asyncio.gather(*tasks)
    return rounds


async def test_whoever_comes_alone_never_waits():
    pace = Pace()
    for _ in range(5):
        assert pace.take(LARGE) is None
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_large_pieces_are_judged_one_in_a_round_and_in_their_order():
    assert await _rounds(Pace(), [LARGE] * 6) == [[0], [1], [2], [3], [4], [5]]


async def test_small_pieces_share_a_round():
    fit = -(-ROUND_BYTES // EVENT_BYTES)
    rounds = await _rounds(Pace(), [0] * (3 * fit))
    assert [len(each) for each in rounds] == [fit, fit, fit]
    assert [index for each in rounds for index in each] == list(range(3 * fit))


async def test_what_is_larger_than_a_round_leaves_no_debt():
    assert await _rounds(Pace(), [100 * ROUND_BYTES, LARGE, LARGE]) == [[0], [1], [2]]


async def test_a_crowd_lets_others_run_between_its_pieces():
    pace, told, seen = Pace(), [], []

    async def check():
        """Stands for a call of gRPC: a few steps, each in a round of its own."""
        for _ in range(5):
            await asyncio.sleep(0)
        seen.append(len(told))

    crowd = [asyncio.ensure_future(_judge(pace, LARGE, told, index)) for index in range(200)]
    await asyncio.gather(check(), *crowd)
    assert seen[0] <= 10
    assert len(told) == 200


async def test_a_stream_that_ended_while_it_waited_takes_no_turn():
    pace, told = Pace(), []
    assert pace.take(LARGE) is None
    gone, stays = pace.take(LARGE), pace.take(LARGE)
    gone.cancel()
    stays.add_done_callback(told.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert stays.done()
    assert told == [stays]


async def test_a_new_call_gives_the_next_one_some_rounds_without_judging():
    pace = Pace()
    assert pace.take(LARGE) is None
    turn = pace.take(LARGE)
    pace.newcomer()
    for _ in range(COURTESY_ROUNDS):
        await asyncio.sleep(0)
        assert not turn.done()
    await asyncio.wait_for(turn, 20)


async def test_however_many_calls_come_in_open_streams_go_on():
    pace = Pace()
    assert pace.take(LARGE) is None
    turn = pace.take(LARGE)
    rounds = 0
    while not turn.done():
        pace.newcomer()
        await asyncio.sleep(0)
        rounds += 1
    assert COURTESY_MOST <= rounds <= COURTESY_MOST + 2
