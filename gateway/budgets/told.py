"""How a budget is told to callers: the words of a refusal, and the headers that SDKs read. Pure; decides nothing.

Headers: OpenAI API, "Rate limits in headers"; Anthropic API, "Rate limits", response headers.
"""

import math
from datetime import UTC, datetime
from typing import Final

from gateway import contract
from gateway.budgets.model import MICRO, Resource, Shape, Standing, Verdict
from gateway.budgets.window import CODES, meter_of, period_ends
from gateway.errors import Dialect, GatewayError, Kind
from gateway.limits.bucket import duration

_NOUNS: Final = {
    Resource.TOKENS: "tokens",
    Resource.TOKENS_IN: "prompt tokens",
    Resource.TOKENS_OUT: "output tokens",
    Resource.REQUESTS: "requests",
    Resource.STREAMS: "running requests",
}
#: Anthropic's names of what is counted.
_ANTHROPIC: Final = (
    ("requests", Resource.REQUESTS),
    ("tokens", Resource.TOKENS),
    ("input-tokens", Resource.TOKENS_IN),
    ("output-tokens", Resource.TOKENS_OUT),
)
_LONGEST_S: Final = 32 * 86_400  # a month: no window is longer, so a later moment is a mistake and not told


def refusal(verdict: Verdict, dialect: Dialect, currency: str, now_s: float) -> GatewayError:
    """The refusal of an exchange that did not get its reservation. `now_s`: unix seconds."""
    standing = verdict.refused_by
    if verdict.unavailable or standing is None:
        return GatewayError(
            Kind.BUDGETS_UNAVAILABLE,
            "The gateway cannot check your budget at the moment. Try again in a moment.",
            cause="the ledger does not answer",
        )
    limit, name = standing.limit, standing.limit.name
    if standing.retry_after_s < 0 and limit.shared is not None:
        return GatewayError(
            Kind.MAX_TOKENS_EXCEEDED,
            f"This request may need more than you can ever have of the shared limit '{name}' "
            f"({_amount(standing, limit.amount, currency)}{_span(standing)}, of which "
            f"{_number(standing, standing.assured)} are assured to you). Ask for fewer output tokens, or send a "
            "shorter prompt.",
            cause=name,
        )
    if standing.retry_after_s < 0:  # however long it waits, so much will never fit
        return GatewayError(
            Kind.MAX_TOKENS_EXCEEDED,
            f"This request may need more than the whole limit '{name}' ({_amount(standing, limit.amount, currency)}"
            f"{_span(standing)}). Ask for fewer output tokens, or send a shorter prompt.",
            cause=name,
        )
    wait_s = max(1, math.ceil(standing.retry_after_s))  # whole seconds: RFC 9110 section 10.2.3
    return GatewayError(
        _kind(standing),
        f"The {_called(standing)} is reached: {state(standing, currency)}. {_when(standing, wait_s, now_s)}",
        cause=name,
        retry_after_s=wait_s,
        headers=headers(verdict, dialect, now_s),
    )


def cut(standing: Standing | None, currency: str, now_s: float) -> GatewayError:
    """Why an answer ends in the middle: what was set aside for it is used up."""
    if standing is None:
        return GatewayError(Kind.BUDGET_EXCEEDED, "The answer is longer than your budget covers, and was cut.")
    if standing.remaining:  # the model did not keep to the cap that it was given; when to come again is nobody's matter
        return GatewayError(
            _kind(standing),
            "The answer is longer than the request asked for, and was cut where what was set aside for it of the "
            f"{_called(standing)} was used up: {state(standing, currency)}.",
            cause=standing.limit.name,
        )
    wait_s = max(1, math.ceil(_forgotten_s(standing, now_s)))
    return GatewayError(
        _kind(standing),
        f"The answer reached the {_called(standing)} and was cut: {state(standing, currency)}. "
        f"{_when(standing, wait_s, now_s)}",
        cause=standing.limit.name,
        retry_after_s=wait_s,
    )


def _forgotten_s(standing: Standing, now_s: float) -> float:
    """Until nothing counts any more of a limit that is used up now. `Standing.reset_s` is of the moment in which the
    answer began, when nothing of it was used.
    """
    limit, now_ms = standing.limit, int(now_s * 1000)
    match limit.window.shape:
        case Shape.DAY | Shape.MONTH:
            return (period_ends(CODES[limit.window.shape], now_ms) - now_ms) / 1000
        case Shape.SLIDING:
            meter = meter_of(limit)
            return (meter.slots + 1) * meter.slot_ms / 1000
        case Shape.BUCKET:
            return float(limit.window.span_s)
        case Shape.RUNNING:
            return 0.0


