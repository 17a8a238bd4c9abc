"""The pump: one exit, one writer, one record, whatever the RPC does."""

import asyncio
from dataclasses import replace

import grpc
import pytest
from structlog.testing import capture_logs

from clocks import ManualClock
from extproc.core.commands import SendBody
from extproc.core.questions import Advice, Advised
from extproc.oracle import Oracle
from extproc.roster import Roster
from extproc.service import Processor, _Outbox
from gateway.policy.model import Action, Adviser, Limits, RuleSetting
from gateway.revocation import record
from gateway.revocation.book import RevocationBook
from gateway.revocation.record import Revocation
from messages import body_message, head_message, reply_head, reply_message
from protos import ext_proc_pb2 as pb
from pumps import Aborted, Counted, FakeContext, processor
from worlds import FakeClock, FakeWorld, policy, settings

CHAT = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"stream":true}'
EVENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"some words "}}]}\n\n'
PHASES = [
    [],
    [head_message()],
    [head_message(), body_message(CHAT)],
    [head_message(), body_message(CHAT), reply_head()],
    [head_message(), body_message(CHAT), reply_head(), reply_message(EVENT)],
]


@pytest.mark.parametrize(
    "messages", PHASES, ids=["nothing", "request head", "request body", "answer head", "mid-answer"]
)
async def test_a_stream_that_ends_before_its_exchange_never_ends_with_ok(messages):
    made, kept = processor()
    context = FakeContext(messages)
    with pytest.raises(Aborted):
        await made.process(None, context)
    assert context.aborted is grpc.StatusCode.INTERNAL
    assert [record.outcome for record in kept] == ["aborted"]


@pytest.mark.parametrize("messages", PHASES)
async def test_cancellation_is_never_swallowed_and_the_record_is_kept(messages):
    made, kept = processor()
    with pytest.raises(asyncio.CancelledError):
        await made.process(None, FakeContext(messages, then=asyncio.CancelledError()))
    assert len(kept) == 1
    assert (made.open_streams, made.open_exchanges) == (0, 0)


class NoTurn:
    """A pace at which nobody's turn comes."""

    def __init__(self):
        self.asked = asyncio.Event()

    def newcomer(self):
        pass

    def take(self, size_bytes):
        self.asked.set()
        return asyncio.get_running_loop().create_future()


