"""Every failure of a first backend, at every door, across dialects, on real Envoy: who is asked, with what, who bills.

`test_failover` has the rules of pools among backends of one dialect; here each pair of dialects meets each fault.
"""

import asyncio
import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

import aws
from asking import AFTER_FAULT, CARD, chat
from bundle import PROVIDER_KEYS
from certs import Authority
from extproc.translate import eventstream
from gateway import contract
from gateway.errors import Kind
from ports import free_port
from speaking import CREDENTIALS, DOORS, MESSAGES, USAGE, answering, stream, streams, typed, whole
from stack import Options, Stack, until
from upstream import Call, Gate

MINE = "Hello from the one that stands in."
DIALECTS = ("openai", "anthropic", "gemini")
#: Every first dialect in front of every other one.
PAIRS = list(itertools.permutations(DIALECTS, 2))
CASES = [(door, first, second) for door in ("chat", "messages") for first, second in PAIRS]
#: Bedrock before each and behind each; Gemini's door before its own dialect, behind and before each other.
MORE = [
    ("chat", "bedrock", "anthropic"), ("messages", "bedrock", "openai"), ("generate", "bedrock", "gemini"),
    ("chat", "openai", "bedrock"), ("messages", "anthropic", "bedrock"), ("generate", "gemini", "bedrock"),
    ("generate", "gemini", "anthropic"), ("generate", "openai", "gemini"), ("generate", "anthropic", "openai"),
]  # fmt: skip
SPOKEN = (*DIALECTS, "bedrock")


