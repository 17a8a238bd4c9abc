"""A sidecar that misbehaves, scripted or our own with a stream that breaks: no unguarded byte leaves.

The scripted provider emits canaries and words behind the fault; a client that has received either has received bytes
that nobody guarded.
"""

import orjson
import pytest

import provider
from asking import AFTER_FAULT, CARD, CHAT, assert_unseen, chat, say
from fragile import JSON, LONG, SSE, first_answer, impatient
from gateway import contract
from rawhttp import request_bytes
from sidecar import PHASES, FakeSidecar, How, Noted, Plan
from stack import ROOT, Options, Stack, until
from upstream import Call, Gate

#: Streams of `inspect` that Envoy has seen its processor end with OK.
ENDED = "http.ostiary.ext_proc.inspect.server_half_closed"


# --- a sidecar that misbehaves
@pytest.fixture(scope="module")
def faked(short_dir, upstreams):
    """Real Envoy, no workers: a scripted sidecar sits on the socket."""
    running = Stack(short_dir(), upstreams, Options(workers=1, wait=False, edge=impatient()))
    fake = FakeSidecar(running.socket(0), Plan(route=contract.route_of("main"))).start()
    try:
        running.start_envoy()
        first_answer(running)
        yield running, fake
    finally:
        running.stop()
        fake.stop()


def _ask_with(faked, marker: str, **plan):
    running, fake = faked
    fake.plan = Plan(route=contract.route_of("main"), **plan)
    fake.noted = Noted()
    answer = running.client().post(CHAT, chat(marker), timeout_s=15)
    return answer, fake.noted


async def _canary(call: Call) -> None:
    await call.json(provider.chat(f"{AFTER_FAULT} {CARD}"))


def test_the_scripted_sidecar_itself_passes_everything(faked, upstream):
    """The control: without a fault the canary arrives, so its absence below means something."""
    marker = upstream.script(_canary)
    answer, _ = _ask_with(faked, marker)
    assert answer.status == 200
    assert AFTER_FAULT.encode() in answer.raw


@pytest.mark.parametrize("how", [How.GARBAGE, How.WRONG, How.ABORT, How.HANG])
@pytest.mark.parametrize("phase", PHASES)
def test_a_sidecar_that_answers_nonsense_is_a_refusal(faked, upstream, phase, how):
    if phase == "response_headers" and how is How.WRONG:
        pytest.skip("Envoy lets the rest pass: test_why_our_pump_answers_what_it_was_asked")
    if phase.startswith("response") and how is How.HANG:
        pytest.skip("FULL_DUPLEX has no message timeout: the worker's own deadline and the idle timeout cover it")
    marker = upstream.script(_canary)
    answer, noted = _ask_with(faked, marker, phase=phase, how=how)
    assert noted.inspected, "the sidecar was never asked"
    # A message out of order after the head: Envoy drops what it had handed over and may end a 200 without a body.
    assert answer.status >= 500 or answer.broken or (how is How.WRONG and answer.body == b"")
    assert_unseen(answer.raw, AFTER_FAULT, CARD)
    if phase.startswith("request"):
        assert upstream.seen(marker) == []


@pytest.mark.parametrize("how", [How.GARBAGE, How.ABORT, How.HANG])
def test_an_authz_that_answers_nonsense_is_a_refusal(faked, upstream, how):
    marker = upstream.script(_canary)
    answer, noted = _ask_with(faked, marker, check=how)
    assert noted.checks
    assert answer.status >= 500
    assert upstream.seen(marker) == []


@pytest.mark.parametrize("how", [How.GARBAGE, How.WRONG, How.ABORT, How.HANG])
def test_an_adapt_that_answers_nonsense_is_a_refusal(faked, upstream, how):
    marker = upstream.script(_canary)
    answer, noted = _ask_with(faked, marker, adapt_phase="request_headers", how=how)
    assert noted.adapted
    assert answer.status >= 500
    assert upstream.seen(marker) == []


