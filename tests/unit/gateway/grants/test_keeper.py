"""One token's life: fetched ahead, replaced with its secret, kept while the endpoint is away, never asked in a storm."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from clocks import ManualClock
from gateway.fetch import FetchError, StatusError
from gateway.grants.keeper import TokenKeeper
from gateway.policy.model import Grant
from gateway.secrets.reference import Secret, SecretError
from vaulting import middle

GRANT = Grant(kind="azure", token_url="https://login.example/token", scope="s/.default", client="c", proof="secret")


class Endpoint:
    """Satisfies `Line`: a new token for each question."""

    def __init__(self):
        self.asked = []
        self.lasts_s = 1000
        self.fault = None
        self.closed = False

    async def post(self, headers, content, max_bytes, deadline_s):
        self.asked.append(content)
        if self.fault is not None:
            raise self.fault
        told = {"access_token": f"t-{len(self.asked)}", "token_type": "Bearer", "expires_in": self.lasts_s}
        return json.dumps(told).encode()

    async def close(self):
        self.closed = True


class Rig:
    def __init__(self):
        self.clock = ManualClock()
        self.endpoint = Endpoint()
        self.secret = Secret("s-1")
        self.keeper = TokenKeeper(GRANT, self.read, self.endpoint, self.clock, middle, lambda: "u")

    async def read(self):
        if isinstance(self.secret, Exception):
            raise self.secret
        return self.secret

    def token(self):
        found = self.keeper.token()
        return None if found is None else found.reveal()

    async def after(self, seconds):
        self.clock.advance(seconds)
        return await self.keeper.tend()


@pytest.fixture
def rig():
    return Rig()


async def test_a_token_is_fetched_ahead_and_the_next_one_long_before_its_end(rig):
    assert rig.token() is None
    assert await rig.keeper.tend() <= 5
    assert rig.token() == "t-1"
    await rig.after(599)
    assert rig.token() == "t-1"
    await rig.after(1)
    assert rig.token() == "t-2"


async def test_a_new_secret_makes_a_new_token_at_once_and_the_old_one_serves_until_it_is_there(rig):
    await rig.keeper.tend()
    rig.secret = Secret("s-2")
    rig.endpoint.fault = StatusError(401)
    await rig.after(5)
    assert rig.token() == "t-1"
    rig.endpoint.fault = None
    await rig.after(5)
    assert rig.token() == "t-3"
    assert b"client_secret=s-2" in rig.endpoint.asked[-1]


async def test_while_the_endpoint_is_away_the_token_counts_until_shortly_before_its_end(rig):
    await rig.keeper.tend()
    rig.endpoint.fault = FetchError("no answer within 5 s")
    await rig.after(600)
    await rig.after(369)
    assert rig.token() == "t-1"
    rig.clock.advance(1)
    assert rig.token() is None


async def test_an_endpoint_that_refuses_is_asked_ever_less_and_told_of_once_without_its_words(rig):
    rig.endpoint.fault = StatusError(400)
    with capture_logs() as logs:
        for _ in range(100):
            assert await rig.after(1) >= 1
    assert len(rig.endpoint.asked) <= 8
    assert [(each["event"], each["cause"]) for each in logs] == [
        ("cloud_token_unavailable", "the token endpoint answered 400")
    ]
    rig.endpoint.fault = None
    await rig.after(30)
    assert rig.token() is not None


async def test_a_short_life_is_no_storm(rig):
    rig.endpoint.lasts_s = 1
    await rig.keeper.tend()
    for _ in range(9):
        await rig.after(0.1)
    assert len(rig.endpoint.asked) == 1


async def test_a_providers_refusal_makes_another_one_at_most_every_half_minute(rig):
    await rig.keeper.tend()
    rig.keeper.refused()
    await rig.keeper.tend()
    assert rig.token() == "t-1"
    rig.clock.advance(30)
    rig.keeper.refused()
    rig.keeper.refused()
    await rig.keeper.tend()
    await rig.keeper.tend()
    assert rig.token() == "t-2"


async def test_without_its_secret_nobody_is_asked(rig):
    for secret in (None, SecretError("f is empty")):
        rig.secret = secret
        with capture_logs() as logs:
            await rig.keeper.tend()
        assert [each["event"] for each in logs] == ["cloud_token_unavailable"]
    assert rig.endpoint.asked == []
    rig.secret = Secret("s-1")
    await rig.keeper.tend()
    assert rig.token() == "t-1"


async def test_a_secret_that_goes_is_missed_when_it_is_needed_and_not_before(rig):
    await rig.keeper.tend()
    rig.secret = None
    with capture_logs() as logs:
        assert await rig.after(599) == 5
        assert logs == []
        await rig.after(1)
    assert [each["event"] for each in logs] == ["cloud_token_unavailable"]
    assert rig.token() == "t-1"


async def test_a_secret_that_cannot_be_read_for_an_odd_reason_is_read_again(rig):
    await rig.keeper.tend()
    rig.secret = RuntimeError("can't start new thread")
    with capture_logs() as logs:
        assert await rig.after(600) == 5
    assert [each["cause"] for each in logs] == ["RuntimeError"]
    assert rig.token() == "t-1"
    rig.secret = Secret("s-1")
    await rig.after(5)
    assert rig.token() == "t-2"


async def test_a_bug_is_no_end_and_its_text_is_not_logged(rig):
    rig.endpoint.fault = ZeroDivisionError("s-1")
    with capture_logs() as logs:
        await rig.keeper.tend()
    assert [each["cause"] for each in logs] == ["ZeroDivisionError"]


async def test_it_runs_by_itself_settles_and_forgets(rig):
    rig.keeper.start()
    assert await rig.keeper.settled(20)
    assert rig.token() == "t-1"
    await rig.keeper.close()
    assert rig.token() is None
    assert rig.endpoint.closed


async def test_at_rest_nobody_is_asked_and_the_token_counts_until_its_end(rig):
    rig.keeper.start()
    assert await rig.keeper.settled(20)
    rig.keeper.rest()
    await ended(rig.keeper)
    rig.clock.advance(969)
    rig.keeper.refused()
    assert rig.token() == "t-1"
    rig.clock.advance(1)
    assert rig.token() is None
    assert len(rig.endpoint.asked) == 1
    rig.keeper.start()
    async with asyncio.timeout(20):
        while rig.token() is None:
            await asyncio.sleep(0)
    assert rig.token() == "t-2"
    await rig.keeper.close()


async def test_a_rest_during_a_question_keeps_nobody_from_asking_again(rig):
    asked, answer = asyncio.Event(), asyncio.Event()
    post = rig.endpoint.post

    async def slowly(*arguments):
        asked.set()
        await answer.wait()
        return await post(*arguments)

    rig.endpoint.fault = StatusError(400)
    await rig.keeper.tend()
    rig.endpoint.fault, rig.endpoint.post = None, slowly
    rig.clock.advance(1)
    rig.keeper.start()
    await asked.wait()  # as the one that may ask while the circuit is open
    rig.keeper.rest()
    rig.keeper.start()
    answer.set()
    async with asyncio.timeout(20):
        while rig.token() is None:
            await asyncio.sleep(0)
    await rig.keeper.close()


async def ended(keeper):
    async with asyncio.timeout(20):
        while not keeper._task.done():
            await asyncio.sleep(0)
