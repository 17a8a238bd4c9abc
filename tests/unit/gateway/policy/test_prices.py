"""`prices.yaml`: amounts are exact, dates are moments, and what is forgotten is an error and not free."""

import pytest

from gateway.budgets.price import Line, Price, PriceBook
from gateway.policy.load import load
from gateway.policy.prices import without_price
from gateway.policy.problem import PolicyError

FILES = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": "acme: {models: [gpt], routes: ['*']}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\neu: {url: 'http://127.0.0.1:8092'}\n",
    "models.yaml": "gpt: demo\n",
}


def read(directory, text):
    for name, content in (FILES | {"prices.yaml": text}).items():
        (directory / name).write_text(content)
    return load(directory, rules=()).prices


def problems(directory, text):
    with pytest.raises(PolicyError) as caught:
        read(directory, text)
    return str(caught.value)


def test_no_file_prices_nothing_and_says_so(tmp_path):
    assert read(tmp_path, "") == PriceBook()


def test_every_field_is_read(tmp_path):
    book = read(
        tmp_path,
        """
currency: EUR
unknown: {input: 75, output: 300.5}
book:
  gpt:
    - {from: 2026-09-01, input: 2, output: 8, cached_input: 0.5, cache_write: 2.5, reasoning: 9, audio_input: 40, audio_output: 80}
    - {input: 2.500001, output: 10}
    - {backend: eu, from: 2026-09-01T12:00:00Z, input: 3, output: 12}
  "*": {backend: demo, input: 0, output: 0}
""",
    )
    micro = 1_000_000
    assert book.currency == "EUR"
    assert book.unknown == Price(input=75 * micro, output=300_500_000)
    assert book.lines["gpt"] == (
        Line(price=Price(input=2_500_001, output=10 * micro)),
        Line(
            from_s=1_788_220_800,
            price=Price(
                input=2 * micro, output=8 * micro, cached_input=500_000, cache_write=2_500_000, reasoning=9 * micro,
                audio_input=40 * micro, audio_output=80 * micro,
            ),
        ),
        Line(from_s=1_788_264_000, backend="eu", price=Price(input=3 * micro, output=12 * micro)),
    )  # fmt: skip
    assert book.lines["*"] == (Line(backend="demo", price=Price(input=0, output=0)),)


MISTAKES = [
    ("book: {gpt: {input: 1}}", "prices.yaml:1:13: book.gpt.output: missing"),
    ("book: {gpt: {output: 1}}", "book.gpt.input: missing"),
    ("book: {gpt: {input: 1, output: 1e3}}", "prices.yaml:1:32: book.gpt.output: expected an amount"),
    ("book: {gpt: {input: -1, output: 1}}", "book.gpt.input: expected an amount"),
    ("book: {gpt: {input: 0.0000001, output: 1}}", "book.gpt.input: expected an amount"),
    ("book: {gpt: {input: 1, output: 1, cached: 1}}", "unknown field"),
    ("book: {gtp: {input: 1, output: 1}}", 'prices.yaml:1:8: book.gtp: unknown model "gtp"; did you mean "gpt"?'),
    ("book: {gpt: {input: 1, output: 1, backend: demi}}", 'unknown backend "demi"; did you mean "demo"?'),
    ("book: {gpt: []}", "book.gpt: expected 1 to 1000 lines, found 0"),
    (
        "book: {gpt: [{input: 1, output: 1}, {input: 2, output: 2}]}",
        "book.gpt.[1]: a second price from the same moment on",
    ),
    ("book: {gpt: {input: 1, output: 1, from: 2026-02-30}}", "no such date"),
    ("book: {gpt: {input: 1, output: 1, from: tomorrow}}", "expected a date such as 2026-01-31"),
    ('book: {"*": {input: 1, output: 1}}', "a price of every model needs a backend"),
    ("currency: usd", "expected an ISO 4217 code"),
    ("unknown: allow", 'unknown: expected "deny" or the amounts of a ceiling'),
    ("unknown: {input: 1}", "unknown.output: missing"),
    ("unknown: {input: 0, output: 0}", "a ceiling of nothing"),
    ("boook: {}", 'did you mean "book"?'),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_told_with_its_place_and_a_way_out(tmp_path, text, expected):
    assert expected in problems(tmp_path, text)


def test_a_price_is_part_of_the_policys_version(tmp_path):
    def version(amount):
        for name, content in FILES.items():
            (tmp_path / name).write_text(content)
        (tmp_path / "prices.yaml").write_text(f"book: {{gpt: {{input: {amount}, output: 1}}}}")
        return load(tmp_path, rules=()).version

    assert version(1) == version("1.00") != version("1.000001")


def test_models_without_a_price_are_named_where_money_is_limited(tmp_path):
    files = FILES | {
        "models.yaml": "gpt: demo\nother: eu\n",
        "tenants.yaml": "acme: {models: '*', routes: '*', budgets: {limits: {day: {money: 1, per: day}}}}\n"
        "free: {models: '*', routes: '*', budgets: {limits: {day: {tokens: 1, per: day}}}}\n"
        "narrow: {models: [gpt], routes: '*', budgets: {limits: {day: {money: 1, per: day}}}}\n",
        "prices.yaml": "book: {gpt: {from: 2026-01-01, input: 1, output: 1}}",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    policy = load(tmp_path, rules=())
    assert without_price(policy, 1_788_220_800) == {"acme": ("other",)}
    assert without_price(policy, 1_700_000_000) == {"acme": ("gpt", "other"), "narrow": ("gpt",)}