async def test_a_stream_that_is_cancelled_while_it_waits_for_its_turn_never_ends_with_ok():
    made, kept = processor()
    made._pace = turns = NoTurn()
    running = asyncio.ensure_future(made.process(None, FakeContext(PHASES[-1])))
    await asyncio.wait_for(turns.asked.wait(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [record.outcome for record in kept] == ["aborted"]
    assert made.open_exchanges == 0


async def test_many_streams_at_once_are_all_judged_whole():
    made, kept = processor()
    answer = [reply_message(EVENT * 400), reply_message(b"data: [DONE]\n\n", end=True)]
    contexts = [FakeContext([*PHASES[3], *answer]) for _ in range(50)]
    await asyncio.gather(*[made.process(None, context) for context in contexts])
    assert [context.aborted for context in contexts] == [None] * 50
    assert all(context.last.end_of_stream for context in contexts)
    assert [record.outcome for record in kept] == ["completed"] * 50


async def test_a_finished_exchange_may_end_with_ok():
    made, kept = processor()
    context = FakeContext([*PHASES[-1], reply_message(b"data: [DONE]\n\n", end=True)])
    await made.process(None, context)
    assert context.aborted is None
    assert context.written[-1].response_body.response.body_mutation.streamed_response.end_of_stream
    assert [record.outcome for record in kept] == ["completed"]


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff", b"", pb.ProcessingRequest(observability_mode=True).SerializeToString()]
)
@pytest.mark.parametrize("messages", PHASES[:3])
async def test_garbage_ends_the_stream_with_an_error(messages, garbage):
    made, kept = processor()
    context = FakeContext([*messages, garbage])
    with pytest.raises(Aborted):
        await made.process(None, context)
    assert context.aborted is grpc.StatusCode.INTERNAL
    assert len(kept) == 1


@pytest.mark.parametrize("role", ["", "other"])
async def test_a_stream_of_no_known_filter_is_refused(role):
    made, kept = processor()
    context = FakeContext(PHASES[1], role=role)
    with pytest.raises(Aborted):
        await made.process(None, context)
    assert context.aborted is grpc.StatusCode.INVALID_ARGUMENT
    assert kept == []


async def test_a_silent_upstream_is_cut_by_the_pumps_own_deadline():
    clock, kept = FakeClock(), []
    made = Processor(
        book=FakeWorld(policy()),
        offer=lambda record: kept.append(record) or True,
        clock=clock,
        meters=Counted(),
        limits=Limits(idle_s=0.005, exchange_s=100),  # the timer looks every 5 ms; the fake clock decides
    )
    context = FakeContext(PHASES[-1], then=None)
    task = asyncio.ensure_future(made.process(None, context))
    async with asyncio.timeout(10):
        while not context.silent.is_set():
            await asyncio.sleep(0)
        clock.at += 1
        while not (kept and context.last.end_of_stream):
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"backend_timeout" in context.last.body
    assert [record.outcome for record in kept] == ["cut"]


class Registrar:
    """A worker's book and roster, and what its replica tells them."""

    def __init__(self):
        self.book = RevocationBook(ManualClock(), lambda: 0.0)
        self.roster = Roster(self.book.revoked)
        self.kept = []
        self.processor = Processor(
            book=FakeWorld(),
            offer=lambda record: self.kept.append(record) or True,
            clock=FakeClock(),
            meters=Counted(),
            limits=Limits(),
            roster=self.roster,
        )

    def revoke(self, mark="key:k1"):
        value = record.write(Revocation(mark=mark, reason="leaked", actor="ada", at=1))
        self.book.apply(mark, value)
        self.roster.apply(mark, value)


async def test_a_running_stream_of_a_revoked_caller_is_cut_by_the_pump():
    house = Registrar()
    context = FakeContext(PHASES[-1], then=None)
    task = asyncio.ensure_future(house.processor.process(None, context))
    async with asyncio.timeout(10):
        await context.silent.wait()
        house.revoke()
        while not (house.kept and context.last.end_of_stream):
            await asyncio.sleep(0)
    assert len(house.roster) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(house.roster) == 0
    assert b"credential_revoked" in context.last.body
    assert [(record.outcome, record.reason) for record in house.kept] == [("cut", "key:k1: leaked")]


async def test_a_caller_that_was_revoked_between_authz_and_inspect_is_refused_with_its_first_message():
    house = Registrar()
    house.revoke()
    context = FakeContext(PHASES[1])
    await house.processor.process(None, context)
    assert [message.immediate_response.status.code for message in context.written] == [401]
    assert [record.code for record in house.kept] == ["credential_revoked"]
    assert len(house.roster) == 0


@pytest.mark.parametrize("messages", PHASES)
async def test_the_roster_forgets_an_exchange_however_it_ends(messages):
    house = Registrar()
    with pytest.raises(Aborted):
        await house.processor.process(None, FakeContext(messages))
    assert len(house.roster) == 0


async def test_a_stream_that_ended_before_it_could_be_cut_is_no_crash():
    class Broken(FakeContext):
        async def write(self, raw):
            if self.silent.is_set():
                raise grpc.aio.UsageError("RPC already finished.")
            await super().write(raw)

    house = Registrar()
    context = Broken(PHASES[-1], then=None)
    task = asyncio.ensure_future(house.processor.process(None, context))
    with capture_logs() as logged:
        async with asyncio.timeout(10):
            await context.silent.wait()
            house.revoke()
            while not logged:
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [line["event"] for line in logged] == ["exchange_ended_first"]
    assert [record.outcome for record in house.kept] == ["cut"]


async def test_concurrent_senders_share_one_writer_and_keep_order():
    context = FakeContext([])
    outbox = _Outbox(context, lambda record: None, lambda ask: None)
    await asyncio.gather(*(outbox.send((SendBody(b"%d" % n, end_of_stream=False),)) for n in range(20)))
    bodies = [w.response_body.response.body_mutation.streamed_response.body for w in context.written]
    assert bodies == [b"%d" % n for n in range(20)]


async def test_a_full_audit_queue_does_not_break_the_exchange_that_is_running():
    made, _ = processor(offer=lambda record: False)
    context = FakeContext([*PHASES[-1], reply_message(b"data: [DONE]\n\n", end=True)])
    await made.process(None, context)
    assert context.aborted is None


async def test_the_gauge_of_open_exchanges_returns_to_zero_and_local_replies_are_counted_apart():
    meters = Counted()
    made = Processor(book=FakeWorld(), offer=lambda record: True, clock=FakeClock(), meters=meters, limits=Limits())
    local = reply_head(kind="application/json", status="429", details="request_rate_limited")
    await made.process(None, FakeContext([local, reply_message(b"{}", end=True)]))
    await made.process(None, FakeContext([*PHASES[-1], reply_message(b"data: [DONE]\n\n", end=True)]))
    assert meters.open == 0
    assert meters.replies == ["request_rate_limited"]
    assert len(meters.records) == 1


class Slow:
    """Replies when it is let, and counts who gave up on it."""

    def __init__(self, reply):
        self.reply, self.let, self.asked, self.left = reply, asyncio.Event(), [], 0

    async def ask(self, question):
        self.asked.append(question)
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


def asking(reply, action=Action.BLOCK):
    rule = RuleSetting(rule="advice.outside", action=action)
    held = replace(
        policy(request={**settings(), rule.rule: rule}),
        advisers={"outside": Adviser(name="outside", url="https://guard.example/")},
    )
    kept, oracle = [], Slow(reply)
    made = Processor(
        book=FakeWorld(held),
        offer=lambda record: kept.append(record) or True,
        clock=FakeClock(),
        meters=Counted(),
        limits=Limits(),
        oracle=Oracle(advisers=oracle),
    )
    return made, kept, oracle


async def run(made, context):
    task = asyncio.create_task(made.process(None, context))
    await context.silent.wait()
    return task


async def test_a_request_waits_for_advice_and_then_goes_on():
    made, kept, oracle = asking(Advised(()))
    context = FakeContext([head_message(), body_message(CHAT)], then=None)
    task = await run(made, context)
    assert len(oracle.asked) == 1
    assert [each.WhichOneof("response") for each in context.written] == ["request_headers"]
    oracle.let.set()
    while len(context.written) < 2:
        await asyncio.sleep(0)
    assert context.written[1].WhichOneof("response") == "request_body"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.outcome for record in kept] == ["aborted"]


