"""What an exchange may cost: what to set aside for it, how much of an answer that pays, what it used in the end. Pure.

Estimates are from above, so that what was set aside covers what a provider reports. Where a request does not say how
long its answer may be, it is given what is left, and the model is told so.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from extproc.core.cap import wishes
from extproc.core.questions import Failed, Told
from extproc.counting.prompt import has_audio, prompt_tokens, writes_cache
from extproc.counting.running import Running
from extproc.counting.tokenizer import Tokenizer, tokenizer
from extproc.providers.door import Door, Seen
from gateway.budgets import told
from gateway.budgets.model import MOST, Amounts, Ask, Exceeded, Limit, Reserved, Resource, Standing, Subject, applies
from gateway.budgets.model import Kind as LimitKind
from gateway.budgets.price import Price, PriceBook, price_of, worst
from gateway.errors import Dialect, GatewayError, Kind
from gateway.identity import Caller
from gateway.policy.model import Budget, Model

#: What a request without a cap of its own is given, at the most: as much as models answer at a stretch.
OPEN_TOKENS: Final = 16_384
#: With less room than this, a request without a cap is refused: an answer of some words helps nobody.
LEAST_TOKENS: Final = 256
#: What is set aside at the most, whatever a request asks for: no answers are so long. A soft limit holds all that it is
#: asked for, and the ledger's sums are exact to fourteen digits.
MOST_TOKENS: Final = 10**9
_OF_LENGTH: Final = frozenset({Resource.TOKENS_OUT, Resource.TOKENS, Resource.MICRO_USD})
_BY_THE_PIECE: Final = frozenset({Resource.REQUESTS, Resource.STREAMS})


@dataclass(frozen=True, slots=True)
class Plan:
    """What an exchange needs before it may go upstream."""

    ask: Ask
    price: Price | None = None  # None: nothing is counted in money, and no line of the book prices the model
    tokenizer: Tokenizer | None = None  # None: only requests and streams are counted
    tokens_in: int = 0  # the estimate
    answers: int = 0  # that the request wants; each is billed
    bounded: bool = True  # whether the request says itself how long an answer may be
    caches: bool = False
    audio: bool = False


def plan(
    budget: Budget,
    prices: PriceBook,
    subject: Subject,
    door: Door,
    body: dict[str, Any],
    backend: str,
    at_s: float,
    capped: int | None,
    model: Model,
) -> Plan | None:
    """What to ask of the ledger; None when no limit applies. `capped`: what policy lets each answer have. `model`:
    how it counts, and how much it answers at the most.

    Raises:
        GatewayError: money is limited, and the model has no price.
    """
    applying = tuple([limit for limit in budget.limits if applies(limit, subject)])
    if not applying:
        return None
    asking = Ask(subject, budget.limits, Amounts(), outage=budget.outage)  # all: a worker's slices go by the tuple
    if _by_the_piece(applying):
        return Plan(asking)
    audio, caches = has_audio(body), writes_cache(body)
    price = price_of(prices, subject.model, backend, at_s, audio=audio)
    if price is None and any(limit.resource is Resource.MICRO_USD for limit in applying):
        raise GatewayError(
            Kind.MODEL_UNPRICED,
            "This model has no price in the gateway's policy, and your budget is in money. Tell your platform team.",
            param="model",
            cause=f"no price for {subject.model} on {backend}",
        )
    counter = tokenizer(model.name, model.tokenizer)
    wanted = wishes(body, door)
    bounded = wanted.bounded or capped is not None
    asked = [*wanted.caps.values(), *(() if capped is None else (capped,))]
    if not bounded:  # a server that knows none of the others has no bound but what is written into the request
        asked.append(model.max_output_tokens or OPEN_TOKENS)
    known = Plan(
        asking,
        price=price,
        tokenizer=counter,
        tokens_in=prompt_tokens(door.path, body, counter),
        answers=wanted.answers,
        bounded=bounded,
        caches=caches,
        audio=audio,
    )
    most = max(asked) * known.answers
    least = None if known.bounded else _amounts(known, min(most, LEAST_TOKENS * known.answers))
    return replace(known, ask=replace(asking, amounts=_amounts(known, most), least=least))


def _by_the_piece(limits: Iterable[Limit]) -> bool:
    """Whether none of the limits depends on how long a request or its answer is."""
    return all(limit.resource in _BY_THE_PIECE for limit in limits)


def _amounts(known: Plan, tokens_out: int) -> Amounts:
    price, tokens_out = known.price, min(tokens_out, MOST_TOKENS)
    money = worst(price, known.tokens_in, tokens_out, caches=known.caches, audio=known.audio) if price else 0
    return Amounts(known.tokens_in, tokens_out, min(money, MOST))


class Meter:
    """What an exchange was given, and whether it has had it."""

    __slots__ = ("most_out", "plan", "reserved")

    def __init__(self, plan: Plan, reserved: Reserved) -> None:
        self.plan = plan
        self.reserved = reserved
        self.most_out = _most_out(plan, reserved)  # output tokens; None: nothing limits them

    @property
    def each(self) -> int | None:
        """The cap to write into a request that has none; None where it needs none."""
        if self.plan.bounded or self.most_out is None or not self.plan.answers:
            return None
        return max(self.most_out // self.plan.answers, 1)

    def listen(self, seen: Seen) -> None:
        """Count the answer while it comes, if anything depends on its length."""
        if self.plan.tokenizer is not None:
            seen.running = Running(self.plan.tokenizer)

    def spent(self, seen: Seen) -> bool:
        """Whether the answer is longer than what was set aside for it."""
        return self.most_out is not None and seen.running is not None and seen.running.beyond(self.most_out)

    @property
    def binding(self) -> Standing | None:
        """The limit that is reached first: what a cut stream is told."""
        found = [
            one
            for one in self.reserved.verdict.standings
            if one.limit.kind is LimitKind.HARD and one.limit.resource in _OF_LENGTH
        ]
        return min(found, key=lambda one: one.remaining / one.limit.amount, default=None)


def _most_out(plan: Plan, reserved: Reserved) -> int | None:
    """The most output tokens that what was granted pays for; None where nothing limits them."""
    granted = reserved.reservation.granted
    bounds = []
    if (out := granted(Resource.TOKENS_OUT)) is not None:
        bounds.append(out)
    if (both := granted(Resource.TOKENS)) is not None:
        bounds.append(both - plan.tokens_in)
    if (money := granted(Resource.MICRO_USD)) is not None and plan.price is not None:
        bounds.append(_affordable(plan, plan.price, money))
    return max(min(bounds), 0) if bounds else None


def _affordable(plan: Plan, price: Price, money: int) -> int:
    """How many output tokens `money` buys behind the prompt, at the dearest price that they may have."""
    prompt = worst(price, plan.tokens_in, 0, caches=plan.caches, audio=plan.audio)
    million = worst(price, 0, 1_000_000, caches=plan.caches, audio=plan.audio)
    return (money - prompt) * 1_000_000 // million if million else OPEN_TOKENS * max(plan.answers, 1)


def subject_of(caller: Caller, model: str, group: str = "") -> Subject:
    """Whose budget it is."""
    return Subject(caller.tenant, caller.key_id, caller.principal, model, group)


def granted(plan: Plan, reply: Told, dialect: Dialect, currency: str, now_s: float) -> Meter:
    """What a ledger's reply gives the exchange. Raises GatewayError for a no, and where nobody says yes."""
    if isinstance(reply, Exceeded):
        raise told.refusal(reply.verdict, dialect, currency, now_s)
    if not isinstance(reply, Reserved):
        raise unavailable(reply.reason if isinstance(reply, Failed) else "no answer of a ledger")
    return Meter(plan, reply)


def unavailable(reason: str) -> GatewayError:
    """The refusal of an exchange of which nobody can say whether it is covered."""
    return GatewayError(
        Kind.BUDGETS_UNAVAILABLE,
        "The gateway cannot check your budget at the moment. Try again in a moment.",
        cause=reason,
    )
