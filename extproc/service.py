"""The pump between Envoy's ext_proc streams and `Exchange`. Reads, asks the exchange, writes; decides nothing.

One exit (design: Fail-closed): a stream whose exchange is not finished ends with status INTERNAL. Ending with OK
would tell Envoy to let the rest of the exchange pass unguarded.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc
import grpc.aio
import structlog

from extproc import wire
from extproc.adapt import prepare
from extproc.core.admission import way_of
from extproc.core.commands import Ask, Copy, Keep, Put, Settle
from extproc.core.events import Answered, Event, Expired, Gone, RequestBody, RequestHead, ResponseChunk, Revoked
from extproc.core.exchange import Exchange
from extproc.core.heard import Heard
from extproc.core.journal import NOBODY
from extproc.core.questions import Failed, Hit, Missed, Question, Ticket, Told
from extproc.oracle import Oracle
from extproc.pace import Pace
from extproc.purse import Purse
from extproc.roster import Roster
from extproc.world import Book
from gateway import contract
from gateway.aio import spawn
from gateway.audit.record import Record
from gateway.budgets.model import Amounts, Reserved
from gateway.clock import Clock
from gateway.errors import Dialect, GatewayError, render, unexpected
from gateway.policy.model import Limits

_log = structlog.get_logger("extproc")

FILTER_KEY: Final = "x-ostiary-filter"  # gRPC initial metadata that Envoy's filter configuration sets
_EOF: Final[Any] = getattr(grpc.aio, "EOF")  # noqa: B009 - the stubs do not know it


class Meters(Protocol):
    """The metrics that the pump moves."""

    def exchange(self, record: Record) -> None:
        """Count one finished exchange."""
        ...

    def local_reply(self, details: str) -> None:
        """Count an answer that Envoy gave itself, before any exchange began."""
        ...

    def inflight(self, change: int) -> None:
        """An exchange began (+1) or ended (-1)."""
        ...


class Processor:
    """Serves `envoy.service.ext_proc.v3.ExternalProcessor/Process` for both filters."""

    def __init__(
        self,
        *,
        book: Book,
        offer: Callable[[Record], bool],
        clock: Clock,
        meters: Meters,
        limits: Limits,
        roster: Roster | None = None,
        oracle: Oracle | None = None,
    ) -> None:
        self._book = book
        self._offer = offer
        self._clock = clock
        self._meters = meters
        self._limits = limits
        self._roster = roster  # None: no registry, so nothing is revoked while it runs
        self._oracle = oracle or Oracle()
        self._pace = Pace()
        self.open_streams = 0
        self.open_exchanges = 0

    async def process(self, _requests: object, context: Any) -> None:
        """One stream of raw ProcessingRequest bytes. Reads by `context.read()`: cheaper than the iterator."""
        told = {key: value for key, value in context.invocation_metadata() or () if key == FILTER_KEY}
        self.open_streams += 1
        try:
            match told.get(FILTER_KEY):
                case "inspect":
                    await self._inspect(context)
                case "adapt":
                    await self._adapt(context)
                case _:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{FILTER_KEY} must be inspect or adapt")
        finally:
            self.open_streams -= 1

    def crowded(self, most: int) -> bool:
        """Whether `most` exchanges are open. Whoever asks is a call that has just been taken up."""
        self._pace.newcomer()
        return self.open_exchanges >= most

    async def _inspect(self, context: Any) -> None:
        self._meters.inflight(1)
        self.open_exchanges += 1
        self._pace.newcomer()
        exchange = Exchange(self._book, self._clock)
        errand = _Errand(exchange, self._oracle, self._clock)
        outbox = errand.outbox = _Outbox(context, self._put, errand)
        watch = errand.watch = _Watch(exchange, outbox, self._clock, self._limits)
        failure = "the stream ended before its exchange"
        try:
            while (raw := await context.read()) is not _EOF:
                watch.seen()
                event = wire.decode(raw)
                del raw  # a body of many megabytes should not be held twice while it is judged
                if self._roster is not None and type(event) is RequestHead:
                    watch.enter(self._roster, event)
                if isinstance(event, (ResponseChunk, RequestBody)):
                    turn = self._pace.take(len(event.body))
                    if turn is not None:
                        await turn
                sending = outbox.send(exchange.receive(event))
                del event  # while a slow reader is waited for, one copy of each piece is enough
                await sending
                watch.seen()  # a client that reads slowly is not a model that fell silent
        except wire.GarbageError as error:
            failure = "not a message that this filter expects"
            _log.error("ext_proc_garbage", reason=str(error)[:64])
        finally:
            # Runs on every way out, also CancelledError: the record never depends on how the RPC ended.
            watch.stop()
            errand.stop()
            self._meters.inflight(-1)
            self.open_exchanges -= 1
            finished = exchange.finished
            outbox.keep(exchange.receive(Gone()))
            errand.close()
        if not finished:
            await context.abort(grpc.StatusCode.INTERNAL, failure)

    async def _adapt(self, context: Any) -> None:
        """One attempt. Its request headers are all that this filter sees, unless its backend needs another body."""
        settled = False
        waiting: wire.Attempt | None = None  # its body comes next
        while (raw := await context.read()) is not _EOF:
            settled = False
            answer, waiting = self._attempt(raw, waiting)
            await context.write(answer)
            settled = waiting is None
        if not settled:
            await context.abort(grpc.StatusCode.INTERNAL, "the attempt was not prepared")

    def _attempt(self, raw: bytes, waiting: wire.Attempt | None) -> tuple[bytes, wire.Attempt | None]:
        """What Envoy is told, and the attempt whose body it is asked for."""
        try:
            attempt = wire.decode_attempt(raw) if waiting is None else waiting
            policy = self._book.policy(attempt.told.get(contract.POLICY, ""))
            way = way_of(attempt.backend, attempt.told, policy)
            if way is not None and waiting is None:
                return wire.ask_for_body(), attempt
            sent = None if way is None else way.request(wire.decode_attempt_body(raw))
            now_s = self._clock.now()
            change = prepare(attempt.headers, attempt.backend, attempt.told, policy, self._book, sent, now_s=now_s)
            return wire.encode_attempt(change, None if sent is None else sent.body), None
        except GatewayError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - nobody knows what it is, so it must refuse
            refusal = unexpected(error)
        _log.error("attempt_refused", code=refusal.kind.value, reason=refusal.cause)
        # `inspect` renders it anew in the caller's dialect; what counts here is the code.
        return wire.immediate(render(refusal, Dialect.OPENAI), refusal.kind.value), None

    def _put(self, record: Record) -> None:
        """Hand over the record. A full queue is not silent: authz refuses new exchanges until it drains."""
        if record.tenant:
            self._meters.exchange(record)
        else:
            self._meters.local_reply(record.reason)
        if not self._offer(record):
            _log.error("audit_record_refused", request_id=record.request_id)


class _Outbox:
    """One writer for each stream: two concurrent writes raise TOO_MANY_OPERATIONS (design: Cutting and holding)."""

    __slots__ = ("_context", "_errand", "_put", "_queue", "_writing")

    def __init__(self, context: Any, put: Callable[[Record], None], errand: "_Errand") -> None:
        self._context = context
        self._put = put
        self._errand = errand
        self._queue: deque[bytes] = deque()
        self._writing = False

    async def send(self, commands: tuple[Any, ...]) -> None:
        """Put records on file at once, write everything else in order. Whoever finds the pen taken leaves a note."""
        self._queue.extend([wire.encode(command) for command in self.keep(commands)])
        del commands  # their bodies are encoded, and the reader may be slow
        if self._writing:
            return
        self._writing = True
        try:
            while self._queue:
                await self._context.write(self._queue.popleft())
        finally:
            self._writing = False

    def keep(self, commands: tuple[Any, ...]) -> list[Any]:
        """Do what is not written to the stream: records, settlements, questions. The rest is returned, in order.

        Comes before all writing: whatever happens then, the exchange is on record, and paid.
        """
        written = []
        for command in commands:
            if isinstance(command, Put):
                self._put(command.record)
            elif isinstance(command, Settle):
                self._errand.settle(command.used)
            elif isinstance(command, Keep):
                self._errand.put_by(command.answer)
            elif isinstance(command, Copy):
                self._errand.copy(command)
            elif isinstance(command, Ask):
                written += self.keep(self._errand.run(command))
            else:
                written.append(command)
        return written

    async def post(self, commands: tuple[Any, ...]) -> None:
        """`send` for others than the stream's own coroutine: that stream may have ended meanwhile."""
        try:
            await self.send(commands)
        except grpc.aio.BaseError:
            # The stream ended by itself meanwhile. The record was put before the first byte was written.
            _log.info("exchange_ended_first")


