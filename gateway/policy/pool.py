"""The pool of a model: `backends` and how one stands in for another. Reads its fields, routes nothing."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gateway.policy import walk
from gateway.policy.endpoint import BACKEND_NAME
from gateway.policy.field import Shape, Table, read_choice, read_scalar, shape
from gateway.policy.mirror import read_mirror
from gateway.policy.model import FEATURES, RETRY_ON, Limits, Model, Pool, Restriction, Select
from gateway.policy.prices import Refer
from gateway.policy.problem import Mark, Problems, nearest, shown
from gateway.policy.tree import Mapping as Fields
from gateway.policy.tree import Node, Path, Scalar, Sequence

_WEIGHT: Final = shape(r"[0-9]{1,4}", "a weight from 0 to 9999")
_SCORE: Final = shape(r"[1-9][0-9]?|100", "a score from 1 to 100")
_ANY: Final[Shape] = shape(r"[!-~]{1,64}", "a word")
_FIRST_BYTE_S: Final = (1, 3600)
_TOKENS: Final = shape(r"[1-9][0-9]{2,7}", "tokens, at least 100")
_MODEL: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}", "a provider's name of a model")


def read_pool(
    table: Table,
    names: tuple[Scalar, ...],
    rules: Collection[str],
    limits: Limits,
    refer: Refer,
    problems: Problems,
) -> Pool:
    """The pool over `names`."""
    backends = tuple(name.text for name in names)
    mirror = read_mirror(table.table("mirror"), backends, refer, problems)
    _check_names(names, table, problems, least=2 if mirror is None else 1)
    known = backends if mirror is None else (*backends, mirror.backend)
    select = Select(table.choice("select", tuple(Select), default=Select.ORDERED.value) or Select.ORDERED)
    weights = _weights(table, backends, select, problems)
    return Pool(
        backends=backends,
        select=select,
        weights=MappingProxyType(weights),
        scores=MappingProxyType(_scores(table, backends, select, problems)),
        retry_on=_retry_on(table, problems),
        first_byte_s=table.integer("first_byte_s", *_FIRST_BYTE_S, default=limits.idle_s),
        restrictions=_restrictions(table, backends, known, rules, problems),
        tell=table.flag("tell"),
        lacks=MappingProxyType(_lacks(table, known, problems)),
        context=MappingProxyType(_context(table, known, problems)),
        mirror=mirror,
    )


def read_upstream(table: Table, backends: tuple[str, ...], problems: Problems) -> dict[str, str]:
    """What backends call a model: `upstream_model: name`, or a name for each backend that calls it otherwise."""
    node = table.node("upstream_model")
    path = (*table.path, "upstream_model")
    if node is None:
        return {}
    if isinstance(node, Scalar):
        word = read_scalar(node, path, _MODEL, problems)
        return {} if word is None else dict.fromkeys(backends, word.text)
    names: dict[str, str] = {}
    for key, each in Table(node, path, problems).entries():
        if key.text not in backends:
            problems.add(key.mark, (*path, key.text), "not a backend of this model", nearest(key.text, backends))
        word = read_scalar(each, (*path, key.text), _MODEL, problems)
        if word is not None:
            names[key.text] = word.text
    return names


def refuse_too_many(models: Mapping[Scalar, Model], problems: Problems) -> None:
    """Envoy holds a cluster for each walk: report the pool that passes the bound."""
    found: dict[walk.Walk, None] = {}
    for key, model in models.items():
        if model.pool is None or len(model.pool.backends) > walk.BACKENDS_MAX:
            continue
        found |= dict.fromkeys(walk.walks_of(model.pool))
        if len(found) > walk.WALKS_MAX:
            hint = "use smaller pools, select: ordered, or the same pool for several models"
            problems.add(key.mark, (key.text,), f"more than {walk.WALKS_MAX} orders of backends in one policy", hint)
            return


def _check_names(names: tuple[Scalar, ...], table: Table, problems: Problems, *, least: int) -> None:
    path = (*table.path, "backends")
    if not least <= len(names) <= walk.BACKENDS_MAX:
        mark = names[0].mark if names else table.mark
        problems.add(mark, path, f"expected {least} to {walk.BACKENDS_MAX} backends", "for one write `backend: name`")
    seen: set[str] = set()
    for at, name in enumerate(names):
        here = (*path, f"[{at}]")
        if name.text in seen:
            problems.add(name.mark, here, f"{shown(name.text)} is named twice")
        seen.add(name.text)


def _weights(table: Table, backends: tuple[str, ...], select: Select, problems: Problems) -> dict[str, int]:
    block = table.table("weights")
    path = (*table.path, "weights")
    if block is None:
        if select is Select.WEIGHTED:
            problems.add(table.mark, path, "missing", "select: weighted needs a weight for each backend")
        return {}
    weights: dict[str, int] = {}
    for key, node in block.entries():
        if key.text not in backends:
            problems.add(key.mark, (*path, key.text), "not a backend of this pool", nearest(key.text, backends))
        value = read_scalar(node, (*path, key.text), _WEIGHT, problems)
        weights[key.text] = int(value.text) if value else 0
    missing = [name for name in backends if name not in weights]
    if select not in {Select.WEIGHTED, Select.STICKY}:
        problems.add(block.mark, path, "only select: weighted and select: sticky have weights")
    elif missing:
        problems.add(block.mark, path, f"no weight for {shown(missing[0])}", "0 keeps a backend as a stand-in")
    elif not any(weights.values()):
        problems.add(block.mark, path, "all weights are 0")
    return weights


def _scores(table: Table, backends: tuple[str, ...], select: Select, problems: Problems) -> dict[str, int]:
    path = (*table.path, "from_score")
    scores = {}
    for key, node in _by_backend(table, "from_score", backends, problems):
        word = read_scalar(node, (*path, key.text), _SCORE, problems)
        if word is not None:
            scores[key.text] = int(word.text)
    if select is not Select.COMPLEXITY:
        if scores:
            problems.add(table.mark, path, "only select: complexity has scores")
    elif not scores:
        problems.add(table.mark, path, "missing", "select: complexity needs the score from which on a backend is asked")
    elif not set(backends) - set(scores):
        problems.add(table.mark, path, "every backend has a score", "leave out the one that takes what is easy")
    return scores


def _lacks(table: Table, backends: tuple[str, ...], problems: Problems) -> dict[str, frozenset[str]]:
    found = {}
    for key, node in _by_backend(table, "lacks", backends, problems):
        path = (*table.path, "lacks", key.text)
        items = node.items if isinstance(node, Sequence) else (node,)
        words = [read_choice(item, (*path, f"[{at}]"), FEATURES, problems) for at, item in enumerate(items)]
        found[key.text] = frozenset(words)
    return found


def _context(table: Table, backends: tuple[str, ...], problems: Problems) -> dict[str, int]:
    found = {}
    for key, node in _by_backend(table, "context", backends, problems):
        word = read_scalar(node, (*table.path, "context", key.text), _TOKENS, problems)
        if word is not None:
            found[key.text] = int(word.text)
    return found


def _by_backend(
    table: Table, name: str, backends: tuple[str, ...], problems: Problems
) -> Iterator[tuple[Scalar, Node]]:
    block = table.table(name)
    for key, node in () if block is None else block.entries():
        if key.text not in backends:
            path = (*table.path, name, key.text)
            problems.add(key.mark, path, "not a backend of this pool", nearest(key.text, backends))
        yield key, node


def _retry_on(table: Table, problems: Problems) -> frozenset[str]:
    node = table.node("retry_on")
    if node is None:
        return frozenset(RETRY_ON)
    if isinstance(node, Sequence) and not node.items:
        return frozenset()
    words = table.words("retry_on", _ANY)
    for at, word in enumerate(words):
        if word.text not in RETRY_ON:
            path = (*table.path, "retry_on", f"[{at}]")
            problems.add(word.mark, path, f"unknown value {shown(word.text)}", nearest(word.text, RETRY_ON))
    return frozenset(word.text for word in words)


def _restrictions(
    table: Table, backends: tuple[str, ...], known: tuple[str, ...], rules: Collection[str], problems: Problems
) -> tuple[Restriction, ...]:
    """`known`: the backends of the pool, and its mirror's."""
    block = table.table("when_found")
    if block is None:
        return ()
    found = []
    for key, node in block.entries():
        path: Path = (*block.path, key.text)
        names = _names(key, node, path, known, problems)
        if names and names <= set(known).difference(backends):
            problems.add(key.mark, path, "names only the mirror, which answers nobody", "name a backend of this pool")
        one = Restriction(rule=key.text, backends=names)
        if key.text.count("*") > key.text.endswith(".*") or not any(map(one.covers, rules)):
            families = {f"{rule.partition('.')[0]}.*" for rule in rules}
            problems.add(key.mark, path, f"covers no rule of requests: {shown(key.text)}", nearest(key.text, families))
        found.append(one)
    return tuple(sorted(found, key=lambda each: each.rule))


def _names(key: Scalar, node: object, path: Path, backends: tuple[str, ...], problems: Problems) -> frozenset[str]:
    """The backends behind one rule. None at all would be a guard's `block`."""
    mark: Mark = key.mark
    items = node.items if isinstance(node, Sequence) else (node,) if isinstance(node, Scalar) else ()
    if not items or isinstance(node, Fields):
        problems.add(mark, path, "expected a list of backends of this pool")
    words = [read_scalar(item, (*path, f"[{at}]"), BACKEND_NAME, problems) for at, item in enumerate(items)]
    for at, word in enumerate(words):
        if word is not None and word.text not in backends:
            where = (*path, f"[{at}]")
            problems.add(
                word.mark, where, f"{shown(word.text)} is no backend of this pool", nearest(word.text, backends)
            )
    return frozenset(word.text for word in words if word is not None)
