import asyncio
import io
import socket

import aiohttp
import pytest

from analysis.desk import Desk
from analysis.engine import Verdict
from analysis.site import Site
from clocks import ManualClock
from engines import HeldEngine
from gateway.advice import (
    FINDINGS_MAX,
    QUESTION_MAX_BYTES,
    SCHEMA,
    Advised,
    Question,
    Text,
    read_advice,
    write_question,
)


def question(*texts, deadline_ms=5000):
    return Question(
        schema=SCHEMA,
        request_id="r",
        tenant="acme",
        direction="request",
        deadline_ms=deadline_ms,
        texts=tuple(Text(provenance="user", text=text) for text in texts),
    )


@pytest.fixture
def engine():
    return HeldEngine()


@pytest.fixture
async def desk(engine):
    made = Desk(engine=engine, clock=ManualClock(), waiting_max=1)
    made.start()
    yield made
    engine.let_go()
    assert await made.close(10)


@pytest.fixture
async def client(tmp_path, desk):
    path = tmp_path / "s"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    site = Site({"fake": desk}, connections=3, body_s=0.2)
    await site.start(listening)
    async with aiohttp.ClientSession("http://analysis", connector=aiohttp.UnixConnector(str(path))) as session:
        session.path = path
        yield session
    await site.close(1)


async def ask(client, *texts, **changes):
    asked = question(*texts, **changes)
    async with client.post("/v1/advice/fake", data=write_question(asked)) as answer:
        assert answer.status == 200, await answer.text()
        return read_advice(await answer.read(), asked)


async def status(client, body, path="/v1/advice/fake", method="POST", **more):
    async with client.request(method, path, data=body, **more) as answer:
        return answer.status


async def test_an_answer_is_the_contract(client):
    advice = await ask(client, "good", "so bad")
    assert [(each.rule, each.text, each.start, each.end) for each in advice.findings] == [("fake.bad", 1, 3, 6)]
    assert advice.partial == ()


async def test_places_are_code_points(client):
    assert (await ask(client, "\U0001f600 bad")).findings[0].start == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000])
async def test_garbage_is_refused(client, engine, body):
    assert await status(client, body) == 400
    assert not engine.seen


async def test_a_body_beyond_the_bound_is_refused_before_it_has_arrived(client):
    async def endless():
        for _ in range(QUESTION_MAX_BYTES // 65536 + 2):
            yield b" " * 65536

    assert await status(client, io.BytesIO(b" " * (QUESTION_MAX_BYTES + 1))) == 413
    assert await status(client, endless()) == 413


async def test_a_body_that_does_not_come_is_not_waited_for(client):
    async def stalled():
        yield b"{"
        await asyncio.sleep(10)

    assert await status(client, stalled()) == 408


async def test_other_paths_and_methods_are_refused(client):
    body = write_question(question("x"))
    assert await status(client, body, "/v1/advice/other") == 404
    assert await status(client, body, "/v1/advice") == 404
    assert await status(client, body, "/fake") == 404
    assert await status(client, None, method="GET") == 405
    assert await status(client, body, "/healthz") == 405


async def test_a_full_queue_says_when_to_come_back(client, desk, engine):
    engine.hold()
    first = asyncio.create_task(ask(client, "first"))
    assert await asyncio.to_thread(engine.begun.wait, 10)
    second = asyncio.create_task(ask(client, "second"))
    while not desk.waiting:
        await asyncio.sleep(0)
    async with client.post("/v1/advice/fake", data=write_question(question("third"))) as answer:
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
    engine.let_go()
    await asyncio.gather(first, second)


async def test_a_question_that_is_late_is_told_so(client, desk, engine):
    engine.hold()
    first = asyncio.create_task(ask(client, "first"))
    assert await asyncio.to_thread(engine.begun.wait, 10)
    late = asyncio.create_task(status(client, write_question(question("late", deadline_ms=10))))
    while not desk.waiting:
        await asyncio.sleep(0)
    desk.clock.advance(1)
    engine.let_go()
    assert await late == 504
    await first
    assert "late" not in engine.seen


async def test_whoever_hangs_up_is_forgotten(client, desk, engine):
    engine.hold()
    first = asyncio.create_task(ask(client, "first"))
    assert await asyncio.to_thread(engine.begun.wait, 10)
    gone = asyncio.create_task(ask(client, "gone"))
    while not desk.waiting:
        await asyncio.sleep(0)
    ticket = desk._waiting[0]
    gone.cancel()
    while not ticket.left:
        await asyncio.sleep(0)
    engine.let_go()
    await first
    assert (await ask(client, "bad")).findings
    assert engine.seen == ["first", "bad"]


async def test_an_engine_that_fails_is_a_500_without_the_text(client):
    async with client.post("/v1/advice/fake", data=write_question(question("boom hunter2"))) as answer:
        assert answer.status == 500
        assert "hunter2" not in await answer.text()


async def test_more_findings_than_an_answer_holds_make_it_partial(client, engine):
    many = tuple(Advised(rule="fake.bad", text=place, score=1.0) for place in (0, 1) for _ in range(FINDINGS_MAX - 10))
    engine.judge = lambda items: iter([(0, Verdict(many))])
    advice = await ask(client, "x", "y")
    assert len(advice.findings) == FINDINGS_MAX
    assert advice.partial == (1,)


async def test_health_tells_of_the_queues_and_of_a_dead_engine(client, desk, engine):
    await ask(client, "bad")
    async with client.get("/healthz") as answer:
        told = await answer.json()
    assert answer.status == 200
    assert told["engines"]["fake"]["answered"] == 1
    await desk.close(10)
    async with client.get("/healthz") as answer:
        assert answer.status == 503
    assert await status(client, write_question(question("x"))) == 500


async def test_connections_are_bounded(client):
    opened = []
    try:
        opened += [await asyncio.open_unix_connection(str(client.path)) for _ in range(3)]
        for _, writer in opened:
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        for reader, _ in opened:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_unix_connection(str(client.path))
        opened.append((reader, writer))
        assert await reader.read() == b""
    finally:
        for _, writer in opened:
            writer.close()