class _Errand:
    """What one exchange wants of others: replies, its budget, a place in the cache. Ends with the stream."""

    __slots__ = ("_clock", "_exchange", "_oracle", "_purse", "_task", "_ticket", "outbox", "watch")

    def __init__(self, exchange: Exchange, oracle: Oracle, clock: Clock) -> None:
        self._exchange = exchange
        self._oracle = oracle
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._purse: Purse | None = None
        self._ticket: Ticket | None = None
        self.outbox: _Outbox
        self.watch: _Watch

    def run(self, ask: Ask) -> tuple[Any, ...]:
        """Ask everybody at once; what the exchange wants next, if no reply had to be waited for."""
        told = [self._at_once(question) for question in ask.questions]
        if None in told:
            self._task = spawn(self._run(ask, told), name="exchange_asks")
            return ()
        for each in told:
            self._note(each)
        return self._exchange.receive(Answered(tuple([each for each in told if each is not None])))

    def _at_once(self, question: Question) -> Told | None:
        try:
            return self._oracle.at_once(question)
        except Exception as bug:  # noqa: BLE001 - silence, which the exchange knows to judge
            return _broken(bug)

    def stop(self) -> None:
        """Nobody waits for replies any more."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """The exchange is over. One that never heard of its reservation has used nothing of it."""
        self.settle(None)
        self.put_by(None)

    def settle(self, used: Amounts | None) -> None:
        """Charge what was set aside. The first call counts."""
        if self._purse is not None:
            self._purse.settle(used)

    def put_by(self, answer: Heard | None) -> None:
        """Keep the answer where the exchange had a place for one, or give the place back. The first call counts."""
        ticket, self._ticket = self._ticket, None
        if ticket is None or self._oracle.shelf is None:
            return
        if answer is None:
            self._oracle.shelf.drop(ticket)
        else:
            self._oracle.shelf.keep(ticket, answer)

    def copy(self, copy: Copy) -> None:
        """Hand a copy over. It outlives the exchange: a client that leaves does not end it."""
        if self._oracle.mirrors is not None:
            self._oracle.mirrors.send(copy)

    async def _run(self, ask: Ask, told: list[Told | None]) -> None:
        replies = await asyncio.gather(*[self._one(*pair) for pair in zip(ask.questions, told, strict=True)])
        self.watch.seen()  # others took their time, not the model
        await self.outbox.post(self._exchange.receive(Answered(tuple(replies))))

    async def _one(self, question: Question, told: Told | None) -> Told:
        if told is not None:
            return told
        try:
            told = await self._oracle.ask(question)
        except Exception as bug:  # noqa: BLE001 - an exchange without a reply would wait for Envoy's own timers
            told = _broken(bug)
        self._note(told)
        return told

    def _note(self, told: Told | None) -> None:
        """What is set aside is held from here on, also if the exchange does not live to hear of it."""
        if isinstance(told, Reserved) and self._oracle.budgets is not None:
            self._purse = Purse(self._oracle.budgets, told.reservation, self._exchange.so_far, self._clock)
        elif isinstance(told, Hit | Missed):
            self._ticket = told.ticket


def _broken(bug: Exception) -> Failed:
    """An oracle that broke said nothing. Its words may hold a prompt."""
    _log.error("oracle_failed", error=type(bug).__name__)
    return Failed(type(bug).__name__)


class _Watch:
    """What happens to one exchange from outside: its deadlines, by one timer, and the revocation of its caller.

    Nobody else watches: FULL_DUPLEX streams have no message timeout in Envoy.
    """

    __slots__ = (
        "_clock", "_exchange", "_handle", "_last_s", "_limits", "_loop", "_outbox", "_roster", "_start_s", "caller",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, outbox: _Outbox, clock: Clock, limits: Limits) -> None:
        self._exchange = exchange
        self._outbox = outbox
        self._clock = clock
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._start_s = self._last_s = clock.monotonic()
        self._roster: Roster | None = None
        self.caller = NOBODY
        self._handle = self._loop.call_later(min(limits.idle_s, limits.exchange_s), self._look)

    def seen(self) -> None:
        """Something arrived."""
        self._last_s = self._clock.monotonic()

    def enter(self, roster: Roster, head: RequestHead) -> None:
        """The caller is known. One who was revoked since authz asked is refused with this very event."""
        if head.caller is None or self._roster is not None:
            return
        self.caller, self._roster = head.caller, roster
        error = roster.enter(self)
        if error is not None:
            self._exchange.receive(Revoked(error))  # before the request's head nothing is answered to it

    def revoke(self, error: GatewayError) -> None:
        """See `extproc.roster.Guest`."""
        spawn(self._outbox.post(self._exchange.receive(Revoked(error))), name="exchange_revoked")

    def stop(self) -> None:
        """Nothing more from outside."""
        self._handle.cancel()
        if self._roster is not None:
            self._roster.leave(self)

    def _look(self) -> None:
        now_s = self._clock.monotonic()
        left_s = min(self._last_s + self._limits.idle_s, self._start_s + self._limits.exchange_s) - now_s
        if left_s > 0:
            self._handle = self._loop.call_later(left_s, self._look)
            return
        total = now_s >= self._start_s + self._limits.exchange_s
        event: Event = Expired("exchange" if total else "idle")
        spawn(self._outbox.post(self._exchange.receive(event)), name="exchange_expired")
        if not self._exchange.finished:
            # Waiting for an upstream's first byte: Envoy's own timers rule there. Look again in a while.
            self._handle = self._loop.call_later(self._limits.idle_s, self._look)
