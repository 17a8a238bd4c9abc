"""What tokens cost: which price is in force, and the cost in micro-units, never below the exact one."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.model import Usage
from gateway.budgets.price import PER_TOKENS, Line, Price, PriceBook, cost, find, price_of, unpriced, worst

USD = 1_000_000
MINI = Price(input=150_000, output=600_000, cached_input=75_000)
OLD, NEW, EUROPE, HOUSE = (Price(input=amount, output=amount) for amount in (1, 2, 3, 4))
BOOK = PriceBook(
    lines={
        "gpt": (Line(price=OLD), Line(price=NEW, from_s=1000), Line(price=EUROPE, from_s=500, backend="eu")),
        "*": (Line(price=HOUSE, backend="vllm"),),
    }
)


def test_the_price_that_began_last_is_in_force_from_its_second_on():
    assert find(BOOK, "gpt", "us", 999.9) == OLD
    assert find(BOOK, "gpt", "us", 1000) == NEW


def test_a_backends_own_line_goes_first_once_it_has_begun():
    assert find(BOOK, "gpt", "eu", 499) == OLD
    assert find(BOOK, "gpt", "eu", 5000) == EUROPE


def test_a_line_for_every_model_is_its_backends_alone_and_comes_last():
    assert find(BOOK, "llama", "vllm", 0) == HOUSE
    assert find(BOOK, "gpt", "vllm", 0) == OLD
    assert find(BOOK, "llama", "us", 0) is None


def test_what_has_no_price_is_refused_or_costs_the_ceiling():
    ceiling = Price(input=75 * USD, output=300 * USD)
    assert price_of(BOOK, "llama", "us", 0) is None
    assert price_of(PriceBook(unknown=ceiling, lines=BOOK.lines), "llama", "us", 0) == ceiling


def test_a_price_that_does_not_tell_of_audio_is_none_for_audio():
    assert price_of(BOOK, "gpt", "us", 0, audio=True) is None
    spoken = Price(input=1, output=1, audio_input=9)
    assert price_of(PriceBook(lines={"gpt": (Line(price=spoken),)}), "gpt", "us", 0, audio=True) == spoken


def test_a_cost_is_rounded_up_once():
    assert cost(MINI, Usage(tokens_in=1)) == 1  # 0.15 micro-dollars
    assert cost(MINI, Usage(tokens_in=1000, tokens_out=500)) == 450
    assert cost(MINI, Usage(tokens_in=1, tokens_out=1)) == 1  # 0.15 + 0.60
    assert cost(MINI, Usage()) == 0


def test_each_kind_has_its_price():
    price = Price(
        input=1 * USD, output=2 * USD, cached_input=3 * USD, cache_write=5 * USD, reasoning=7 * USD,
        audio_input=11 * USD, audio_output=13 * USD,
    )  # fmt: skip
    used = Usage(
        tokens_in=1111, cached_in=100, cache_write_in=10, audio_in=1, tokens_out=222, reasoning_out=20, audio_out=2
    )
    assert cost(price, used) == 1000 * 1 + 100 * 3 + 10 * 5 + 1 * 11 + 200 * 2 + 20 * 7 + 2 * 13


def test_kinds_that_the_price_leaves_out_are_never_cheaper():
    price = Price(input=1 * USD, output=8 * USD)
    assert cost(price, Usage(tokens_in=10, cached_in=10)) == 10
    assert cost(price, Usage(tokens_in=10, cache_write_in=10)) == 20
    assert cost(price, Usage(tokens_out=10, reasoning_out=10)) == 80
    assert cost(price, Usage(tokens_in=10, audio_in=10)) == 80


def test_a_discount_beyond_the_total_is_not_believed():
    assert cost(MINI, Usage(tokens_in=100, cached_in=10**9)) == cost(MINI, Usage(tokens_in=100, cached_in=100))
    assert cost(MINI, Usage(tokens_in=100, cached_in=-5)) == cost(MINI, Usage(tokens_in=100))


def test_models_without_a_price_are_named():
    assert unpriced(BOOK, {"gpt": "us", "llama": "us", "qwen": "vllm"}, 0) == ("llama",)


amounts = st.integers(0, 1000 * USD)
prices = st.builds(
    Price,
    input=amounts,
    output=amounts,
    **dict.fromkeys(("cached_input", "cache_write", "reasoning", "audio_input", "audio_output"), st.none() | amounts),
)
counts = st.integers(0, 10**7)


@st.composite
def usages(draw):
    tokens_in, tokens_out = draw(counts), draw(counts)
    return Usage(
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cached_in=draw(st.integers(0, tokens_in)),
        cache_write_in=draw(st.integers(0, tokens_in)),
        reasoning_out=draw(st.integers(0, tokens_out)),
    )


@given(prices, usages())
def test_what_is_reserved_is_never_less_than_what_it_costs(price, used):
    most = worst(price, used.tokens_in, used.tokens_out, caches=True)
    assert cost(price, used) <= most
    without = Usage(tokens_in=used.tokens_in, cached_in=used.cached_in, tokens_out=used.tokens_out)
    assert cost(price, without) <= worst(price, used.tokens_in, used.tokens_out) <= most


@given(prices, counts, counts)
def test_rounding_adds_less_than_a_micro_unit(price, tokens_in, tokens_out):
    exact = Fraction(tokens_in * price.input + tokens_out * price.output, PER_TOKENS)
    assert 0 <= cost(price, Usage(tokens_in=tokens_in, tokens_out=tokens_out)) - exact < 1
