"""What would become of one request, and why: the very exchange that workers run, fed from a file. Sends nothing."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any, Final

from extproc.core import admission, encoded
from extproc.core.aliases import KEY_BYTES, Aliases
from extproc.core.commands import Answer, Ask, Command, PassRequestBody, Put
from extproc.core.events import Answered, Gone, RequestBody, RequestHead
from extproc.core.exchange import Exchange
from extproc.core.questions import Failed, Question, Reserve, Told
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.guard import Guard, Tally
from extproc.world import Book
from gateway.audit.record import Found
from gateway.budgets import model as budgets
from gateway.budgets.model import Amounts, Hold, Reservation, Reserved
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.identity import Caller
from gateway.policy.model import Adviser, Mode, Policy, Tenant
from gateway.policy.store import PolicyStore
from gateway.secrets.reference import Secret
from gateway.sigv4 import AwsKey

#: A record's reason that is a rule's id, and no sentence.
_RULE: Final = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_-]+)+")
_UNTOLD: Final = ""  # a text whose author the endpoint's dialect does not tell: names of fields, parameters, metadata


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule in one text: characters [start, end), or the whole text where `end` is its length and `start` 0."""

    rule: str
    start: int
    end: int
    action: str  # what policy asks for
    mode: str  # "enforce" | "shadow"


@dataclass(frozen=True, slots=True)
class Spot:
    """One text of the request: where it is, who said it, what was found in it. `text` is what would be sent on."""

    path: str  # "messages[0].content"
    provenance: str
    chars: int
    text: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole story of one request."""

    policy: str
    tenant: str
    decision: str  # "pass" | "change" | "refuse"
    code: str = ""  # of a refusal
    status: int = 0
    message: str = ""  # what the caller would read
    model: str = ""
    backend: str = ""
    spots: tuple[Spot, ...] = ()
    found: tuple[Found, ...] = ()
    body: bytes | None = field(default=None, repr=False)  # what would be sent, where it differs
    reserved: Amounts | None = None  # what would be set aside of the tenant's budgets, at the most


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request, without any of its texts."""

    decision: str  # "pass" | "change" | "refuse"
    code: str = ""
    status: int = 0
    param: str = ""  # the field that the caller is told, "messages[3].content"
    rule: str = ""  # that refused
    message: str = ""
    model: str = ""
    backend: str = ""
    found: tuple[Found, ...] = ()
    body: bytes | None = field(default=None, repr=False)
    reserved: Amounts | None = None


class Offline(Book):
    """Credentials are not at hand where policy is written, and not needed: nothing is sent."""

    def value(self, policy: Policy, backend: str) -> str | None:
        """Nothing, for each backend that there is."""
        return "" if backend in policy.backends else None

    def aws_key(self, policy: Policy, backend: str) -> AwsKey | None:
        """Nobody's: what is signed with it is not sent."""
        return AwsKey("", Secret("")) if backend in policy.backends else None

    def advisers(self, policy: Policy, guard: Guard) -> tuple[Adviser, ...]:
        """None: they would be sent a text that nobody sends."""
        del policy, guard
        return ()


class _Told(Exchange):
    """An exchange that remembers why it refused: not every dialect's error names the field."""

    why: GatewayError | None = None

    def _refuse(self, error: GatewayError) -> tuple[Command, ...]:
        self.why = error
        return super()._refuse(error)


def _granted(ask: budgets.Ask) -> Reserved:
    """As if nothing had been spent yet: what runs here counts nowhere."""
    holds = tuple(Hold(limit, "", ask.amounts.of(limit.resource)) for limit in ask.limits)
    return Reserved(Reservation("", ask.subject.tenant, holds, 0.0), budgets.Verdict(allowed=True))


def _said(question: Question) -> Told:
    """Nobody else is asked: no adviser advises, and nothing is in the cache."""
    return _granted(question.ask) if isinstance(question, Reserve) else Failed("not asked")