@pytest.mark.parametrize("phase", PHASES)
def test_why_our_pump_has_one_exit(faked, upstream, phase):
    """The rule behind the pump: Envoy lets the rest pass when a processor ends its stream with OK too early.

    In the request phases the default route saves us; in the response phases nothing does. Should this test fail
    after an upgrade, Envoy has become safer, and design.md wants an edit.
    """

    async def in_two_halves(call: Call) -> None:
        await call.head(200, SSE)
        await call.chunk(b"data: {}\n\n")
        await ended.passed()
        await call.chunk(f"data: {AFTER_FAULT}\n\n".encode())
        await call.end()

    running, fake = faked
    ended = Gate()
    marker = upstream.script(in_two_halves)
    if phase.startswith("request"):
        answer, _ = _ask_with(faked, marker, phase=phase, how=How.RETURN)
        assert answer.status >= 500
        assert upstream.seen(marker) == []
        return
    fake.plan = Plan(route=contract.route_of("main"), phase=phase, how=How.RETURN)
    fake.noted = Noted()
    client = running.client()
    before = running.envoy_stats(ENDED)[ENDED]
    with client.open() as conn:
        conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], orjson.dumps(chat(marker))))
        # Seen by Envoy: a second half that comes before is handed to the stream that ends, and lost with it.
        until("the fault", lambda: running.envoy_stats(ENDED)[ENDED] > before)
        answer = conn.head()
        ended.open()
        answer = conn.rest(answer)
    assert AFTER_FAULT.encode() in answer.raw


def test_why_our_pump_answers_what_it_was_asked(faked, upstream):
    """The rule behind the order of commands: trailers in answer to a response's head let all that follows pass.

    Ours keeps that order, whatever happens (tests/unit/extproc/test_exchange.py). Should this test fail after an upgrade,
    Envoy has become safer.
    """

    async def head_first(call: Call) -> None:
        await call.head(200, JSON)
        await asked.passed()
        await call.chunk(f'{{"x": "{AFTER_FAULT}"}}'.encode())
        await call.end()

    running, fake = faked
    asked = Gate()
    marker = upstream.script(head_first)
    fake.plan = Plan(route=contract.route_of("main"), phase="response_headers", how=How.WRONG)
    fake.noted = Noted()
    client = running.client()
    with client.open() as conn:
        conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], orjson.dumps(chat(marker))))
        answer = conn.head()  # it came out, so the wrong answer was taken for one
        asked.open()
        answer = conn.rest(answer)
    assert AFTER_FAULT.encode() in answer.raw


@pytest.mark.parametrize("phase", ["request_headers"])
def test_an_adapt_that_returns_early_gives_the_provider_no_credential(faked, upstream, phase):
    marker = upstream.script(_canary)
    _ask_with(faked, marker, adapt_phase=phase, how=How.RETURN)
    for seen in upstream.seen(marker):
        assert "authorization" not in seen.names
        assert contract.ROUTE_HEADER not in seen.names


# --- our own worker, with a stream that breaks under it
@pytest.fixture(scope="module")
def breakable(short_dir, upstreams):
    """A real worker whose inspect streams break where a file says."""
    fault = short_dir() / "fault"
    fault.write_text("")
    options = Options(
        workers=1,
        edge=impatient(),
        worker_module=(str(ROOT / "tests/support/faulty_worker.py"),),
        settings={"FAULT_FILE": str(fault)},
    )
    with Stack(short_dir(), upstreams, options) as running:
        yield running, fault


@pytest.mark.parametrize("how", ["ends", "garbage", "cancelled", "broken"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("phase", PHASES)
def test_our_pump_never_ends_a_stream_too_early(breakable, upstream, phase, stream, how):
    """The same four phases as above with our pump: nothing that comes behind the fault reaches the client."""

    async def in_two_halves(call: Call) -> None:
        await call.head(200, SSE if stream else JSON)
        await call.chunk(provider.event(provider.delta(LONG)) if stream else b'{"note": "half",')
        sent.open()
        await go.passed()
        text = f"{AFTER_FAULT} {CARD} "
        await call.chunk(provider.stream([text]) if stream else orjson.dumps(provider.chat(text))[1:])
        await call.end()

    running, fault = breakable
    sent, go = Gate(), Gate()
    marker = upstream.script(in_two_halves)
    client = running.client()
    body = orjson.dumps(chat(marker, stream=stream))
    try:
        fault.write_text(f"{phase} {how}")
        with running.recorded() as records, client.open() as conn:
            conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], body))
            if phase.startswith("response"):
                sent.wait()
                go.open()
            answer = conn.answer(timeout_s=2 if how == "cancelled" else 20)  # that one has no end to wait for
            received = bytes(conn.received)
    finally:
        fault.write_text("")
    assert_unseen(received, AFTER_FAULT, CARD)
    # gRPC ends no RPC for a cancellation that is not its own: such a stream stands still until Envoy's idle timer.
    assert answer.status >= 500 or answer.broken or (how == "cancelled" and answer.ended == "timeout")
    assert records[0]["outcome"] in ("aborted", "failed", "refused")
    if phase.startswith("request"):
        assert upstream.seen(marker) == []


def test_the_breakable_worker_serves_without_a_fault(breakable, upstream):
    running, _ = breakable
    assert say(running.client(), upstream).status == 200