async def test_advice_that_refuses_is_the_answer():
    made, _kept, oracle = asking(Advised((Advice("a.b", 0, 0.9),)))
    oracle.let.set()
    context = FakeContext([head_message(), body_message(CHAT)], then=None)
    task = await run(made, context)
    while len(context.written) < 2:
        await asyncio.sleep(0)
    assert context.written[-1].immediate_response.status.code == 403
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_oracle_that_breaks_is_silence_and_silence_refuses():
    made, kept, oracle = asking(RuntimeError("prompt text"))
    oracle.let.set()
    context = FakeContext([head_message(), body_message(CHAT)], then=None)
    task = await run(made, context)
    while len(context.written) < 2:
        await asyncio.sleep(0)
    assert context.written[-1].immediate_response.status.code == 503
    assert kept[0].reason == "outside: RuntimeError"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_oracle_that_breaks_at_once_is_silence_too():
    made, kept, oracle = asking(Advised(()))
    made._oracle.at_once = lambda question: 1 / 0
    context = FakeContext([head_message(), body_message(CHAT)], then=None)
    task = await run(made, context)
    assert context.written[-1].immediate_response.status.code == 503
    assert kept[0].reason == "outside: ZeroDivisionError"
    assert oracle.asked == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_questions_end_with_their_stream():
    made, kept, oracle = asking(Advised(()))
    context = FakeContext([head_message(), body_message(CHAT)])
    with pytest.raises(Aborted):
        await made.process(None, context)
    for _ in range(3):
        await asyncio.sleep(0)
    assert oracle.left == len(oracle.asked)
    assert [record.outcome for record in kept] == ["aborted"]
