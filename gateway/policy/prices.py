"""`prices.yaml`: the price book of a policy, and what becomes of a model that is not in it. Computes no cost."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from gateway.budgets.price import EVERY_MODEL, Line, Price, PriceBook, dearest_of, unpriced
from gateway.policy.endpoint import BACKEND_NAME
from gateway.policy.field import Table, shape
from gateway.policy.model import Policy
from gateway.policy.problem import Problems, shown
from gateway.policy.tree import Broken, Mapping, Node, Path, Scalar, Sequence

_MICROS: Final = 1_000_000
_FRACTION_DIGITS: Final = 6  # a micro-unit: the smallest amount that is kept
_KINDS: Final = ("cached_input", "cache_write", "reasoning", "audio_input", "audio_output")
#: A hundred times the dearest published price (600 USD for a million output tokens) is a slip of the comma.
_AMOUNT: Final = shape(
    r"[0-9]{1,5}(?:\.[0-9]{1,6})?", "an amount for a million tokens: up to 5 digits, and up to 6 behind the point"
)
_CURRENCY: Final = shape(r"[A-Z]{3}", "an ISO 4217 code such as USD")
_DAY: Final = shape(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?", "a date such as 2026-01-31")
_MAX_LINES: Final = 1000  # of one model: decades of changes on every backend
#: Looks up a name that is referred to: (word, path, "models" or "backends"), and reports where there is none.
Refer = Callable[[Scalar, Path, str], str]


def read_prices(table: Table, refer: Refer, problems: Problems) -> PriceBook:
    """The whole file; an empty one prices nothing and refuses what has no price."""
    currency = table.text("currency", _CURRENCY, default="USD")
    unknown = _unknown(table, problems)
    lines: dict[str, tuple[Line, ...]] = {}
    book = table.table("book")
    if book is not None:
        for key, node in list(book.entries()):
            if key.text != EVERY_MODEL:
                refer(key, (*book.path, key.text), "models")
            lines[key.text] = _lines(key, node, (*book.path, key.text), refer, problems)
    table.close()
    return PriceBook(currency=currency, unknown=unknown, lines=MappingProxyType(lines))


def without_price(policy: Policy, at_s: float) -> dict[str, tuple[str, ...]]:
    """Tenants with a limit on money, and those of their models that nothing prices at that time."""
    found: dict[str, tuple[str, ...]] = {}
    for name, tenant in sorted(policy.tenants.items()):
        if tenant.budgets.counts_money:
            models = {
                name: dearest_of(policy.prices, name, one.backends, at_s)
                for name, one in policy.models.items()
                if tenant.may_use(name)
            }
            missing = unpriced(policy.prices, models, at_s)
            if missing:
                found[name] = missing
    return found


def _unknown(table: Table, problems: Problems) -> Price | None:
    """`deny`, which is the default, or the amounts of a ceiling."""
    node = table.node("unknown")
    if node is None or (isinstance(node, Scalar) and node.text == "deny"):
        return None
    path = (*table.path, "unknown")
    if isinstance(node, Mapping):
        ceiling = Table(node, path, problems)
        price = _price(ceiling)
        ceiling.close()
        if price.dearest == 0:
            problems.add(node.mark, path, "a ceiling of nothing", "what has no price must not be free; or say deny")
        return price
    if not isinstance(node, Broken):
        problems.add(node.mark, path, 'expected "deny" or the amounts of a ceiling, as `{input: 75, output: 300}`')
    return None


def _lines(key: Scalar, node: Node, path: Path, refer: Refer, problems: Problems) -> tuple[Line, ...]:
    """One line, or a list of them."""
    items = node.items if isinstance(node, Sequence) else (node,)
    if not 0 < len(items) <= _MAX_LINES:
        problems.add(node.mark, path, f"expected 1 to {_MAX_LINES} lines, found {len(items)}")
        return ()
    found: dict[tuple[str, int], Line] = {}
    for at, item in enumerate(items):
        where = (*path, f"[{at}]") if isinstance(node, Sequence) else path
        table = Table(item, where, problems)
        line = _line(table, refer, problems)
        table.close()
        if key.text == EVERY_MODEL and not line.backend:
            problems.add(table.mark, where, "a price of every model needs a backend", "or write `unknown`, a ceiling")
        if (line.backend, line.from_s) in found:
            problems.add(table.mark, where, "a second price from the same moment on", "give it another `from`")
        found[line.backend, line.from_s] = line
    return tuple(found[order] for order in sorted(found))


def _line(table: Table, refer: Refer, problems: Problems) -> Line:
    backend = table.scalar("backend", BACKEND_NAME, optional=True)
    return Line(
        price=_price(table),
        from_s=_moment(table, problems),
        backend=refer(backend, (*table.path, "backend"), "backends") if backend else "",
    )


def _price(table: Table) -> Price:
    """Input and output are required: a kind that was forgotten must not be free."""
    amounts: dict[str, int | None] = {name: _amount(table.maybe(name, _AMOUNT)) for name in _KINDS}
    return Price(
        input=_amount(table.text("input", _AMOUNT)) or 0,
        output=_amount(table.text("output", _AMOUNT)) or 0,
        **amounts,
    )


def _amount(text: str | None) -> int | None:
    """Micro-units, exactly: no float is near it."""
    if not text:
        return None
    whole, _, fraction = text.partition(".")
    return int(whole) * _MICROS + int(fraction.ljust(_FRACTION_DIGITS, "0") or "0")


def _moment(table: Table, problems: Problems) -> int:
    """Unix seconds of `from`; a date alone means its first moment in UTC."""
    found = table.scalar("from", _DAY, optional=True)
    if found is None:
        return 0
    text = found.text if "T" in found.text else f"{found.text}T00:00:00Z"
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        problems.add(found.mark, (*table.path, "from"), f"no such date: {shown(found.text)}")
        return 0
