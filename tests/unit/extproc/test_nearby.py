"""The way to the index of questions: what is sent, and every way in which its answer does not count."""

import asyncio

import orjson
import pytest

from extproc.core.questions import Alike
from extproc.nearby import Nearby
from gateway import similar
from gateway.fetch import FetchError, StatusError
from gateway.policy.kept import Likeness, Similar
from worlds import FakeClock

PLACE, NAME = "a" * 64, "b" * 64
ALIKE = Alike(Similar(likeness=Likeness.USUAL, deadline_ms=40, entries=7), (b"parts",), "What is a tower?")


def near(**fields):
    return orjson.dumps({"schema": similar.SCHEMA, **fields})


class FakeLine:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked, self.closed = list(answers), [], False

    async def post(self, headers, content, max_bytes, deadline_s):
        self.asked.append((similar.read_question(content), deadline_s))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = near()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self):
        self.closed = True


def find(index, tenant="acme"):
    return index.find(tenant, PLACE, ALIKE)


async def told(index):
    while index._telling:
        await asyncio.sleep(0)


async def test_a_question_is_the_contract():
    line = FakeLine(near(name=NAME, likeness=0.9))
    found = await find(Nearby(line, FakeClock()))
    assert (found.name, found.likeness) == (NAME, 0.9)
    ((asked, deadline_s),) = line.asked
    assert asked == similar.Find(
        schema=similar.SCHEMA,
        tenant="acme",
        partition=PLACE,
        text="What is a tower?",
        likeness=Likeness.USUAL,
        deadline_ms=40,
    )
    assert deadline_s == 0.04


async def test_the_index_is_told_of_answers_and_of_their_end():
    line = FakeLine(near())
    index = Nearby(line, FakeClock())
    index.put("acme", PLACE, NAME, ALIKE, 60)
    index.drop("acme", PLACE, NAME)
    await told(index)
    (put, _), (drop, _) = line.asked
    assert (put.name, put.text, put.life_s, put.entries) == (NAME, ALIKE.text, 60, 7)
    assert (drop.name, drop.partition) == (NAME, PLACE)


@pytest.mark.parametrize(
    "answer",
    [
        near(),
        near(name="not a name", likeness=1),
        near(name=NAME, likeness=2),
        orjson.dumps({"name": NAME, "likeness": 1}),
        b"{",
        FetchError("gone"),
        StatusError(503),
        ValueError("a bug"),
    ],
)
async def test_whatever_else_it_says_is_nothing(answer):
    assert await find(Nearby(FakeLine(answer), FakeClock())) is None


async def test_an_index_that_is_away_is_soon_not_asked_and_later_again():
    line, clock = FakeLine(FetchError("gone")), FakeClock()
    index = Nearby(line, clock)
    for _ in range(9):
        assert await find(index) is None
    index.put("acme", PLACE, NAME, ALIKE, 60)
    await told(index)
    assert len(line.asked) == 5
    clock.at += 2
    line.answers = [near(name=NAME, likeness=0.9)]
    assert (await find(index)).name == NAME


async def test_a_question_that_it_would_not_take_says_nothing_of_its_health():
    line = FakeLine(StatusError(400))
    index = Nearby(line, FakeClock())
    for _ in range(9):
        assert await find(index) is None
    assert len(line.asked) == 9


async def test_only_so_many_ask_at_a_time():
    gate = asyncio.Event()
    line = FakeLine(gate)
    index = Nearby(line, FakeClock())
    asking = [asyncio.create_task(find(index)) for _ in range(70)]
    while len(line.asked) < 64:
        await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*asking) == [None] * 70
    assert len(line.asked) == 64


async def test_who_leaves_is_no_failure():
    line = FakeLine(asyncio.Event())
    index = Nearby(line, FakeClock())
    for _ in range(6):
        leaving = asyncio.create_task(find(index))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    line.answers = [near(name=NAME, likeness=0.9)]
    assert (await find(index)).name == NAME


async def test_a_text_that_cannot_be_written_is_nobodys_fault():
    line = FakeLine(near())
    index = Nearby(line, FakeClock())
    torn = Alike(Similar(), (), "half a pair \ud800")
    for _ in range(9):
        assert await index.find("acme", PLACE, torn) is None
    assert line.asked == []
    index.put("acme", PLACE, NAME, torn, 60)
    await told(index)
    assert await find(index) is None
    assert len(line.asked) == 1


async def test_closing_ends_what_is_under_way():
    line = FakeLine(asyncio.Event())
    index = Nearby(line, FakeClock())
    index.put("acme", PLACE, NAME, ALIKE, 60)
    await asyncio.sleep(0)
    await index.close()
    assert line.closed
    assert not index._telling
