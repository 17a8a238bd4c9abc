"""The index in Redis against one that fails, hangs and lies, told by a script."""

import asyncio

import pytest
import structlog
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ResponseError,
    TryAgainError,
)

np = pytest.importorskip("numpy", reason="only with `make analysis`")

from analysis.neighbours import Kept  # noqa: E402 -- after it is known to be there
from analysis.vectorset import VectorSet, VectorSetError, probe  # noqa: E402
from analysis.veil import Veil, Veiled  # noqa: E402
from clocks import ManualClock  # noqa: E402
from gateway.script import ScriptError  # noqa: E402

PLACE = "a" * 64
VEIL = Veil(b"p" * 32)
OUT_THERE = VEIL.place("acme", PLACE)
VECTORS = np.eye(384, dtype=np.float32)[:2]
VECTOR = VECTORS[0]


class Redis:
    """Says what it is told to say; to everything else, None."""

    def __init__(self):
        self.says, self.asked = {}, []

    def start(self, script, keys, arguments):
        self.asked.append((keys, arguments))
        answer = asyncio.get_running_loop().create_future()
        said = self.says.get(arguments[0].decode())
        if isinstance(said, Exception):
            answer.set_exception(said)
        elif said is not asyncio.sleep:
            answer.set_result(said)
        return answer

    def operations(self):
        return [arguments[0] for _, arguments in self.asked]


@pytest.fixture
def redis():
    return Redis()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def index(redis, clock):
    return VectorSet(redis, asyncio.get_running_loop(), VEIL, clock, call_s=0.05)


def sealed(clock, number=1, place=OUT_THERE, life_s=60, vectors=VECTORS):
    name = f"{number:064x}"
    said = Veiled("why?", round((clock.now() + life_s) * 1000), vectors)
    return [name.encode(), VEIL.close("acme", place, name, said)]


async def near(index, clock, **how):
    return await asyncio.to_thread(index.near, "acme", PLACE, VECTOR, clock.monotonic(), 3, **how)


async def holds(index, **how):
    return await asyncio.to_thread(index.holds, "acme", PLACE, **how)


async def test_what_is_found_is_told_as_it_was_sealed(index, redis, clock):
    redis.says["near"] = sealed(clock, 7)
    (found,) = await near(index, clock)
    assert found.kept == Kept(f"{7:064x}", "why?", clock.monotonic() + 60)
    assert found.cosine == pytest.approx(1, abs=0.01)
    ((index_key, place_key), _) = redis.asked[0]
    assert (index_key, place_key) == ("ostiary:{acme}:similar:index", f"ostiary:{{acme}}:similar:place:{OUT_THERE}")


SHAPES = [None, 1, b"x", [b"x", 1], [None, b"x"], [[b"x"], b"y"], [b"x"] * 34, "text", {b"x": b"y"}]


@pytest.mark.parametrize("said", SHAPES)
async def test_an_answer_of_another_shape_is_none(index, redis, clock, said):
    redis.says["near"] = said
    assert await near(index, clock) == []


@pytest.mark.parametrize("said", [b"1", None, [1], 1.5, "1"])
async def test_a_count_of_another_shape_is_none(index, redis, said):
    redis.says["holds"] = said
    assert not await holds(index)


async def test_half_a_pair_is_left_out(index, redis, clock):
    redis.says["near"] = [*sealed(clock), b"x"]
    assert len(await near(index, clock)) == 1


async def test_names_and_seals_that_are_not_ours_are_not_told_but_removed(index, redis, clock):
    mine, of_another_place = sealed(clock, 1), sealed(clock, 2, place="b" * 64)
    strange = [b"\xff\n", b"x", b"", b"", b"A" * 64, mine[1], b"0" * 64, mine[1], mine[0] + b"\n", mine[1]]
    redis.says |= {"near": [*strange, *of_another_place, *mine], "drop": 6}
    found = await near(index, clock)
    assert [each.kept.name for each in found] == [f"{1:064x}"]
    _, (operation, *names) = redis.asked[-1]
    assert (operation, names) == (b"drop", [*strange[::2], of_another_place[0]])