def judge(
    raw: bytes,
    path: str,
    book: Book,
    caller: Caller,
    clock: Clock,
    entropy: Callable[[int], bytes] = token_bytes,
    *,
    version: str = "",
) -> Verdict:
    """Run the request as `caller` through the exchange that workers run. `version`: what it says its API's is."""
    exchange = _Told(book, clock, entropy)
    door = admission.door_at(path.partition("?")[0])
    said = ((door.versions.header, version),) if version and door is not None and door.versions.header else ()
    head = ((":method", "POST"), (":path", path), ("content-type", "application/json"), *said)
    commands = [
        *exchange.receive(RequestHead(head, caller, end_of_stream=False)),
        *exchange.receive(RequestBody(raw, end_of_stream=True)),
    ]
    questions = [question for each in commands if isinstance(each, Ask) for question in each.questions]
    asks = [question.ask for question in questions if isinstance(question, Reserve)]
    if questions:
        commands += exchange.receive(Answered(tuple(map(_said, questions))))
    ended = [*commands, *exchange.receive(Gone())]
    record = next(command.record for command in ended if isinstance(command, Put))
    answer = next((command for command in commands if isinstance(command, Answer)), None)
    if answer is not None:
        why = exchange.why
        return Verdict(
            "refuse",
            record.code,
            answer.rendered.status,
            (why.param if why is not None else None) or "",
            record.reason if _RULE.fullmatch(record.reason) else "",
            answer.rendered.body.decode(),
            found=record.found,
        )
    passed = next(command for command in commands if isinstance(command, PassRequestBody))
    return Verdict(
        "pass" if passed.body is None else "change",
        model=passed.metadata.get("model", ""),
        backend=passed.metadata.get("backends", ""),
        found=record.found,
        body=passed.body,
        reserved=asks[0].amounts if asks else None,
    )


def explain(raw: bytes, path: str, policy: Policy, caller: Caller, clock: Clock) -> Explanation:
    """Run the request against the policy as `caller` and tell what happened to each of its texts.

    Raises:
        ValueError: the policy has no such tenant.
    """
    tenant = policy.tenants.get(caller.tenant)
    if tenant is None:
        raise ValueError(f"the policy has no tenant {caller.tenant}")
    book = Offline(PolicyStore(policy))
    key = token_bytes(KEY_BYTES)  # one for both, so that a value has the same placeholder wherever it is shown
    verdict = judge(raw, path, book, caller, clock, lambda _size: key)
    return Explanation(
        policy.version,
        tenant.id,
        verdict.decision,
        verdict.code,
        verdict.status,
        verdict.message,
        verdict.model,
        verdict.backend,
        tuple(_spots(raw, path, policy, tenant, caller, book, Aliases(lambda _size: key))),
        verdict.found,
        verdict.body,
        verdict.reserved,
    )


def _spots(
    raw: bytes, path: str, policy: Policy, tenant: Tenant, caller: Caller, book: Book, aliases: Aliases
) -> Iterator[Spot]:
    """Every text with what each rule says of it; nothing where the body cannot be read at all."""
    try:
        door = admission.door_of(path)
        tree = admission.parse(raw, policy)
        door.open(tree)
    except GatewayError:
        return
    guard = book.guard(policy, tenant, "request", caller.obligations.guards).tokenising(aliases)
    assessor = book.assessor(policy, tenant, caller.obligations.guards)
    said_by = {id(text): provenance for provenance, text in door.positions(tree)}
    for where, text in _texts(tree, ""):
        provenance = said_by.get(id(text))
        try:
            hits = [*_spans(text, guard)]
            hits += [_hit(each.rule, each.start, each.end, guard) for each in encoded.hidden(text, guard)]
        except GatewayError:  # too many places: the request was refused for it
            continue
        if provenance is not None:
            tally = Tally()
            assessor.judge([(Provenance(provenance), text)], tally)
            hits += [_hit(rule, 0, len(text), guard) for rule in tally.counts if guard.runs(rule)]
        shown, _ = encoded.applied(guard.apply(text, Tally()).text, guard, Tally())
        yield Spot(where, provenance.value if provenance else _UNTOLD, len(text), shown, tuple(hits))


def _spans(text: str, guard: Guard) -> Iterator[Hit]:
    for finding in guard.scanner.scan(text):
        if guard.runs(finding.rule):
            yield _hit(finding.rule, finding.start, finding.end, guard)


def _hit(rule: str, start: int, end: int, guard: Guard) -> Hit:
    setting = guard.settings[rule]
    mode = Mode.SHADOW if setting.mode is Mode.SHADOW else Mode.ENFORCE
    return Hit(rule, start, end, setting.action.name.lower(), mode.value)


def _texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string value with its path. Bounded by `limits.json_depth`, which parsing has checked."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _texts(value, f"{path}[{at}]")
    elif isinstance(node, str):
        yield path, node
