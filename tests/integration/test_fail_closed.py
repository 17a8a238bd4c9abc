"""Whatever breaks between Envoy and the workers: no unguarded byte leaves, and what can go on goes on.

The scripted provider emits canaries and words behind the fault; a client that has received either has received bytes
that nobody guarded.
"""

import contextlib
import itertools
import os
import shutil
import signal
import threading

import orjson
import pytest

import provider
from asking import AFTER_FAULT, CARD, CHAT, EMAIL, MODEL, assert_unseen, chat, say, told
from fragile import JSON, LONG, MESSAGE_MS, SSE, first_answer, impatient
from gateway import contract
from gateway.errors import Kind
from rawhttp import request_bytes
from stack import Options, Stack, until
from upstream import Call, Gate

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start Envoy as another user")


@pytest.fixture(scope="module")
def lonely(short_dir, upstreams):
    """One worker: the test knows whom it hurts."""
    with Stack(short_dir(), upstreams, Options(workers=1, edge=impatient())) as running:
        yield running


@pytest.fixture(scope="module")
def pair(short_dir, upstreams):
    """Two workers: one may go. Patience as in production, since retries take a part of it."""
    with Stack(short_dir(), upstreams, Options(workers=2)) as running:
        yield running


def heal(running: Stack) -> None:
    """Bring every worker back and wait until Envoy believes it."""
    for index, child in running.workers.items():
        if child.alive:
            os.kill(child.pid, signal.SIGCONT)
            if running.socket(index).exists():
                continue
            child.end()
        running.start_worker(index, wait=False)
    for index in running.workers:
        running.wait_worker(index)
    running.wait_ready()
    believed(running)


def believed(running: Stack) -> None:
    """Wait until Envoy sends to every worker: one that was ejected, or not yet seen healthy, could stand in for nobody."""
    for name in (contract.AUTHZ_CLUSTER, contract.SIDECAR_CLUSTER):
        gauge = f"cluster.{name}.membership_healthy"
        until(f"workers in {name}", lambda g=gauge: running.envoy_stats(g).get(g) == len(running.workers), 40)


@pytest.fixture
def alone(lonely):
    yield lonely
    heal(lonely)


@pytest.fixture
def two(pair):
    believed(pair)
    yield pair
    heal(pair)


