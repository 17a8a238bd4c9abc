"""One HTTP exchange as ext_proc shows it: events in, commands out. Never waits, never logs; made for each stream.

Whatever goes wrong in here refuses the exchange: `receive` gives the refusal that is still possible (a JSON answer
before the first byte, an error event after it) and, once in the life of an exchange, the record that says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from secrets import token_bytes
from typing import Any, Final

from extproc.core import admission, advising, crossing, endings, heads, metering, mirroring, names, route, translated
from extproc.core.aliases import Aliases
from extproc.core.caching import Asked, Caching, caching
from extproc.core.commands import (
    Answer,
    Ask,
    Command,
    HeaderChange,
    Keep,
    PassRequestHead,
    PassResponseHead,
    PassResponseTrailers,
    Put,
    SendBody,
    Settle,
)
from extproc.core.events import (
    Answered,
    Event,
    Expired,
    Gone,
    Headers,
    RequestBody,
    RequestHead,
    RequestTrailers,
    ResponseChunk,
    ResponseHead,
    ResponseTrailers,
    Revoked,
)
from extproc.core.form import UNCHECKED, Form
from extproc.core.journal import Journal
from extproc.core.leaving import Way, leave
from extproc.core.listening import Terms, terms
from extproc.core.listing import asks_for_models, models_page
from extproc.core.lookups import World
from extproc.core.questions import Advise, Entry, Question, Reserve, Told
from extproc.core.reply import Reply, answer_blocked
from extproc.core.restore import Restoring
from extproc.core.states import NEXT, State
from extproc.core.timing import Timing, timing
from extproc.guardrails.assessor import Assessor, Position
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.door import Door, Opened, Seen
from extproc.providers.schema import Schema
from extproc.providers.spoken import says_json
from extproc.translate.dialect import Origin
from gateway import contract
from gateway.audit import record as audit
from gateway.budgets import told
from gateway.budgets.model import Amounts, Usage
from gateway.budgets.price import cost, dearest_of, price_of
from gateway.clock import Clock
from gateway.errors import Dialect, GatewayError, Kind, Rendered, render
from gateway.policy.guard import LENGTH_ID
from gateway.policy.model import Policy, Tenant
from gateway.policy.walk import Walk


@dataclass(slots=True)
class _Draft:
    """A judged request that has not been sent on yet."""

    raw: bytes = field(repr=False)  # as the client wrote it, but for the names of users and caches
    renamed: bool  # whether there were any
    tree: dict[str, Any] = field(repr=False)
    judged: admission.Judged
    ready: tuple[str, ...]  # backends of its model that have their credential
    walk: Walk | None = None  # None: the first of `allowed` alone
    allowed: tuple[str, ...] = ()  # backends that may see it; the first of them is asked first


#: Goes on with the replies to what was asked.
_Then = Callable[[tuple[Told, ...]], tuple[Command, ...]]


class Exchange:
    """The state machine. Order of the sections below is the order of events."""

    def __init__(self, world: World, clock: Clock, entropy: Callable[[int], bytes] = token_bytes) -> None:
        self.state = State.IDLE
        self._world = world
        self._entropy = entropy
        self._journal = Journal(clock)
        self._dialect = Dialect.OPENAI
        self._tally_in, self._tally_out = Tally(), Tally()
        self._guard_in: Guard | None = None
        self._guard_out: Guard | None = None
        self._lost: dict[str, str] = {}  # what has no word in the dialects of backends, as clients are told
        self._aliases: Aliases | None = None  # what was tokenised; gone with the exchange's end
        self._head: PassResponseHead | None = None  # held back until the first byte behind it was judged
        self._recorded = False
        self._unknown_fields = False
        self._clock = clock
        self._meter: metering.Meter | None = None  # set while a reservation is held
        self._sent = False  # whether the request left for a backend
        self._revoked: GatewayError | None = None  # why the next event is refused
        self._then: _Then | None = None  # what goes on when the replies are there
        self._form: Form | None = None  # what the answer is compared with
        self._timing: Timing | None = None  # set where its backend's time counts
        self._caching: Caching | None = None  # set where the answer may come from the cache, or be kept in it
        # Set on the way through the states; a state is entered only after what it needs.
        self._policy: Policy
        self._tenant: Tenant
        self._door: Door
        self._schema: Schema
        self._names: Headers
        self._opened: Opened
        self._draft: _Draft
        self._terms: Terms  # of the answer
        self._reply: Reply

    @property
    def finished(self) -> bool:
        """Whether ending the RPC now would let nothing unguarded pass."""
        return self.state is State.DONE

    def receive(self, event: Event) -> tuple[Command, ...]:
        """Take one event and say what to do. A failure inside is a refusal, never an exception."""
        if self.state is State.DONE:
            return ()
        step = (self.state, type(event))
        try:
            if step not in NEXT:
                raise endings.illegal(step)
            commands = _HANDLERS[type(event)](self, event)
            if self.state not in NEXT[step]:
                raise endings.illegal((self.state, type(event)))
        except GatewayError as error:
            commands = self._refuse(error)
        except Exception as error:  # noqa: BLE001 - nobody knows what it is, so it must refuse
            commands = self._refuse(endings.unforeseen(error))
        return commands

    # --- request ------------------------------------------------------------------------------------------

    def _request_head(self, event: RequestHead) -> tuple[Command, ...]:
        headers = heads.fields(event.headers)
        journal = self._journal
        journal.method, journal.path = headers.get(":method", ""), headers.get(":path", "").partition("?")[0]
        self._dialect = Dialect.of_path(journal.path)
        caller = event.caller
        if caller is None:
            raise GatewayError(Kind.INTERNAL, "The request was not authorised.", cause="no metadata from authz")
        journal.caller = caller
        self._refuse_revoked()
        policy = self._world.policy(caller.policy)
        tenant = self._world.tenant(policy, caller.tenant, caller.request_id) if policy is not None else None
        if policy is None or tenant is None:
            raise GatewayError(
                Kind.POLICY_UNAVAILABLE,
                "The gateway is changing its policy. Try again in a moment.",
                cause=f"policy {caller.policy} with tenant {caller.tenant} is not held here",
            )
        self._policy, self._tenant, self._names = policy, tenant, event.headers
        if asks_for_models(journal.path):
            page = models_page(headers.get(":path", ""), policy, tenant, caller.obligations)
            return self._answer(page, "models", "completed")
        self._door = admission.door_of(headers.get(":path", ""))
        self._schema = admission.check_head(headers, self._door, tenant, empty=event.end_of_stream)
        self.state = State.BODY
        return (PassRequestHead(),)

    def _request_body(self, event: RequestBody) -> tuple[Command, ...]:
        self._refuse_revoked()
        if not event.end_of_stream:
            raise endings.trailers()
        journal, policy = self._journal, self._policy
        journal.request_bytes = len(event.body)
        tree = admission.parse(event.body, policy)
        opened = self._opened = self._door.open(tree)
        self._unknown_fields = not admission.conforms(tree, self._door, self._schema, policy, self._tenant)
        raw = event.body
        if self._tenant.identities is None:
            raw = names.apart(raw, tree, self._door.dialect, partial(self._world.pseudonym, self._tenant))
        obligations = journal.caller.obligations
        model = admission.choose(opened.model, policy, self._tenant, obligations)
        journal.model, journal.streamed = model.name, opened.stream
        speaking = admission.speaking(self._door, model, policy)
        ready = tuple([name for name in speaking if self._world.ready(policy, name)])
        if not ready:
            raise route.unavailable(f"no credential for backend {', '.join(model.backends)}")
        journal.backend = ready[0]
        self._guard_in = self._world.guard(policy, self._tenant, "request", obligations.guards)
        if self._guard_in.tokenises:
            self._aliases = Aliases(self._entropy, escapes=says_json(tree))
            self._guard_in = self._guard_in.tokenising(self._aliases)
        assessor = self._world.assessor(policy, self._tenant, obligations.guards)
        advisers = self._world.advisers(policy, self._guard_in) if policy.advisers else ()
        doubtful: list[Position] | None = [] if any(each.engine == "injection" for each in advisers) else None
        judged = admission.judge(
            tree, self._door, self._guard_in, assessor, self._tally_in, self._tenant, obligations, doubtful
        )
        self._draft = _Draft(raw, raw is not event.body, tree, judged, ready)
        asked = advising.questions(advisers, tree, self._door, doubtful or (), journal.caller) if advisers else ()
        if not asked:
            return self._reserve()
        return self._ask(asked, partial(self._take_advice, asked, self._guard_in, assessor))

    def _take_advice(
        self, asked: tuple[Advise, ...], guard: Guard, assessor: Assessor, told: tuple[Told, ...]
    ) -> tuple[Command, ...]:
        draft = self._draft
        taken = advising.take(asked, told, draft.tree, guard, assessor, self._tally_in)
        draft.judged.changed |= taken.changed
        self._journal.unadvised = taken.missing
        return self._reserve()

    def _reserve(self) -> tuple[Command, ...]:
        """Ask the ledger, where any limit applies: the last question, so that nothing is set aside for a refusal."""
        draft, journal, policy = self._draft, self._journal, self._policy
        at_s = self._clock.now()
        model = policy.models[journal.model]
        ready = draft.ready
        if model.pool is not None:
            ready, self._lost = crossing.able(self._door, draft.tree, model, policy, ready)
        known, streamed = self._world.latencies, self._opened.stream
        asking = route.Asking(model, ready, self._tenant, journal.caller, policy.prices, at_s, known, streamed)
        rules = self._tally_in.counts
        draft.allowed, draft.walk, journal.select = route.choose(asking, draft.tree, self._door, draft.judged, rules)
        journal.backend = draft.allowed[0]
        if model.pool is not None:
            journal.first = journal.backend
        journal.price = price_of(policy.prices, journal.model, journal.backend, at_s)
        journal.currency = policy.prices.currency
        budget = self._tenant.budgets
        if not budget.limits:
            return self._ask_for(None)
        subject = metering.subject_of(journal.caller, model.name, model.group)
        capped = None if draft.judged.capped is None else draft.judged.capped[1]
        billing = dearest_of(policy.prices, model.name, draft.allowed, at_s)
        plan = metering.plan(budget, policy.prices, subject, self._door, draft.tree, billing, at_s, capped, model)
        if plan is not None and plan.tokenizer is not None:
            journal.prompt_tokens = plan.tokens_in
        return self._ask_for(plan)

    def _ask_for(self, plan: metering.Plan | None) -> tuple[Command, ...]:
        """Ask ledger and cache at once, where there are any: a spent budget refuses what is in the cache too."""
        caching = self._caching = self._cacheable()
        questions: tuple[Question, ...] = () if plan is None else (Reserve(plan.ask),)
        if caching is not None:
            questions += (caching.look,)
        return self._ask(questions, partial(self._take_replies, plan)) if questions else self._send_on()

    def _cacheable(self) -> Caching | None:
        """The exchange's part in its tenant's cache: none where any rule found anything, or did not get to look."""
        journal, draft, tenant = self._journal, self._draft, self._tenant
        found = self._tally_in.counts or self._unknown_fields or journal.unadvised or self._aliases
        if tenant.cache is None or found or draft.judged.changed or self._guard_in is None:
            return None
        guard = self._world.guard(self._policy, tenant, "response", journal.caller.obligations.guards)
        asked = Asked(journal.caller, self._names, self._door, draft.tree, journal.model, streamed=self._opened.stream)
        return caching(tenant, tenant.cache, asked, draft.judged.texts, self._world.sieve(self._guard_in, guard))

    def _take_replies(self, plan: metering.Plan | None, replies: tuple[Told, ...]) -> tuple[Command, ...]:
        if plan is not None:
            currency = self._policy.prices.currency
            meter = self._meter = metering.granted(plan, replies[0], self._dialect, currency, self._clock.now())
            if meter.each is not None:
                self._draft.judged.capped = (self._door.cap_field, meter.each)
        caching = self._caching
        entry = None if caching is None else caching.take(replies[-1])
        return (() if caching is None or entry is None else self._again(caching, entry)) or self._send_on()

    def _again(self, caching: Caching, entry: Entry) -> tuple[Command, ...]:
        """Give an answer again; nothing, where the rules of now do not let it pass as it is."""
        self._expect()
        answer = caching.again(entry, self._terms, self._clock.now(), self._standing())
        if answer is None:
            return ()
        del self._draft
        journal = self._journal
        journal.backend = journal.first = ""
        journal.cached, journal.likeness, journal.seen = caching.said, caching.likeness, caching.billed(entry)
        return self._answer(answer, "cache_hit", "completed")

    def so_far(self) -> Amounts:
        """What the exchange has used until now, for whoever keeps its reservation alive."""
        used = self._journal.used(whole=False)
        return Amounts() if used is None else self._charge(used)

    def _charge(self, used: Usage) -> Amounts:
        price = self._journal.price
        return used.amounts(0 if price is None else cost(price, used))

    def _ask(self, questions: tuple[Question, ...], then: "_Then") -> tuple[Command, ...]:
        """Wait for replies; `then` goes on with them, in the order of `questions`."""
        self._then = then
        self.state = State.ASKING
        return (Ask(questions),)

    def _answered(self, event: Answered) -> tuple[Command, ...]:
        then, self._then = self._then, None
        if self.state is State.LOCAL:
            return ()
        if then is None:
            raise endings.illegal((self.state, Answered))
        return then(event.replies)

    def _send_on(self) -> tuple[Command, ...]:
        """Let the request go upstream."""
        draft, journal = self._draft, self._journal
        raw = admission.write(draft.raw, draft.tree, self._opened, self._door, draft.judged)
        raw = draft.raw if raw is None and draft.renamed else raw
        self._expect()
        del self._draft  # a body of many megabytes must not be held while the model thinks
        self.state = State.UPSTREAM
        self._sent = True
        way = Way(self._door, self._policy.models[journal.model], self._policy, draft.allowed, draft.walk)
        self._timing = timing(self._world.latencies, way.model, draft.allowed, streamed=self._opened.stream)
        changed = draft.judged.changed
        keys, now_s = self._world, self._clock.now()
        command, lost = leave(
            way, journal.caller.policy, self._names, draft.raw, raw, keys, changed=changed, now_s=now_s
        )
        if lost:
            self._lost = {journal.backend: lost}
        leaves, rules = draft.raw if raw is None else raw, self._tally_in.counts
        return (command, *mirroring.copied(way, self._tenant, journal.caller, draft.tree, draft.judged, rules, leaves))

    def _expect(self) -> None:
        """Take from the request what its answer is judged by."""
        draft, caller = self._draft, self._journal.caller
        self._journal.prompt_chars = draft.judged.prompt_chars
        guard = self._world.guard(self._policy, self._tenant, "response", caller.obligations.guards)
        self._terms = terms(draft.tree, self._door, self._opened, self._tenant, self._policy.limits, guard)

    def _standing(self) -> tuple[tuple[str, str], ...]:
        """Headers that tell how the caller's limits stand."""
        if self._meter is None:
            return ()
        return tuple(told.headers(self._meter.reserved.verdict, self._dialect, self._clock.now()))

    def _request_trailers(self, event: RequestTrailers) -> tuple[Command, ...]:
        del event
        raise endings.trailers()

    # --- response -----------------------------------------------------------------------------------------

    def _response_head(self, event: ResponseHead) -> tuple[Command, ...]:
        headers = heads.fields(event.headers)
        status = self._journal.status = int(headers.get(":status", "0"))
        details = event.attributes.get(contract.ATTR_CODE_DETAILS, "")
        if self.state is not State.UPSTREAM:
            return self._local(event, headers, details)
        if self._journal.first:
            self._journal.walked(event.attributes, self._policy.prices)
        if details != contract.VIA_UPSTREAM:
            raise heads.of_envoy(status, headers.get(contract.ERROR_CODE_HEADER, ""), details)
        model = self._policy.models[self._journal.model]
        across = crossing.crossing(self._door, model, self._policy.backends[self._journal.backend])
        denied = crossing.denied(across, status)
        if denied:
            self._world.refused(self._policy, self._journal.backend)
        seen = Seen()
        if status < 400:
            self._journal.seen = seen  # an answer bills from its first byte, an error does not
            if self._meter is not None:
                self._meter.listen(seen)
        kind = crossing.told_type(across, headers.get("content-type", ""))
        head = heads.passed(tuple(name for name, _ in event.headers), kind if kind in heads.TYPES else "")
        if self._journal.first:
            head = route.tell(head, model, self._journal)
        lost = ", ".join(filter(None, (*self._opened.left_out, self._lost.get(self._journal.backend))))
        more: tuple[tuple[str, str], ...] = ((contract.DROPPED_HEADER, lost),) if lost else ()
        more += (() if self._caching is None else ((contract.CACHE_HEADER, "miss"),)) + self._standing()
        if more:
            head = heads.telling(head, more)
        if event.end_of_stream and not denied:
            heads.refuse_empty(status)
            return (head, *self._finish(self._journal.outcome()))
        streams = kind == heads.SSE and self._opened.stream and status < 300
        heads.check_answer(status, kind, headers.get("content-encoding", ""), streams=streams, denied=denied)
        guard = self._terms.watching
        if self._aliases and self._tenant.restore.on:
            guard = guard.giving_back(Restoring(self._aliases, self._tenant.restore.tools))
        self._guard_out = guard
        self._reply, self._form = self._terms.listener(guard, self._tally_out, seen, streams=streams)
        if across is not None and across.attempt is not None:
            origin = Origin(model=model.name, request_id=self._journal.caller.request_id, now_s=int(self._clock.now()))
            answer = translated.Answer(across.attempt, origin, status, self._policy.limits, seen)
            self._reply = answer.stream(self._reply) if streams else answer.whole(self._reply)
        self.state = State.STREAM if streams else State.COLLECT
        self._head = head
        return ()

    def _local(self, event: ResponseHead, headers: dict[str, str], details: str) -> tuple[Command, ...]:
        """A reply of Envoy or authz to a request that went nowhere: no upstream text is in it."""
        if details == contract.VIA_UPSTREAM:
            raise GatewayError(
                Kind.INTERNAL, "The gateway could not judge the exchange and refused it.", cause="answer before request"
            )
        self._recorded = contract.REFUSED_BY_HEADER in headers  # authz put it on record and knows more
        self._journal.meet(event.attributes)
        self._journal.code = headers.get(contract.ERROR_CODE_HEADER, f"envoy_{self._journal.status}")
        self._journal.reason = details[:_REASON_CHARS]
        head = PassResponseHead(HeaderChange(remove=(contract.REFUSED_BY_HEADER,)))
        if event.end_of_stream:
            return (head, *self._finish("refused"))
        self.state = State.LOCAL
        return (head,)

    def _response_chunk(self, event: ResponseChunk) -> tuple[Command, ...]:
        if self.state is State.LOCAL:
            send = SendBody(event.body, event.end_of_stream)
            return (send, *self._finish("refused")) if event.end_of_stream else (send,)
        out = self._reply.feed(event.body, last=event.end_of_stream)
        if self._reply.blocked is not None:
            return self._stopped(self._reply.blocked, out)
        if self._reply.ended:
            self._journal.reason = LENGTH_ID
            self._journal.answer_bytes += len(out)
            return (*self._release_head(), SendBody(out, end_of_stream=True), *self._finish("cut"))
        meter, seen = self._meter, self._journal.seen
        goes_on = not event.end_of_stream and not self._reply.over
        if meter is not None and seen is not None and goes_on and meter.spent(seen):
            return self._cut(told.cut(meter.binding, self._policy.prices.currency, self._clock.now()), out)
        if not out and not event.end_of_stream:
            return ()  # FULL_DUPLEX asks for no answer to each message; a message saved is 80 microseconds
        self._said(out)
        commands = (*self._release_head(), SendBody(out, event.end_of_stream))
        return (*commands, *self._finish(self._journal.outcome())) if event.end_of_stream else commands

    def _said(self, out: bytes) -> None:
        self._journal.answer_bytes += len(out)
        if self._caching is not None:
            self._caching.hear(out)

    def _response_trailers(self, event: ResponseTrailers) -> tuple[Command, ...]:
        trailers = PassResponseTrailers(event.names)
        if self.state is State.LOCAL:
            return (trailers, *self._finish("refused"))
        out = self._reply.feed(b"", last=True)
        if self._reply.blocked is not None:
            return self._stopped(self._reply.blocked, out)
        self._said(out)
        body = (SendBody(out, end_of_stream=False),) if out else ()
        return (*self._release_head(), *body, trailers, *self._finish(self._journal.outcome()))

    # --- endings ------------------------------------------------------------------------------------------

    def _expired(self, event: Expired) -> tuple[Command, ...]:
        if self.state not in {State.ASKING, State.COLLECT, State.STREAM}:
            return ()  # before the answer's head only Envoy may speak; its own timers are set (envoy/README.md)
        if self._told_all():
            return (SendBody(b"", end_of_stream=True), *self._finish(self._journal.outcome()))
        if event.which == "idle" and self.state is not State.ASKING:
            raise GatewayError(Kind.BACKEND_TIMEOUT, "The model stopped answering.", cause="idle")
        raise GatewayError(Kind.DEADLINE_EXCEEDED, "The exchange took longer than policy allows.", cause="exchange")

    def _was_revoked(self, event: Revoked) -> tuple[Command, ...]:
        if self._told_all():
            return (SendBody(b"", end_of_stream=True), *self._finish(self._journal.outcome()))
        if self.state in {State.ASKING, State.UPSTREAM, State.COLLECT, State.STREAM}:
            raise event.error
        self._revoked = event.error
        return ()

    def _refuse_revoked(self) -> None:
        if self._revoked is not None:
            raise self._revoked

    def _gone(self, event: Gone) -> tuple[Command, ...]:
        del event
        return self._finish(self._journal.outcome() if self._told_all() else "aborted")

    def _told_all(self) -> bool:
        """Whether the last event of a stream has left: official SDKs leave with it and do not wait for the bytes."""
        return self.state is State.STREAM and self._reply.over

    def _refuse(self, error: GatewayError) -> tuple[Command, ...]:
        if self.state in {State.COLLECT, State.STREAM}:
            return self._cut(endings.of_answer(error), b"")
        self._journal.code, self._journal.reason = error.kind.value, error.cause[:_REASON_CHARS]
        if self.state is State.LOCAL:
            # Its head is out and no upstream text can follow: the stream is just ended.
            return (SendBody(b"", end_of_stream=True), *self._finish("failed"))
        failed = self.state is State.UPSTREAM and error.kind not in endings.OUR_WORD
        outcome = "failed" if failed else "refused"
        return self._answer(render(error, self._dialect, self._journal.caller.request_id), error.kind.value, outcome)

    def _stopped(self, rule: str, released: bytes) -> tuple[Command, ...]:
        """A rule ended the answer: say what its tenant would have said, else refuse or cut."""
        text = self._terms.watching.said(rule)
        said = None if text is None else self._reply.instead(text)
        if said is None:
            return self._cut(answer_blocked(rule, self._tally_out), released)
        self._journal.code, self._journal.reason = Kind.ANSWER_BLOCKED.value, rule
        tail = released + said
        self._journal.answer_bytes += len(tail)
        return (*self._release_head(), SendBody(tail, end_of_stream=True), *self._finish("cut"))

    def _cut(self, error: GatewayError, released: bytes) -> tuple[Command, ...]:
        """End an answer: by a JSON refusal before its first byte, by the dialect's error event after it."""
        self._journal.code, self._journal.reason = error.kind.value, error.cause[:_REASON_CHARS]
        if self._head is not None:
            # Words that were released in the same breath stay back: the caller gets one clear refusal.
            rendered = render(error, self._dialect, self._journal.caller.request_id)
            outcome = "refused" if error.kind in endings.OUR_WORD else "failed"
            return self._answer(rendered, error.kind.value, outcome)
        tail = released + self._reply.cut(error)
        self._journal.answer_bytes += len(tail)
        return (SendBody(tail, end_of_stream=True), *self._finish("cut"))

    def _answer(self, rendered: Rendered, details: str, outcome: str) -> tuple[Command, ...]:
        self._journal.status = rendered.status
        self._journal.answer_bytes = len(rendered.body)
        return (Answer(rendered, details), *self._finish(outcome))

    def _release_head(self) -> tuple[Command, ...]:
        head, self._head = self._head, None
        if self._timing is not None:
            self._timing.begun()
        if head is None:
            return ()
        seen = self._journal.seen
        if self.state is State.COLLECT and seen is not None and seen.lost:
            head = heads.telling(head, ((contract.ANSWER_DROPPED_HEADER, seen.lost),))
        return (head,)

    def _finish(self, outcome: str) -> tuple[Command, ...]:
        journal = self._journal
        if self._sent and journal.seen is None and (outcome == "aborted" or journal.code in endings.BILLED_UNHEARD):
            journal.seen = Seen()  # the backend reads the prompt, whoever left first, and bills that
        self.state = State.DONE
        self._head = None
        if self._timing is not None:
            self._timing.over(journal, outcome)
        if self._recorded:
            return self._settlement(None)
        self._recorded = True
        tallies = (self._guard_in, self._tally_in), (self._guard_out, self._tally_out)
        found = endings.found(*tallies, self._aliases, unknown=self._unknown_fields)
        if self._aliases is not None:
            self._aliases.forget()
            self._aliases = None
        if self._form is not None and self._form.unchecked:
            found += (UNCHECKED,)
        kept = self._kept(outcome) if self._caching is not None else ()
        record = self._journal.close(outcome, found)
        return (*kept, Put(record), *self._settlement(record.usage))

    def _kept(self, outcome: str) -> tuple[Command, ...]:
        """Hand an answer over that ended well and in which no rule found anything."""
        journal, caching = self._journal, self._caching
        if caching is None or caching.hit:
            return ()
        journal.cached = "miss"
        # What was left out on the way to the backend is told with its answer, and would not be with the next one.
        less = (self._form is not None and self._form.unchecked) or self._lost.get(journal.backend)
        less = less or (None if journal.seen is None else journal.seen.lost)
        if outcome != "completed" or journal.status != HTTPStatus.OK or self._tally_out.counts or less:
            return ()
        heard = caching.heard(journal.used(whole=True))
        return () if heard is None else (Keep(heard),)

    def _settlement(self, usage: audit.Usage | None) -> tuple[Command, ...]:
        """What is charged is what stands in the record: the ledger is the sum of the records."""
        if self._meter is None:
            return ()
        self._meter = None
        if usage is None:
            return (Settle(None),)
        return (Settle(Amounts(usage.input_tokens, usage.output_tokens, usage.cost_micros or 0)),)


_HANDLERS: Final[dict[type[Event], Callable[[Exchange, Any], tuple[Command, ...]]]] = {
    RequestHead: Exchange._request_head,  # noqa: SLF001 - the class's own table
    RequestBody: Exchange._request_body,  # noqa: SLF001
    Answered: Exchange._answered,  # noqa: SLF001
    RequestTrailers: Exchange._request_trailers,  # noqa: SLF001
    ResponseHead: Exchange._response_head,  # noqa: SLF001
    ResponseChunk: Exchange._response_chunk,  # noqa: SLF001
    ResponseTrailers: Exchange._response_trailers,  # noqa: SLF001
    Expired: Exchange._expired,  # noqa: SLF001
    Revoked: Exchange._was_revoked,  # noqa: SLF001
    Gone: Exchange._gone,  # noqa: SLF001
}

_REASON_CHARS: Final = 160  # enough for Envoy's code details; a record is not a dump
