"""Copies on their way: what is sent, what is recorded, and every bound; nobody is charged and nothing is raised."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from extproc.core.commands import Copy
from extproc.mirror import ANSWER_BYTES, UNDER_WAY, Mirrors
from gateway import contract
from gateway.audit.record import MIRROR
from gateway.budgets.model import Amounts, Exceeded, Reservation, Reserved, Verdict
from gateway.egress import Answer, EgressError
from gateway.policy.copies import Mirror
from gateway.policy.model import Backend, Credential, Model
from worlds import CALLER, FakeClock, FakeWorld, policy

ALWAYS = Mirror(backend="copies", percent=100, per_minute=6000)
ANSWERED = json.dumps({"usage": {"prompt_tokens": 7, "completion_tokens": 5}}).encode()


def held(**backend):
    base = policy()
    credential = Credential(file="c.key", header="x-copies-key", prefix="")
    copies = Backend(
        name="copies", host="h.example", port=1, tls=True, base_path="/c", credential=credential, **backend
    )
    return replace(base, backends={**base.backends, "copies": copies})


class FakeWire:
    """Answers as it is told, and keeps what it was sent."""

    def __init__(self, *pieces, status=200, kind="application/json", fails=None, waits=None):
        self.pieces, self.status, self.kind, self.fails, self.waits = pieces or (ANSWERED,), status, kind, fails, waits
        self.sent, self.closed, self.read = [], False, 0

    @asynccontextmanager
    async def post(self, path, headers, content):
        self.sent.append((path, headers, content))
        if self.waits is not None:
            await self.waits.wait()
        if self.fails is not None:
            raise self.fails
        yield Answer(self.status, self.kind, self._pieces())

    async def _pieces(self):
        for piece in self.pieces:
            self.read += len(piece)
            yield piece

    async def close(self):
        self.closed = True


class FakeLedger:
    """One limit, of which so much is left."""

    def __init__(self, left=10_000):
        self.left, self.asks, self.settled, self.released = left, [], [], 0

    def take(self, ask):
        self.asks.append(ask)

    async def reserve(self, ask):
        if ask.amounts.tokens_in + ask.amounts.tokens_out > self.left:
            return Exceeded(Verdict(allowed=False))
        return Reserved(Reservation("r", ask.subject.tenant, (), 1e9), Verdict(allowed=True))

    def settle(self, reservation, used):
        self.settled.append(used)

    def release(self, reservation):
        self.released += 1


class Told:
    """Metrics."""

    def __init__(self):
        self.copies, self.refusals = [], []

    def copy(self, record, tokens):
        self.copies.append((record.outcome, tokens))

    def not_copied(self, backend, model, reason):
        self.refusals.append((backend, model, reason))


class Case:
    def __init__(self, wire=None, *, world=None, ledger=None, recording=True, workers=1):
        self.wire, self.ledger, self.told, self.kept = wire or FakeWire(), ledger or FakeLedger(), Told(), []
        self.world = world or FakeWorld(held(), secret="mirror-secret")
        self.mirrors = Mirrors(
            self.wire, self.world, self.ledger, lambda record: self.kept.append(record) or True, lambda: recording,
            self.told, FakeClock(), workers=workers,
        )  # fmt: skip

    async def settled(self):
        async with asyncio.timeout(20):
            while self.mirrors._tasks:
                await asyncio.wait(self.mirrors._tasks)

    async def send(self, mirror=ALWAYS, **fields):
        self.mirrors.send(copy(mirror, **fields))
        await self.settled()


def copy(mirror=ALWAYS, **fields):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "secret words"}]}
    usual = {
        "caller": CALLER,
        "model": "gpt-4o-mini",
        "path": "/v1/chat/completions",
        "body": json.dumps(body).encode(),
    }
    return Copy(mirror=mirror, tokens_in=20, tokens_out=500, **{**usual, **fields})


async def test_a_copy_has_the_mirrors_own_credential_and_is_on_record_without_a_charge():
    case = Case()
    await case.send()
    ((path, headers, body),) = case.wire.sent
    assert (path, body) == ("/c/v1/chat/completions", copy().body)
    assert headers == {
        "accept": "*/*", "accept-encoding": "identity", "user-agent": "ostiary", "content-type": "application/json",
        "x-copies-key": "mirror-secret", contract.ROUTE_HEADER: "om-copies",
    }  # fmt: skip
    (record,) = case.kept
    assert (record.writer, record.request_id, record.tenant) == (MIRROR, "req-1.mirror", "acme")
    assert (record.backend, record.status, record.outcome, record.usage) == ("copies", 200, "completed", None)
    assert record.details == {
        "mirror_of": "req-1", "first_byte_ms": "0", "input_tokens": "7", "output_tokens": "5",
    }  # fmt: skip
    assert case.told.copies == [("completed", (7, 5))]
    assert b"secret words" not in record.line()
    assert case.ledger.asks == []  # a mirror without a budget asks nobody


async def test_another_dialect_is_translated_and_called_by_its_own_name():
    base = held(dialect="anthropic")
    model = Model(name="gpt-4o-mini", backend="demo", upstream={"copies": "next"})
    case = Case(world=FakeWorld(replace(base, models={**base.models, model.name: model}), secret="s"))
    await case.send()
    ((path, headers, body),) = case.wire.sent
    assert (path, headers["anthropic-version"], json.loads(body)["model"]) == ("/c/v1/messages", "2023-06-01", "next")


async def test_what_the_mirror_has_no_word_for_is_not_sent_where_policy_refuses_losses():
    base = held(dialect="anthropic")
    model = Model(name="gpt-4o-mini", backend="demo", on_loss="refuse")
    case = Case(world=FakeWorld(replace(base, models={**base.models, model.name: model})))
    body = json.dumps({"model": model.name, "messages": [{"role": "user", "content": "x"}], "logit_bias": {"1": 1}})
    await case.send(body=body.encode())
    assert (case.wire.sent, case.told.refusals) == ([], [("copies", "gpt-4o-mini", "untranslatable")])


@pytest.mark.parametrize(
    ("wire", "outcome", "reason", "status"),
    [
        (FakeWire(fails=EgressError("ReadError")), "failed", "ReadError", 0),
        (FakeWire(fails=RuntimeError("secret words")), "failed", "RuntimeError", 0),
        (FakeWire(b"no", status=503), "failed", "", 503),
        (FakeWire(b"<html>", kind="text/html"), "completed", "", 200),
    ],
    ids=["broken", "defect", "503", "nonsense"],
)
async def test_every_answer_and_none_is_a_record(wire, outcome, reason, status):
    case = Case(wire)
    await case.send()
    (record,) = case.kept
    assert (record.outcome, record.reason, record.status) == (outcome, reason, status)


async def test_an_endless_answer_is_hung_up_on():
    case = Case(FakeWire(*[b"x" * 65_536] * 10_000, kind="text/event-stream"))
    await case.send()
    assert case.kept[0].outcome == "cut"
    assert ANSWER_BYTES < case.wire.read <= ANSWER_BYTES + 65_536


async def test_one_that_never_answers_is_given_up():
    case = Case(FakeWire(waits=asyncio.Event()))
    await case.send(replace(ALWAYS, timeout_s=0))
    assert (case.kept[0].outcome, case.kept[0].reason) == ("failed", "timeout")


async def test_so_many_are_under_way_and_no_more():
    gate = asyncio.Event()
    case = Case(FakeWire(waits=gate))
    for _ in range(UNDER_WAY + 3):
        case.mirrors.send(copy())
    assert case.told.refusals == [("copies", "gpt-4o-mini", "busy")] * 3
    gate.set()
    await case.settled()
    await case.send()
    assert len(case.wire.sent) == UNDER_WAY + 1


async def test_so_many_in_a_minute_and_no_more():
    case = Case(workers=2)
    for _ in range(6):
        await case.send(replace(ALWAYS, per_minute=4))
    assert len(case.wire.sent) == 2  # this worker's share
    assert {reason for *_, reason in case.told.refusals} == {"rate"}


async def test_its_own_budget_is_asked_and_charged_with_what_it_told():
    limited = replace(ALWAYS, tokens_per_day=10_000)
    case = Case()
    await case.send(limited)
    (ask,) = case.ledger.asks
    assert (ask.subject.tenant, ask.amounts) == (":mirror:gpt-4o-mini", Amounts(20, 500))
    assert case.ledger.settled == [Amounts(7, 5)]
    quiet = Case(FakeWire(b"x" * 400, kind="text/html"))
    await quiet.send(limited)
    assert quiet.ledger.settled == [Amounts(20, 100)]  # an estimate, where it tells nothing
    refused = Case(FakeWire(b"no", status=429))
    await refused.send(limited)
    assert (refused.ledger.settled, refused.ledger.released) == ([], 1)
    spent = Case(ledger=FakeLedger(left=100))
    await spent.send(limited)
    assert (spent.wire.sent, spent.told.refusals) == ([], [("copies", "gpt-4o-mini", "budget")])


async def test_without_a_credential_a_record_or_a_policy_nothing_leaves():
    for case, reason in (
        (Case(world=FakeWorld(held(), secret=None)), "credential"),
        (Case(recording=False), "unrecorded"),
        (Case(world=FakeWorld(replace(held(), version="p-next"))), "credential"),
    ):
        await case.send()
        assert (case.wire.sent, case.kept, case.told.refusals[0][2]) == ([], [], reason)


async def test_what_cannot_be_read_is_not_sent_and_told_without_a_word_of_it():
    base = held()
    renamed = Model(name="gpt-4o-mini", backend="demo", upstream={"copies": "next"})
    case = Case(world=FakeWorld(replace(base, models={**base.models, renamed.name: renamed})))
    with capture_logs() as logs:
        await case.send(body=b'{"secret words')
    assert (case.wire.sent, case.told.refusals[0][2]) == ([], "untranslatable")
    assert "secret" not in repr(logs)


async def test_a_credential_that_is_refused_is_told():
    case = Case(FakeWire(b"{}", status=401))
    await case.send()
    assert case.world.told_refused == ["copies"]


async def test_copies_that_the_end_of_the_worker_meets_are_on_record():
    case = Case(FakeWire(waits=asyncio.Event()))
    case.mirrors.send(copy())
    while not case.wire.sent:
        await asyncio.sleep(0)
    await case.mirrors.close()
    assert ([record.outcome for record in case.kept], case.wire.closed) == (["aborted"], True)