# --- a worker goes in the middle of an exchange
class Exchange:
    """One exchange that stands at a chosen phase when the fault comes."""

    def __init__(self, running: Stack, phase: str, *, stream: bool) -> None:
        self.running = running
        self.phase = phase
        self.stream = stream
        self.reached, self.go = Gate(), Gate()
        self.marker = running.upstream.script(self._script)
        self.client = running.client()
        self.conn = self.client.open()
        self.body = orjson.dumps(chat(f"{self.marker} {'plain words ' * 5000}", stream=stream))

    async def _script(self, call: Call) -> None:
        if self.phase == "upstream":
            self.reached.open()
            await self.go.passed()
        await call.head(200, SSE if self.stream else JSON)
        if self.phase == "response_headers":
            self.reached.open()
            await self.go.passed()
        if self.stream:
            await call.chunk(provider.event(provider.delta(LONG)))
        else:
            await call.chunk(b'{"note": "half",')
        if self.phase == "response_body":
            self.reached.open()
            await self.go.passed()
        text = f"{AFTER_FAULT} {EMAIL} {CARD} "
        if self.stream:
            await call.chunk(provider.stream([text]))
        else:
            await call.chunk(orjson.dumps(provider.chat(text))[1:])
        await call.end()

    def run_to_phase(self) -> None:
        wire = request_bytes("POST", CHAT, [*self.client.headers, *JSON], self.body)
        if self.phase == "request_body":
            self.conn.send(wire[: len(wire) // 2])
            # The stream to `inspect` is open once Envoy has sent it the headers.
            until("the inspect stream", self._inspect_is_open)
            self.rest = wire[len(wire) // 2 :]
            return
        self.conn.send(wire)
        self.reached.wait()
        if self.phase == "response_body" and self.stream:
            self.answer = self.conn.rest(self.conn.head(), until=b"harmless")

    def _inspect_is_open(self) -> bool:
        name = f"cluster.{contract.SIDECAR_CLUSTER}.upstream_rq_active"
        return (
            self.running.envoy_stats(name).get(name, 0) >= 1
            or self.running.envoy_stats("http.ostiary.downstream_rq_active").get("http.ostiary.downstream_rq_active", 0)
            >= 1
        )

    def carry_on(self) -> None:
        """The fault has happened; the rest of the world does not know."""
        if self.phase == "request_body":
            self.conn.send(self.rest)
        self.go.open()

    def finish(self, timeout_s: float = 20):
        if self.phase == "response_body" and self.stream:
            return self.conn.rest(self.answer, timeout_s=timeout_s)
        return self.conn.answer(timeout_s=timeout_s)

    @property
    def received(self) -> bytes:
        return bytes(self.conn.received)


@pytest.fixture
def exchange_at():
    """Makes exchanges, and closes their connections whatever happens."""
    with contextlib.ExitStack() as opened:

        def make(running: Stack, phase: str, *, stream: bool) -> Exchange:
            exchange = Exchange(running, phase, stream=stream)
            opened.enter_context(exchange.conn)
            return exchange

        yield make


AT = ["request_body", "upstream", "response_headers", "response_body"]


@pytest.mark.parametrize("stream", [pytest.param(False, marks=pytest.mark.slow), True], ids=["json", "sse"])
@pytest.mark.parametrize("phase", AT)
def test_a_killed_worker_fails_its_exchanges_closed(alone, exchange_at, phase, stream):
    exchange = exchange_at(alone, phase, stream=stream)
    exchange.run_to_phase()
    alone.kill_worker(0, signal.SIGKILL)
    exchange.carry_on()
    answer = exchange.finish()
    assert_unseen(exchange.received, AFTER_FAULT, EMAIL, CARD)
    assert answer.status >= 500 or answer.broken
    if phase == "request_body":
        assert alone.upstream.seen(exchange.marker) == []
    else:
        alone.upstream.one(exchange.marker).finished.wait()


@pytest.mark.parametrize("stream", [pytest.param(False, marks=pytest.mark.slow), True], ids=["json", "sse"])
@pytest.mark.parametrize("phase", AT)
def test_a_stopped_worker_lets_nothing_pass_and_guards_when_it_wakes(alone, exchange_at, phase, stream):
    """SIGSTOP: sockets stay open, nobody answers. Either Envoy gives up in time, or the text waits for its guard."""
    exchange = exchange_at(alone, phase, stream=stream)
    exchange.run_to_phase()
    os.kill(alone.workers[0].pid, signal.SIGSTOP)
    exchange.carry_on()
    answer = exchange.finish(timeout_s=MESSAGE_MS / 1000 + 1.5)
    assert_unseen(exchange.received, AFTER_FAULT, EMAIL, CARD)
    assert answer.status >= 500 or answer.ended == "timeout"
    os.kill(alone.workers[0].pid, signal.SIGCONT)
    if answer.ended == "timeout":
        answer.ended = ""
        answer = exchange.conn.rest(answer) if answer.status else exchange.conn.answer()
    assert_unseen(exchange.received, EMAIL, CARD)


def test_a_worker_that_drains_finishes_what_it_began(alone, exchange_at):
    """SIGTERM is no fault: the stream that is open ends as if nothing had happened."""
    exchange = exchange_at(alone, "response_body", stream=True)
    exchange.run_to_phase()
    os.kill(alone.workers[0].pid, signal.SIGTERM)
    exchange.carry_on()
    answer = exchange.finish()
    alone.workers[0].process.wait(20)
    assert answer.ended == "complete"
    assert told(answer.body).endswith("] ")
    assert_unseen(exchange.received, EMAIL, CARD)


def test_an_exchange_that_died_with_its_worker_frees_the_provider(alone):
    async def endless(call: Call) -> None:
        await call.head(200, SSE)
        while True:
            await call.chunk(provider.event(provider.delta(LONG)))

    marker = alone.upstream.script(endless)
    client = alone.client()
    with client.open() as conn:
        conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], orjson.dumps(chat(marker, stream=True))))
        conn.rest(conn.head(), until=b"harmless")
        alone.kill_worker(0)
        alone.upstream.one(marker).gone.wait()


# --- nobody is there
def test_without_any_worker_everything_is_refused_in_json(alone):
    alone.kill_worker(0)
    marker = alone.upstream.script()
    for key, target in itertools.product(("acme", ""), (CHAT, "/v1/models", "/v1/nowhere")):
        answer = alone.client(key).post(target, chat(marker))
        # 500, not authz's 503: a local reply passes `inspect` too, which is just as dead (design.md, "Fail-closed").
        assert (answer.status, answer.code) in ((500, Kind.INTERNAL), (503, Kind.POLICY_UNAVAILABLE))
        assert answer.header("x-should-retry") == "false"
    assert alone.upstream.seen(marker) == []


def test_a_refusal_without_any_worker_keeps_the_security_headers(alone):
    alone.kill_worker(0)
    assert alone.client().ask("GET", "/v1/models").header("strict-transport-security")


def test_a_supervised_gateway_serves_again_after_a_crash(alone, upstream):
    alone.kill_worker(0)
    alone.start_worker(0)
    until("service", lambda: say(alone.client(), upstream).status == 200)


