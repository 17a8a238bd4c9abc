"""The board in a real Valkey: each notice once for all workers, nothing lost when its taker dies, everything bounded."""

import asyncio
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

import valkey_server
from budgeting import ACME, limit
from clocks import ManualClock
from gateway.budgets.board import SUBJECTS, Notice, ValkeyBoard
from gateway.budgets.model import Dimension, key_of
from gateway.budgets.watch import Watch
from gateway.budgets.window import Figures
from gateway.script import Pipe, ScriptError

LATER_MS = 60_000
NOTICE = Notice(
    id="alert_1",
    key="ostiary:{acme}:budget:day:tokens:day:acme",
    tenant="acme",
    limit="day",
    resource="tokens",
    subject={},
    percent=50,
    used=55,
    amount=100,
    hard=True,
    at_s=1.0,
    ends_s=9.0,
)


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


@pytest.fixture
def board(client):
    return ValkeyBoard(Pipe(client))


async def test_a_percentage_is_told_once_and_a_higher_one_again(board):
    assert await board.tell(NOTICE, LATER_MS)
    assert not await board.tell(NOTICE, LATER_MS)
    assert await board.tell(changed(NOTICE, id="alert_2", percent=80), LATER_MS)
    assert not await board.tell(changed(NOTICE, id="alert_3"), LATER_MS)
    assert await board.tell(changed(NOTICE, id="alert_4", key="another"), LATER_MS)
    assert [one.id for one in await board.take(LATER_MS, 10)] == ["alert_1", "alert_2", "alert_4"]


async def test_a_mark_ends_with_its_window(board, client):
    await board.tell(NOTICE, LATER_MS)
    (mark,) = [key async for key in client.scan_iter(match="*mark*")]
    assert 0 < await client.pttl(mark) <= LATER_MS


async def test_what_was_taken_is_away_and_comes_back_unless_it_is_done(board):
    await board.tell(NOTICE, LATER_MS)
    assert await board.take(LATER_MS, 10) == [NOTICE]
    assert await board.take(LATER_MS, 10) == []
    await board.later(NOTICE, 0)
    assert await board.take(0, 10) == [NOTICE]
    assert await board.take(LATER_MS, 10) == [NOTICE]
    await board.later(NOTICE, 0)
    await board.done(NOTICE)
    assert await board.take(LATER_MS, 10) == []
    await board.later(NOTICE, 0)
    assert await board.take(LATER_MS, 10) == []


async def test_a_board_that_nobody_reads_is_full_some_day(board):
    for number in range(1000):
        assert await board.tell(changed(NOTICE, id=f"a{number}", key=f"k{number}"), LATER_MS)
    with pytest.raises(ScriptError, match="no room"):
        await board.tell(changed(NOTICE, id="more", key="more"), LATER_MS)


async def test_subjects_are_the_latest_ones(board):
    for number in range(0, SUBJECTS + 200, 100):
        await board.seen("acme", [f"k{one:04}" for one in range(number, number + 100)])
    found = await board.subjects("acme")
    assert (len(found), "k0000" in found, "k1199" in found) == (SUBJECTS, False, True)
    assert await board.subjects("other") == []


async def test_many_workers_that_see_the_same_tell_it_once(server):
    day = replace(limit(1000), name="day", scope=(Dimension.KEY,))
    key = key_of(day, ACME)
    clients = [server.client() for _ in range(8)]
    try:
        await clients[0].flushall()
        boards = [ValkeyBoard(Pipe(one)) for one in clients]
        watches = [Watch(board, lambda _: (50, 80, 100), lambda *_: None, ManualClock()) for board in boards]
        for used in (510, 400, 820, 1000):
            for watch in watches:
                watch.saw(day, key, Figures(0, used, 0, 1000, 0, 0))
            await asyncio.gather(*(watch.tick() for watch in watches))
        assert sorted(one.percent for one in await boards[0].take(LATER_MS, 100)) == [50, 80, 100]
        assert await boards[0].subjects("acme") == [key]
    finally:
        for one in clients:
            await one.aclose()
