"""What tokens cost: a price book and the cost of an exchange in whole micro-units of its currency. Pure.

Every rounding and every doubt goes up: what is billed here is at least what the provider bills by the same prices.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from gateway.budgets.model import Usage

#: Prices are written for so many tokens, as providers publish them.
PER_TOKENS: Final = 1_000_000
#: Stands for every model of a backend that has no lines of its own.
EVERY_MODEL: Final = "*"
#: A cache write costs up to twice an input token (Anthropic's one-hour cache, the dearest that is published).
_CACHE_WRITE_TIMES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Micro-units of the currency for a million tokens of each kind. None: not told, and then never free."""

    input: int
    output: int
    cached_input: int | None = None  # None: as input
    cache_write: int | None = None  # None: twice the input
    reasoning: int | None = None  # None: as output
    audio_input: int | None = None  # None: a request with audio has no price
    audio_output: int | None = None

    @property
    def dearest(self) -> int:
        """The highest amount on the line: what counts for tokens of a kind that has no price."""
        amounts = (
            *(self.input, self.output, self.cached_input, self.cache_write),
            *(self.reasoning, self.audio_input, self.audio_output),
        )
        return max(amount for amount in amounts if amount is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A price from a moment on, for one backend or for every one."""

    price: Price
    from_s: int = 0  # unix seconds; 0: since ever
    backend: str = ""  # "": every backend


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """All prices of one policy version. `unknown` is the ceiling for what no line prices; None: it is refused."""

    currency: str = "USD"  # ISO 4217
    unknown: Price | None = None
    lines: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)  # model name or `EVERY_MODEL` -> lines


def find(book: PriceBook, model: str, backend: str, at_s: float) -> Price | None:
    """The price that is in force at `at_s`, or None where no line has one.

    A line of the model for this backend goes before the model's line for every backend, and that before the backend's
    line for every model. Among lines alike, the latest that has begun counts.
    """
    for lines, wanted in (
        (book.lines.get(model, ()), backend),
        (book.lines.get(model, ()), ""),
        (book.lines.get(EVERY_MODEL, ()), backend),
    ):
        begun = [line for line in lines if line.backend == wanted and line.from_s <= at_s]
        if begun:
            return max(begun, key=lambda line: line.from_s).price
    return None


def price_of(book: PriceBook, model: str, backend: str, at_s: float, *, audio: bool = False) -> Price | None:
    """The price to reserve and settle by: that of the book, else its ceiling; None: the policy refuses the request.

    `audio`: the request holds audio. A price that does not tell what audio costs is then none.
    """
    found = find(book, model, backend, at_s)
    if found is None or (audio and found.audio_input is None):
        return book.unknown
    return found


def cost(price: Price, used: Usage) -> int:
    """What `used` costs, in micro-units, rounded up once.

    Details that exceed their totals are cut to them, the dearer kinds kept: a discount is believed last.
    """
    audio_in = _within(used.audio_in, used.tokens_in)
    written = _within(used.cache_write_in, used.tokens_in - audio_in)
    cached = _within(used.cached_in, used.tokens_in - audio_in - written)
    audio_out = _within(used.audio_out, used.tokens_out)
    reasoning = _within(used.reasoning_out, used.tokens_out - audio_out)
    return _up(
        (max(used.tokens_in, 0) - audio_in - written - cached) * price.input
        + cached * _or(price.cached_input, price.input)
        + written * _or(price.cache_write, _CACHE_WRITE_TIMES * price.input)
        + audio_in * _or(price.audio_input, price.dearest)
        + (max(used.tokens_out, 0) - audio_out - reasoning) * price.output
        + reasoning * _or(price.reasoning, price.output)
        + audio_out * _or(price.audio_output, price.dearest)
    )


def worst(price: Price, input_tokens: int, output_tokens: int, *, caches: bool = False, audio: bool = False) -> int:
    """The most that an exchange of this size can cost: what to reserve for it.

    `caches`: the request asks the provider to write its cache (some write it unasked: a price that tells what that
    costs counts in any case); `audio`: it holds audio.
    """
    inputs = [price.input, _or(price.cached_input, price.input)]
    outputs = [price.output, _or(price.reasoning, price.output)]
    if caches or price.cache_write is not None:
        inputs.append(_or(price.cache_write, _CACHE_WRITE_TIMES * price.input))
    if audio:
        inputs.append(_or(price.audio_input, price.dearest))
        outputs.append(_or(price.audio_output, price.dearest))
    return _up(max(input_tokens, 0) * max(inputs) + max(output_tokens, 0) * max(outputs))


def dearest_of(book: PriceBook, model: str, backends: tuple[str, ...], at_s: float) -> str:
    """The backend to reserve for where any of several may answer: one that no line prices, else the dearest."""
    if len(backends) == 1:
        return backends[0]
    prices = {backend: find(book, model, backend, at_s) for backend in backends}
    return max(backends, key=lambda backend: inf if (price := prices[backend]) is None else price.dearest)


def unpriced(book: PriceBook, models: Mapping[str, str], at_s: float) -> tuple[str, ...]:
    """The models (name -> backend) that no line of the book prices at `at_s`."""
    return tuple(sorted(name for name, backend in models.items() if find(book, name, backend, at_s) is None))


def _within(part: int, whole: int) -> int:
    return min(max(part, 0), max(whole, 0))


def _or(amount: int | None, otherwise: int) -> int:
    return otherwise if amount is None else amount


def _up(micros_by_million: int) -> int:
    return -(-micros_by_million // PER_TOKENS)