# --- one of two
@pytest.mark.parametrize("how", ["killed", "gone", "file"])
def test_one_dead_socket_of_two_costs_no_request(two, upstream, how):
    if how == "file":
        two.kill_worker(1)
        two.socket(1).unlink(missing_ok=True)
        two.socket(1).write_text("not a socket")
    else:
        two.kill_worker(1)
        if how == "gone":
            two.socket(1).unlink(missing_ok=True)
    client = two.client()
    before = _retries(two)
    statuses = [say(client, upstream).status for _ in range(12)]
    after = _retries(two)
    two.socket(1).unlink(missing_ok=True)
    assert statuses == [200] * 12
    # Each went to the worker that lives, the first time: no retry needed a retry.
    assert after["upstream_rq_retry"] - before["upstream_rq_retry"] == (
        after["upstream_rq_retry_success"] - before["upstream_rq_retry_success"]
    )


def _retries(running: Stack) -> dict[str, float]:
    prefix = f"cluster.{contract.SIDECAR_CLUSTER}."
    return {
        name.removeprefix(prefix): value for name, value in running.envoy_stats(prefix + "upstream_rq_retry").items()
    }


@pytest.mark.slow
def test_a_stopped_worker_is_taken_out_by_its_health_check(two, upstream):
    """It accepts connections and answers nothing; its sibling must take over without anybody's help."""
    os.kill(two.workers[1].pid, signal.SIGSTOP)
    client = two.client()

    def five_in_a_row() -> bool:
        return all(say(client, upstream).status == 200 for _ in range(5))

    until("the sibling alone", five_in_a_row, 40)


def test_requests_under_way_survive_the_death_of_a_sibling(two, upstream):
    """Concurrent load while one worker dies: every answer is right, or refused; none is cut short silently."""
    client = two.client()
    results = []

    def load() -> None:
        results.extend(say(client, upstream) for _ in range(6))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    two.kill_worker(0)
    for thread in threads:
        thread.join(60)
    assert len(results) == 24
    for answer in results:
        whole = answer.status == 200 and answer.json["choices"][0]["message"]["content"] == provider.REPLY
        assert whole or answer.status >= 500 or answer.broken
    assert sum(answer.status == 200 for answer in results) >= 12


# --- sockets
def test_a_socket_that_was_removed_before_envoy_came_is_a_refusal(short_dir, upstreams, upstream):
    """envoy#38521: problems with a UDS once failed open."""
    with Stack(short_dir(), upstreams, Options(workers=1, wait=False, edge=impatient())) as running:
        running.envoy.end()
        running.socket(0).unlink()
        running.start_envoy()
        answer = first_answer(running)
        assert answer.status in (500, 503)
        assert "error" in answer.json


@pytest.mark.skipif(shutil.which("setpriv") is None and os.geteuid() == 0, reason="cannot drop privileges here")
def test_a_socket_without_permission_is_a_refusal(short_dir, upstreams):
    """Envoy runs as another user of the sockets' group (root would pass every permission check)."""
    root = os.geteuid() == 0
    options = Options(
        workers=1, wait=False, edge=impatient(),
        worker_gid=NOBODY if root else None,
        envoy_ids=(NOBODY, NOBODY) if root else None,
        settings={"OSTIARY_SOCKET_MODE": "660"},
    )  # fmt: skip
    with Stack(short_dir(), upstreams, options) as running:
        running.wait_ready()  # with permission it works
        running.envoy.end()
        mode = running.socket(0).stat().st_mode
        running.socket(0).chmod(0)
        running.start_envoy()
        answer = first_answer(running)
        assert answer.status in (500, 503)
        assert "error" in answer.json
        running.socket(0).chmod(mode)
        running.wait_ready()


@needs_root
def test_an_envoy_of_the_wrong_user_gets_no_answer_and_gives_none(short_dir, upstreams):
    options = Options(workers=1, wait=False, edge=impatient(), envoy_ids=(NOBODY, NOBODY))
    with Stack(short_dir(), upstreams, options) as running:
        running.run_dir.chmod(0o777)  # the socket's own mode must do
        running.envoy.end()
        running.start_envoy()
        assert first_answer(running).status in (500, 503)
        assert running.audit() == []


def test_sockets_and_their_directory_are_closed_to_others(lonely):
    assert lonely.socket(0).stat().st_mode & 0o777 == 0o600
    assert lonely.admin_socket.stat().st_mode & 0o777 == 0o600


# --- the audit trail
def test_a_refusal_by_envoy_itself_is_in_the_access_log(alone):
    alone.kill_worker(0)
    target = CHAT + "/nobody-is-there"
    answer = alone.client().post(target, {})
    line = until("the access log", lambda: [one for one in alone.access_log() if one["last_path"] == target])[0]
    assert line["status"] == answer.status
    assert line["status"] in (500, 503)


def test_the_model_is_named_in_the_record_of_a_failed_exchange(alone, upstream):
    async def reset(call: Call) -> None:
        call.reset()

    record = alone.record(say(alone.client(), upstream, reset))
    assert (record["model"], record["outcome"]) == (MODEL, "failed")