def state(standing: Standing, currency: str) -> str:
    """How full a limit is: `4,900 of 5,000 tokens in this day are used, 80 are held by requests that run`."""
    limit = standing.limit
    part = ""
    if limit.shared is not None:
        own, assured = _number(standing, standing.own), _number(standing, standing.assured)
        part = f"; yours are {own}, and {assured} are assured to you"
    if limit.resource is Resource.STREAMS:
        return f"{max(standing.used, standing.held):,} of {limit.amount:,} requests are running{part}"
    used = _number(standing, standing.used)
    held = f", {_number(standing, standing.held)} are held by requests that run" if standing.held else ""
    return f"{used} of {_amount(standing, limit.amount, currency)}{_span(standing)} are used{held}{part}"


def headers(verdict: Verdict, dialect: Dialect, now_s: float) -> tuple[tuple[str, str], ...]:
    """The tightest limits on requests and tokens, as the SDK on the other end knows to read them."""
    if dialect is Dialect.ANTHROPIC:
        pairs = (
            pair
            for name, resource in _ANTHROPIC
            if (standing := verdict.tightest(resource)) is not None
            for pair in _as_anthropic(name, standing, now_s)
        )
        return (*pairs, *_shared(verdict))
    told: list[tuple[str, str]] = []
    for name, resources in (
        ("requests", (Resource.REQUESTS,)),
        ("tokens", (Resource.TOKENS, Resource.TOKENS_IN, Resource.TOKENS_OUT)),
    ):
        found = [standing for resource in resources if (standing := verdict.tightest(resource)) is not None]
        if found:
            told += _as_openai(name, min(found, key=lambda one: one.remaining / one.limit.amount))
    return (*told, *_shared(verdict))


def _as_openai(name: str, standing: Standing) -> list[tuple[str, str]]:
    return [
        (f"x-ratelimit-limit-{name}", str(standing.limit.amount)),
        (f"x-ratelimit-remaining-{name}", str(standing.remaining)),
        (f"x-ratelimit-reset-{name}", duration(standing.reset_s)),
    ]


def _as_anthropic(name: str, standing: Standing, now_s: float) -> list[tuple[str, str]]:
    return [
        (f"anthropic-ratelimit-{name}-limit", str(standing.limit.amount)),
        (f"anthropic-ratelimit-{name}-remaining", str(standing.remaining)),
        (f"anthropic-ratelimit-{name}-reset", _moment(now_s + standing.reset_s)),
    ]


def _called(standing: Standing) -> str:
    return f"{'limit' if standing.limit.shared is None else 'shared limit'} '{standing.limit.name}'"


def _shared(verdict: Verdict) -> list[tuple[str, str]]:
    """Each shared limit with its amount and what is the caller's, a structured field (RFC 9651) for all SDKs alike."""
    told = [
        f'"{one.limit.name}";amount={one.limit.amount};left={one.remaining};assured={one.assured};own={one.own}'
        for one in verdict.standings
        if one.limit.shared is not None
    ]
    return [(contract.SHARED_LIMIT_HEADER, ", ".join(told))] if told else []


def _kind(standing: Standing) -> Kind:
    return Kind.BUDGET_SPENT if standing.limit.on_exceed == 402 else Kind.BUDGET_EXCEEDED


def _when(standing: Standing, wait_s: int, now_s: float) -> str:
    if standing.limit.resource is Resource.STREAMS:
        return "Try again when one of them has ended."
    if wait_s > _LONGEST_S:
        return "Ask your platform team."
    return f"Try again in {duration(wait_s)} (at {_moment(now_s + wait_s)})."


def _span(standing: Standing) -> str:
    """Over which time, in words."""
    window = standing.limit.window
    match window.shape:
        case Shape.DAY:
            return " of this day (UTC)"
        case Shape.MONTH:
            return " of this month (UTC)"
        case Shape.RUNNING:
            return ""
        case Shape.SLIDING | Shape.BUCKET:
            return f" in {duration(window.span_s)}"


def _amount(standing: Standing, number: int, currency: str) -> str:
    noun = currency if standing.limit.resource is Resource.MICRO_USD else _NOUNS[standing.limit.resource]
    return f"{_number(standing, number)} {noun}"


def _number(standing: Standing, number: int) -> str:
    """Money with two digits behind the point, or as many as a small amount needs."""
    if standing.limit.resource is not Resource.MICRO_USD:
        return f"{number:,}"
    whole, fraction = divmod(number, MICRO)
    digits = f"{fraction:06}".rstrip("0").ljust(2, "0")
    return f"{whole:,}.{digits}"


def _moment(at_s: float) -> str:
    """RFC 3339 in UTC, rounded up to a whole second so that nobody comes early."""
    return datetime.fromtimestamp(math.ceil(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