def _met(faults):
    """Each pair of dialects meets each fault, at one door and the other in turn; then, once at each, as a stream."""
    for number, fault in enumerate(faults):
        for at, (first, second) in enumerate(PAIRS):
            door = ("chat", "messages")[(number + at) % 2]
            yield (door, first, second), fault, (number + at // 2) % 2 == 1


def _met_by_more(faults):
    """Each of the others meets each fault at its one door, whole or as a stream in turn."""
    for number, fault in enumerate(faults):
        for at, case in enumerate(MORE):
            yield case, fault, (number + at // 2) % 2 == 1


def _told(param):
    return "-".join(param) if isinstance(param, tuple) else None


IDLE_S = 3
LIMITS = {"day": {"tokens": 10_000_000, "per": "day"}}


class Tripwire:
    """An external provider that must hear nothing: it counts each connection, and each byte before it hangs up."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = self.received = 0
        self._thread = threading.Thread(target=self._serve, name="tripwire")
        self._thread.start()

    def _serve(self):
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            with conn:
                self.connections += 1
                self.received += len(conn.recv(1 << 16))

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)


@pytest.fixture(scope="module")
def tripwire():
    wire = Tripwire()
    yield wire
    wire.close()


#: One for each side, as keys are.
AWS_SECRETS = {key: aws.SECRET.replace("EXAMPLE", key.upper()) for key in PROVIDER_KEYS}


def _backend(url, dialect, key):
    if dialect == "bedrock":
        return {"url": url, "dialect": dialect, "credential": {"aws": {"file": f"{key}.aws", "region": aws.REGION}}}
    header, prefix = CREDENTIALS[dialect]
    return {"url": url, "dialect": dialect, "credential": {"file": f"{key}.key", "header": header, "prefix": prefix}}


def _pool(*backends, **more):
    names = dict.fromkeys(backends, "theirs")
    return {"backends": [*backends], "upstream_model": names, "first_byte_s": 1, "tell": True, **more}


def _policy(tripwire):
    def write(directory):
        backends = orjson.loads((directory / "backends.yaml").read_bytes())
        main, other = (backends[name]["url"].rpartition("/")[0] for name in ("main", "other"))
        trusted = backends["secure"]
        closed = f"http://127.0.0.1:{free_port()}/closed"
        for key, secret in AWS_SECRETS.items():
            file = directory / f"{key}.aws"
            file.touch(0o600)
            file.write_text(f"{aws.KEY_ID}:{secret}")
        for dialect in SPOKEN:
            backends[f"a-{dialect}"] = _backend(f"{main}/a-{dialect}", dialect, "main")
            backends[f"b-{dialect}"] = _backend(f"{other}/b-{dialect}", dialect, "other")
            backends[f"closed-{dialect}"] = _backend(closed, dialect, "dead")
            # A certificate of an authority that nobody trusts.
            unsafe = _backend(trusted["url"], dialect, "main") | {"ca_file": trusted["ca_file"]}
            backends[f"unsafe-{dialect}"] = unsafe
        backends["outside"] = _backend(f"http://127.0.0.1:{tripwire.port}/outside", "anthropic", "other")
        (directory / "backends.yaml").write_bytes(orjson.dumps(backends))
        models = orjson.loads((directory / "models.yaml").read_bytes())
        pools = itertools.product(("a", "closed", "unsafe"), PAIRS)
        more = itertools.product(("a", "closed"), [(first, second) for _, first, second in MORE])
        for name, (first, second) in (*pools, *more):
            models[f"{name}-{first}-{second}"] = _pool(f"{name}-{first}", f"b-{second}")
        for dialect in SPOKEN:
            for name in ("a", "b"):
                models[f"{name}-{dialect}"] = {"backend": f"{name}-{dialect}", "upstream_model": "theirs"}
        for dialect in DIALECTS:
            own = [f"closed-{dialect}", f"unsafe-{dialect}", f"a-{dialect}"]
            models[f"own-{dialect}"] = _pool("outside", *own, when_found={"pii.*": own})
        (directory / "models.yaml").write_bytes(orjson.dumps(models))
        tenants = orjson.loads((directory / "tenants.yaml").read_bytes())
        tenants["watched"]["budgets"] = {"limits": LIMITS}
        (directory / "tenants.yaml").write_bytes(orjson.dumps(tenants))

    return write


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams, tls_upstream, tripwire):
    stranger = Authority(short_dir(), "stranger")
    options = Options(
        workers=2,
        policy=_policy(tripwire),
        limits={"idle_s": IDLE_S},
        tls_provider=(tls_upstream[0].port, stranger.pem),
        control=True,
    )
    with Stack(short_dir(), upstreams, options) as running:
        yield running


def _post(client, door, marker, model, *, streamed=False, once=None):
    """One request at a door."""
    asking = DOORS[door]
    body = asking.ask(f"Hello {marker}", model, stream=streamed)
    return client.post(asking.target(model, stream=streamed), body, timeout_s=30, once=once)


@pytest.fixture(scope="module")
def asked(gateway, upstreams):
    """What a backend of each dialect gets of each door's request when it is the only one: what failover must match."""
    seen = {}
    for door, dialect, streamed in itertools.product(DOORS, SPOKEN, (False, True)):
        marker = upstreams["other"].script(answering(dialect, MINE))
        assert _post(gateway.client(), door, marker, f"b-{dialect}", streamed=streamed).status == 200
        one = upstreams["other"].one(marker)
        seen[door, dialect, streamed] = one.body.replace(marker.encode(), b"MARKER"), one.target, one.names
    return seen


# --- before the first byte -----------------------------------------------------------------------------------------


def _status(status, *headers):
    async def fails(call: Call) -> None:
        await call.json({"error": {"message": AFTER_FAULT}}, status, headers)

    return fails


async def _resets(call: Call) -> None:
    call.reset()


async def _closes(call: Call) -> None:
    call.hang_up()


async def _half_a_head(call: Call) -> None:
    await call.raw(b"HTTP/1.1 200 OK\r\ncontent-ty")
    call.hang_up()


async def _no_http(call: Call) -> None:
    await call.raw(f"220 {AFTER_FAULT} ESMTP\r\n\r\n".encode())
    call.hang_up()


async def _stalls(call: Call) -> None:
    await call.until_gone()


BEFORE = {
    "500": _status(500),
    "503": _status(503, ("retry-after", "77")),
    "529": _status(529),
    "429": _status(429, ("retry-after", "77")),
    "reset": _resets,
    "closed": _closes,
    "half-a-head": _half_a_head,
    "no-http": _no_http,
}


@pytest.fixture
def steady(gateway, upstreams, request):
    """Between faults the first backends answer, so that none is ejected for five failures in a row."""
    yield
    case = request.node.callspec.params.get("case") if hasattr(request.node, "callspec") else None
    for dialect in SPOKEN if case is None else case[1:2]:
        marker = upstreams["main"].script(answering(dialect, MINE))
        assert gateway.client().post(DOORS["chat"].path, chat(marker, model=f"a-{dialect}")).status == 200


def _ask(gateway, upstreams, case, fails, model="a", *, streamed, once=None):
    """One request that the first backend fails and the second may answer."""
    door, first, second = case
    marker = upstreams["main"].script(fails)
    upstreams["other"].script(answering(second, MINE), marker)
    answer = _post(gateway.client(), door, marker, f"{model}-{first}-{second}", streamed=streamed, once=once)
    return answer, upstreams["main"].seen(marker), upstreams["other"].seen(marker), marker


def _stood_in(gateway, asked, case, outcome, model="a", *, streamed):
    """The second answered, was told what it alone would have been told, and is the one on record."""
    door, first, second = case
    answer, at_first, at_second, marker = outcome
    assert answer.status == 200, answer.body
    assert DOORS[door].said(answer.body, stream=streamed) == MINE
    assert AFTER_FAULT.encode() not in answer.body
    assert answer.header("retry-after") is None
    told = answer.header("x-ostiary-backend"), answer.header("x-ostiary-attempts")
    # One that failed five times in a row is ejected: passed over without an attempt.
    attempts = told[1]
    assert told[0] == f"b-{second}"
    assert attempts == "2" or (model != "a" and attempts == "1")
    assert len(at_first) == (model == "a")
    (seen,) = at_second
    body, target, names = asked[door, second, streamed]
    assert (seen.body.replace(marker.encode(), b"MARKER"), seen.target) == (body, target)
    assert seen.names == names, "an attempt before it left something behind"
    for each, dialect, key in [*((one, first, "main") for one in at_first), (seen, second, "other")]:
        _clean(each, dialect, key, gateway.bundle.keys.values())
    record = gateway.record(answer)
    assert (record["backend"], record["outcome"]) == (f"b-{second}", "completed")
    assert record["details"] == {"first_backend": f"{model}-{first}", "attempts": attempts}
    usage = record["usage"]
    assert (usage["source"], usage["input_tokens"], usage["output_tokens"]) == ("provider", *USAGE[second])


def _clean(seen, dialect, key, callers):
    """Its own key where it looks for it, nobody else's, and no header of ours."""
    head = repr(seen.headers)
    header, found = "authorization", [each for each in PROVIDER_KEYS.values() if each in head]
    if dialect == "bedrock":
        assert (aws.unsigned(seen, secret=AWS_SECRETS[key]), found) == ("", [])
    else:
        header, prefix = CREDENTIALS[dialect]
        assert (seen.header(header), found) == (prefix + PROVIDER_KEYS[key], [PROVIDER_KEYS[key]])
        assert not [name for name in seen.names if name.startswith("x-amz-")]
    assert not [each for each in (*callers, *AWS_SECRETS.values()) if each in head]
    assert not seen.names & {name for name, _ in CREDENTIALS.values()} - {header}
    private = (*contract.OWNED_PREFIXES, "x-forwarded-", "traceparent", "tracestate", "cookie")
    assert not [name for name in seen.names if name.startswith(private)]


@pytest.mark.parametrize(
    ("case", "fault", "streamed"), [*_met(BEFORE), *_met_by_more(["503", "429", "reset"])], ids=_told
)
@pytest.mark.usefixtures("steady")
def test_the_next_dialect_answers_when_the_first_fails_before_its_head(
    gateway, upstreams, asked, case, fault, streamed
):
    outcome = _ask(gateway, upstreams, case, BEFORE[fault], streamed=streamed)
    _stood_in(gateway, asked, case, outcome, streamed=streamed)


@pytest.mark.parametrize(
    ("case", "model", "streamed"), [*_met(["closed", "unsafe"]), *_met_by_more(["closed"])], ids=_told
)
def test_one_that_cannot_be_connected_to_or_trusted_is_passed_over(gateway, upstreams, asked, case, model, streamed):
    outcome = _ask(gateway, upstreams, case, _stalls, model, streamed=streamed)
    _stood_in(gateway, asked, case, outcome, model, streamed=streamed)


@pytest.mark.parametrize("cases", [CASES, MORE], ids=["first", "more"])
@pytest.mark.usefixtures("steady")
def test_a_backend_that_says_nothing_is_left_after_its_time(gateway, upstreams, asked, cases):
    """All at once: each waits for `first_byte_s`. Four of a backend's are fewer than outlier detection counts."""

    def ask(case):
        streamed = cases.index(case) % 2 == 1
        return case, streamed, _ask(gateway, upstreams, case, _stalls, streamed=streamed)

    with ThreadPoolExecutor(len(cases)) as pool:
        outcomes = list(pool.map(ask, cases))
    for case, streamed, outcome in outcomes:
        _stood_in(gateway, asked, case, outcome, streamed=streamed)


# --- behind the head: never begun again ----------------------------------------------------------------------------

JSON = [("content-type", "application/json")]


def _slow(dialect):
    async def answers(call: Call) -> None:
        """The head at once, the first byte behind it later than `first_byte_s`, which is over with the head."""
        await call.head(200, typed(dialect) if streams(call) else JSON)
        await asyncio.sleep(1.5)
        await call.chunk(stream(dialect, [MINE]) if streams(call) else orjson.dumps(whole(dialect, MINE)))
        await call.end()

    return answers


def test_a_first_byte_that_comes_late_behind_its_head_is_waited_for(gateway, upstreams):
    cases = [*CASES, *MORE]

    def ask(case):
        streamed = cases.index(case) % 2 == 1
        return case, streamed, _ask(gateway, upstreams, case, _slow(case[1]), streamed=streamed)

    with ThreadPoolExecutor(len(cases)) as pool:
        outcomes = list(pool.map(ask, cases))
    for (door, *_), streamed, (answer, at_first, at_second, _) in outcomes:
        assert answer.status == 200, answer.body
        assert DOORS[door].said(answer.body, stream=streamed) == MINE
        assert (len(at_first), len(at_second)) == (1, 0)
        assert gateway.record(answer)["details"]["attempts"] == "1"


def _whole(dialect, how):
    good = orjson.dumps(whole(dialect, f"{AFTER_FAULT} {CARD}"))
    half = good[: len(good) * 2 // 3]

    async def fails(call: Call) -> None:
        match how:
            case "reset-behind-the-head":
                await call.head(200, JSON)
                call.reset()
            case "reset-in-the-body":
                await call.head(200, JSON)
                await call.chunk(half)
                call.reset()
            case "closed-in-the-body":
                await call.head(200, JSON)
                await call.chunk(half)
                call.hang_up()
            case "short":
                await call.head(200, JSON, length=len(good) + 10)
                await call.chunk(good)
                call.hang_up()
            case "stalled":
                await call.head(200, JSON)
                await call.chunk(half)
                await call.until_gone()
            case "cut-json":
                await call.answer(200, half)
            case "no-json":
                await call.answer(200, AFTER_FAULT.encode())
            case "nothing":
                await call.answer(200, b"")
            case "html":
                await call.answer(200, good, [("content-type", "text/html")])
            case "gzip":
                await call.answer(200, good, [*JSON, ("content-encoding", "gzip")])
            case _:
                raise AssertionError(how)

    return fails


WHOLE = (
    "reset-behind-the-head", "reset-in-the-body", "closed-in-the-body", "short", "stalled", "cut-json", "no-json",
    "nothing", "html", "gzip",
)  # fmt: skip
#: What Envoy itself takes for a broken answer.
NOTICED = {"reset-behind-the-head", "reset-in-the-body", "closed-in-the-body", "short"}
#: Each dialect at each door once.
LONE = [
    (door, first, next(second for _, one, second in (*CASES, *MORE) if one == first))
    for door in DOORS
    for first in SPOKEN
]


@pytest.mark.parametrize("how", WHOLE)
@pytest.mark.usefixtures("steady")
def test_a_whole_answer_that_fails_behind_its_head_is_refused_and_not_asked_for_again(gateway, upstreams, how):
    def ask(case):
        return case, _ask(gateway, upstreams, case, _whole(case[1], how), streamed=False)

    with ThreadPoolExecutor(len(LONE)) as pool:
        outcomes = list(pool.map(ask, LONE))
    for (door, first, _), (answer, at_first, at_second, _) in outcomes:
        assert answer.status in {502, 503, 504}, (door, first, answer.status, answer.body)
        assert AFTER_FAULT.encode() not in answer.raw
        assert CARD.encode() not in answer.raw
        error = orjson.loads(answer.body)
        assert error["error"]["message"]
        assert ("type" in error, "status" in error["error"]) == (door == "messages", door == "generate")
        assert (len(at_first), len(at_second)) == (1, 0)
        record = gateway.record(answer)
        # Where Envoy saw it break, the worker is told nothing but that it is over, sometimes before the answer's head;
        # the access log says why.
        attempts = record["details"].get("attempts", "1" if how in NOTICED else None)
        assert (record["backend"], attempts) == (f"a-{first}", "1")
        assert record["outcome"] in ({"aborted"} if how in NOTICED else {"failed", "refused"})


def _streamed(dialect, how, read):
    begun = stream(dialect, ["Some words that are long enough to leave the gateway. "] * 12, ends=False)

    async def fails(call: Call) -> None:
        await call.head(200, typed(dialect))
        await call.chunk(begun)
        match how:
            case "reset" | "closed":
                await read.passed()
                call.reset() if how == "reset" else call.hang_up()
            case "ends-early":
                await call.end()
            case "stalled":
                await call.until_gone()
            case "no-json" if dialect == "bedrock":
                await call.chunk(eventstream.event("contentBlockDelta", f"{{{AFTER_FAULT}".encode()))
                await call.until_gone()
            case "no-json":
                await call.chunk(f"data: {{{AFTER_FAULT}\r\n\r\n".encode())
                await call.until_gone()
            case _:
                raise AssertionError(how)

    return fails


@pytest.mark.parametrize("how", ["reset", "closed", "ends-early", "stalled", "no-json"])
@pytest.mark.usefixtures("steady")
def test_a_stream_that_fails_in_the_middle_ends_as_a_failure_and_not_as_an_answer(gateway, upstreams, how):
    def ask(case):
        read = Gate()
        fails = _streamed(case[1], how, read)
        return case, _ask(gateway, upstreams, case, fails, streamed=True, once=(b"Some words", read.open))

    with ThreadPoolExecutor(len(LONE)) as pool:
        outcomes = list(pool.map(ask, LONE))
    for (door, first, _), (answer, at_first, at_second, _) in outcomes:
        if answer.status == 502:  # the fault came in one piece with the words before it
            assert how == "no-json"
            assert orjson.loads(answer.body)["error"]
        else:
            assert answer.status == 200
            assert b"Some words" in answer.body
        assert AFTER_FAULT.encode() not in answer.body
        assert MINE.encode() not in answer.body
        ended = {"chat": b"[DONE]", "messages": b"message_stop", "generate": b"finishReason"}[door] in answer.body
        # A stream of the caller's own dialect that just stops is passed on as it is: without its end.
        same = (door, first) in {("chat", "openai"), ("messages", "anthropic"), ("generate", "gemini")}
        told = answer.broken or b'"error"' in answer.body
        assert told or (how == "ends-early" and same and not ended), (door, first, answer.body[-300:])
        assert (len(at_first), len(at_second)) == (1, 0)
        record = gateway.record(answer)
        assert (record["backend"], record["details"]["attempts"]) == (f"a-{first}", "1")
        assert told == (record["outcome"] != "completed")


# --- who pays, who must not see ------------------------------------------------------------------------------------


def _spent(gateway):
    """What the ledger has charged, once nothing is set aside any more."""

    def stand():
        (day,) = gateway.operate("GET", "/admin/v1/budgets/watched")["limits"]
        return None if day["held"] else (day["used"],)

    return until("settled", stand)[0]


@pytest.mark.parametrize("case", [*CASES[::5], MORE[2], MORE[5]], ids="-".join)
@pytest.mark.usefixtures("steady")
def test_an_answer_of_the_second_is_billed_once_and_by_what_the_second_tells(gateway, upstreams, case):
    door, first, second = case
    before = _spent(gateway)
    marker = upstreams["main"].script(_status(500))
    upstreams["other"].script(answering(second, MINE), marker)
    answer = _post(gateway.client("watched"), door, marker, f"a-{first}-{second}")
    assert (answer.status, answer.header("x-ostiary-attempts")) == (200, "2")
    assert gateway.record(answer)["usage"]["source"] == "provider"
    assert _spent(gateway) - before == sum(USAGE[second])


@pytest.mark.usefixtures("steady")
def test_a_failure_of_all_is_not_billed(gateway, upstreams):
    before = _spent(gateway)
    marker = upstreams["main"].script(_status(500))
    upstreams["other"].script(_status(503), marker)
    answer = gateway.client("watched").post(MESSAGES, DOORS["messages"].ask(marker, "a-anthropic-gemini"))
    assert answer.status == 503
    gateway.record(answer)
    assert _spent(gateway) == before


@pytest.mark.parametrize("fault", ["503", "reset", "closed", "no-http"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.usefixtures("steady")
def test_with_all_own_backends_down_nobody_outside_hears_a_byte(gateway, upstreams, tripwire, dialect, fault):
    before = tripwire.connections, tripwire.received
    marker = upstreams["main"].script(BEFORE[fault])
    answer = gateway.client().post(DOORS["chat"].path, chat(f"{marker} my card is {CARD}", model=f"own-{dialect}"))
    code = orjson.loads(answer.body)["error"].get("code")
    if fault == "503":  # the last backend's own word
        assert answer.status == 503
    elif fault == "no-http":
        assert (answer.status, code) == (502, Kind.BACKEND_ANSWER_INVALID.value)
    else:
        assert (answer.status, code) == (503, Kind.BACKEND_UNAVAILABLE.value)
    assert (tripwire.connections, tripwire.received) == before
    assert CARD.encode() not in b"".join(seen.body for seen in upstreams["main"].seen(marker))
    record = gateway.record(answer)
    assert record["details"]["first_backend"] == f"closed-{dialect}"


@pytest.mark.usefixtures("steady")
def test_the_same_backend_outside_is_asked_for_what_holds_nothing_personal(gateway, upstreams, tripwire):
    """The counterpart: the tripwire stands where requests go, and is heard when it may be."""
    before = tripwire.connections
    marker = upstreams["main"].script(answering("openai", MINE))
    answer = gateway.client().post(DOORS["chat"].path, chat(f"{marker} a clean question", model="own-openai"))
    assert (answer.status, answer.header("x-ostiary-backend")) == (200, "a-openai")
    assert tripwire.connections > before
    assert tripwire.received > 0


def test_both_workers_took_part(gateway, upstreams, asked):
    """Attempts are told by metadata alone: whichever worker takes one, it is made the same."""
    case = CASES[0]
    for _ in range(4):
        outcome = _ask(gateway, upstreams, case, _status(500), streamed=False)
        _stood_in(gateway, asked, case, outcome, streamed=False)
    clusters = orjson.loads(gateway.admin("/clusters?format=json"))["cluster_statuses"]
    (sidecar,) = [each for each in clusters if each["name"] == contract.SIDECAR_CLUSTER]
    taken = [
        int(stat.get("value", 0))
        for host in sidecar["host_statuses"]
        for stat in host["stats"]
        if stat["name"] == "rq_total"
    ]
    assert len(taken) == 2
    assert min(taken) > 4