async def test_what_is_not_near_is_not_told_whatever_redis_says(index, redis, clock):
    far = sealed(clock, vectors=VECTORS[::-1])
    redis.says["near"] = far
    assert await near(index, clock) == []
    assert redis.operations() == [b"near"], "it is not near, and yet ours: it stays"


async def test_what_has_ended_is_forgotten(index, redis, clock):
    redis.says |= {"near": [*sealed(clock, 1, life_s=0), *sealed(clock, 2)], "drop": 1}
    assert [each.kept.name for each in await near(index, clock)] == [f"{2:064x}"]
    assert redis.asked[-1][1] == (b"drop", f"{1:064x}".encode())


async def test_what_has_ended_before_it_is_put_is_not_put(index, redis, clock):
    kept = Kept("0" * 64, "why?", clock.monotonic())
    await asyncio.to_thread(index.put, "acme", PLACE, kept, VECTORS, 9)
    assert redis.asked == []


async def test_a_redis_that_hangs_is_a_miss_in_time(index, redis, clock):
    redis.says["near"] = redis.says["holds"] = asyncio.sleep
    async with asyncio.timeout(20):
        assert await near(index, clock) == []
        assert not await holds(index)
    assert await near(index, clock, due_s=clock.monotonic()) == []
    assert redis.operations() == [b"near", b"holds"], "nobody waits for what is due already"


async def test_after_some_failures_it_is_left_alone_for_a_while(index, redis, clock):
    redis.says["holds"] = ScriptError("ConnectionError")
    for _ in range(20):
        assert not await holds(index)
    assert len(redis.asked) == 5
    redis.says["holds"] = 1
    clock.advance(1)
    assert await holds(index)
    assert await holds(index)
    assert len(redis.asked) == 7


async def test_a_loop_that_is_gone_is_a_miss(redis, clock):
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert not VectorSet(redis, loop, VEIL, clock).holds("acme", PLACE)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (ResponseError("Unknown command called from script script: on @user_script:1."), "has no vector sets"),
        (
            ResponseError(f"Unknown Redis command called from script script: {'0' * 40}, on @user_script:28."),
            "no vector",
        ),
        (
            ResponseError(
                f"Error running script (call to f_{'a' * 40}): @user_script:28: @user_script: 28: "
                "Unknown Redis command called from Lua script"
            ),
            "has no vector sets",
        ),
        (ResponseError("unknown command 'EVALSHA', with args beginning with: 'x' "), "has no scripts"),
        (ResponseError("unknown command `evalsha`, with args beginning with: `x`, "), "has no scripts"),
        (
            ResponseError(
                "ACL failure in script: User u has no permissions to run the 'VCARD' command script: 0, on x"
            ),
            "refuses what the index needs",
        ),
        (NoPermissionError("no permissions to run the 'evalsha' command"), "refuses what the index needs"),
    ],
)
async def test_a_server_that_will_never_do_is_told_of_at_the_start(redis, said, told):
    redis.says["holds"] = ScriptError("ResponseError", refused=said)
    with pytest.raises(VectorSetError, match=told):
        await probe(redis, 1)


@pytest.mark.parametrize(
    "said",
    [
        ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        ClusterDownError("The cluster is down"),
        TryAgainError("Multiple keys request during rehashing of slot"),
        NoScriptError(),
        ResponseError("unknown host, says a proxy"),
        ResponseError("upstream says: unknown command 'evalsha'"),
        ResponseError("Error running script: Unknown command called from script"),
        ResponseError("A" * 50_000),
    ],
    ids=lambda said: str(said)[:12],
)
async def test_what_a_server_refuses_for_now_is_logged_and_asked_again_later(redis, said):
    redis.says["holds"] = ScriptError(type(said).__name__, refused=said)
    with structlog.testing.capture_logs() as told:
        assert not await probe(redis, 1)
    assert told == [{"event": "similar_index_away", "reason": type(said).__name__, "log_level": "warning"}]
    redis.says["holds"] = 0
    assert await probe(redis, 1)


async def test_a_server_that_is_away_at_the_start_may_come_later(redis):
    redis.says["holds"] = ScriptError("ConnectionError")
    assert not await probe(redis, 1)
    redis.says["holds"] = asyncio.sleep
    assert not await probe(redis, 0.01)
    redis.says["holds"] = 0
    assert await probe(redis, 1)
