"""The index of questions over HTTP: its own path and contract, beside those of advisers."""

import socket

import aiohttp
import pytest

from analysis.desk import Desk
from analysis.engine import Told, Verdict
from analysis.site import Site
from clocks import ManualClock
from gateway import similar
from gateway.policy.kept import Likeness

NAME = "b" * 64
COMMON = {"schema": similar.SCHEMA, "tenant": "acme", "partition": "a" * 64}
FIND = similar.Find(**COMMON, text="why?", likeness=Likeness.USUAL, deadline_ms=50)


class Names:
    """An index that names the same entry whatever is asked; none where it is told to fail."""

    name = similar.ENGINE

    def __init__(self):
        self.asked, self.broken = [], False

    def judge(self, items):
        for number, item in enumerate(items):
            self.asked.append(item)
            named = Told(near=similar.Near(schema=similar.SCHEMA, name=NAME, likeness=0.9))
            yield number, Verdict() if self.broken else named


@pytest.fixture
def index():
    return Names()


@pytest.fixture
async def client(tmp_path, index):
    desk = Desk(engine=index, clock=ManualClock())
    desk.start()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    site = Site({index.name: desk})
    await site.start(listening)
    async with aiohttp.ClientSession(
        "http://analysis", connector=aiohttp.UnixConnector(str(tmp_path / "s"))
    ) as session:
        yield session
    await site.close(1)
    assert await desk.close(10)


async def post(client, body, path=similar.PATH):
    async with client.post(path, data=body) as answer:
        return answer.status, await answer.read()


async def test_every_kind_of_question_is_answered(client, index):
    put = similar.Put(**COMMON, name=NAME, text="why?", life_s=60, entries=10)
    for asked in (FIND, put, similar.Drop(**COMMON, name=NAME)):
        status, raw = await post(client, similar.write(asked))
        assert status == 200
        assert similar.read_near(raw).name == NAME
        assert index.asked[-1].question == asked
        assert "why?" not in repr(index.asked[-1])


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"op": "find"}', b"[" * 9000, b" " * 20_000])
async def test_what_is_not_the_contract_is_refused(client, index, body):
    assert (await post(client, body))[0] == 400
    assert index.asked == []


async def test_it_is_no_adviser(client):
    assert (await post(client, similar.write(FIND), "/v1/advice/similar"))[0] == 404


async def test_an_engine_that_says_something_else_has_failed(client, index):
    index.broken = True
    assert (await post(client, similar.write(FIND)))[0] == 500
