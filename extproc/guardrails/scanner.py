"""All enabled rules over one text in one pass. Finds and says what is still open; decides nothing, releases nothing.

Hyperscan in block mode is the gate: it looks for every rule's triggers at once, and only where one fires does Python
look closer. No start-of-match flag (it makes the automata too large): a trigger reports its end, the rule the span.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial
from typing import Final

import hyperscan

from extproc.detectors.banned import Banned
from extproc.detectors.leak import Canary
from extproc.detectors.patterns import Patterns
from extproc.guardrails.finding import Finding
from extproc.guardrails.rule import Find, Rule, Shape
from extproc.guardrails.width import narrow
from gateway.errors import GatewayError, Kind

#: Compiled scanners kept by a pool. Each is about 1 MiB; tenants share few distinct rule sets.
POOL_SCANNERS: Final = 64
#: Places of one text that are looked at closely, 5 to 20 microseconds each: more would stop a worker for a second.
HITS_MAX: Final = 50_000

_BY_START: Final[Callable[[Finding], tuple[int, int, str]]] = lambda f: (f.start, -f.end, f.rule)  # noqa: E731 - a key
_BY_WIDTH: Final[Callable[[Shape], tuple[int, int]]] = lambda s: (s.limit_chars, len(s.alphabet))  # noqa: E731 - a key
_Walk = Callable[..., re.Match[str]]  # from a place on, over characters of one kind
_Search = Callable[[str, int], re.Match[str] | None]
#: Shapes of the same run of characters: the run, read from the end of the text; most characters; of each shape what
#: of the run begins no match, and the beginning that has to be there.
_Group = tuple[_Walk, int, tuple[tuple[_Walk | None, _Search | None], ...]]


class Scanner:
    """A fixed set of rules, compiled. Not for concurrent threads: Hyperscan's scratch space belongs to one scan."""

    def __init__(self, rules: Sequence[Rule], like: "Scanner | None" = None) -> None:
        """`like`: a scanner of the same rules but for what finds them; what it compiled is shared."""
        self._rules: Final = tuple(rules)
        self._owners: Final = [rule for rule in rules for _ in rule.triggers]
        self._hits: list[tuple[int, int]] = []
        self.looked_at = 0  # places, ever: what a caller that scans many texts bounds its work by
        self._shapes: Final[list[Shape]] = _shapes(self._rules) if like is None else like._shapes  # noqa: SLF001 - one of its own kind
        #: By the text's last character, made where it is met first: there are as many as alphabets have letters.
        self._groups: Final[dict[str, tuple[_Group, ...]]] = {} if like is None else like._groups  # noqa: SLF001
        self._ends: Final = frozenset("".join(shape.alphabet for rule in rules for shape in rule.shapes))
        self.rules: Final = {rule.id: rule for rule in rules}
        self.before_chars: Final = max((rule.before_chars for rule in rules), default=0)
        self.limit_chars: Final = max((rule.limit_chars for rule in rules), default=0)
        self._database: Final[hyperscan.Database | None] = _compile(self._rules) if like is None else like._database  # noqa: SLF001
        self._watches: tuple[Canary | Banned | Patterns, ...] = ()  # what no trigger tells
        self._match: Final = _nothing if self._database is None else _scan(self._database)

    def finding_by(self, finds: Mapping[str, Find]) -> "Scanner":
        """This scanner with rules that find in another way, as a tenant's own lists have it."""
        rules = [replace(rule, find=finds[rule.id]) if rule.id in finds else rule for rule in self._rules]
        return Scanner(rules, like=self)

    def banning(self, *lists: Banned | Patterns) -> "Scanner":
        """This scanner with the rules of a tenant's lists and patterns."""
        banned = Scanner((*self._rules, *(rule for each in lists for rule in each.rules)), like=self)
        banned._watches = lists
        return banned

    def watching(self, canary: Canary) -> "Scanner":
        """This scanner for one exchange, whose system prompt `canary` knows."""
        bound = copy(self)
        bound._watches = (*self._watches, canary)  # noqa: SLF001 - one of its own kind
        bound._hits = []  # noqa: SLF001
        return bound

    def scan(self, text: str) -> Sequence[Finding]:
        """Every finding in `text` as if it were complete, sorted by (start, longest first, rule)."""
        if self._hits:  # an earlier scan failed half-way; its hits belong to another text
            self._hits.clear()
        low = narrow(text)
        data = low.encode("utf-8", "surrogatepass")  # a lone surrogate must not stop the guard
        self._match(data, self._on_hit)
        found: Sequence[Finding] = self._judge(low, data) if self._hits else ()
        for watch in self._watches:
            also = watch.scan(text, HITS_MAX)
            self.looked_at += len(also)
            if len(also) > HITS_MAX:
                raise too_many_places()
            found = sorted((*found, *also), key=_BY_START) if also else found
        return found

    def undecided_from(self, text: str) -> int:
        """First index from which a match may still begin or grow if more text follows; len(text) when nothing can.

        Sound because a span that the end of the text leaves open consists of alphabet characters up to that end.
        """
        size = first = len(text)
        if not size:
            return size
        for watch in self._watches:
            first = min(first, watch.undecided_from(text))
        text = narrow(text)
        if text[-1] not in self._ends:
            return first
        last = text[-1]
        groups = self._groups.get(last)
        if groups is None:
            groups = self._groups[last] = _groups(self._shapes, last)
        back = text[: -self.limit_chars - 1 : -1]
        for run, limit, alike in groups:
            begun = size - run(back, 0, limit).end()
            if begun >= first:
                continue
            for skip, opening in alike:
                start = begun if skip is None else skip(text, begun).end()
                if start >= first:
                    continue
                if opening is not None:
                    found = opening(text, start)
                    if found is None:
                        continue
                    start = found.start()
                first = min(first, start)
        return first

    def _on_hit(self, expression: int, _start: int, end: int, _flags: int, _context: object) -> None:
        self._hits.append((end, expression))

    def _judge(self, text: str, data: bytes) -> list[Finding]:
        hits, self._hits = self._hits, []
        self.looked_at += len(hits)
        if len(hits) > HITS_MAX:
            raise too_many_places()
        if len(data) != len(text):
            hits = _in_characters(hits, data)
        longest: dict[tuple[str, int], int] = {}
        for end, expression in hits:
            rule = self._owners[expression]
            for start, stop in rule.find(text, end):
                key = rule.id, start
                if longest.get(key, 0) < stop:
                    longest[key] = stop
        return sorted((Finding(rule, start, stop) for (rule, start), stop in longest.items()), key=_BY_START)


def too_many_places() -> GatewayError:
    """The refusal of text that would take too long to look at."""
    return GatewayError(
        Kind.JSON_TOO_COMPLEX,
        f"The text has more than {HITS_MAX} places that may be personal data or keys. Split it.",
    )


class ScannerPool:
    """Scanners for subsets of one catalogue, compiled once per subset: compiling takes tens of milliseconds."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules: Final = tuple(rules)
        self._scanners: dict[frozenset[str], Scanner] = {}

    def scanner(self, rule_ids: Iterable[str]) -> Scanner:
        """The scanner for exactly these rules. An unknown id is a fault of the policy loader and raises KeyError."""
        wanted = frozenset(rule_ids)
        scanner = self._scanners.pop(wanted, None)
        if scanner is None:
            unknown = wanted - {rule.id for rule in self._rules}
            if unknown:
                raise KeyError(min(unknown))
            scanner = Scanner([rule for rule in self._rules if rule.id in wanted])
        self._scanners[wanted] = scanner  # last in the dict = most recently used
        if len(self._scanners) > POOL_SCANNERS:
            del self._scanners[next(iter(self._scanners))]
        return scanner


def _compile(rules: Sequence[Rule]) -> hyperscan.Database | None:
    expressions = tuple(trigger for rule in rules for trigger in rule.triggers)
    return _compiled(expressions) if expressions else None


@lru_cache(POOL_SCANNERS)
def _compiled(expressions: tuple[bytes, ...]) -> hyperscan.Database:
    """Once a process: a policy that is loaded again has mostly the rules that it had. Never changed afterwards."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=list(expressions), ids=list(range(len(expressions))), flags=0)
    return database


def _scan(database: hyperscan.Database) -> Callable[[bytes, Callable[..., None]], object]:
    """Its scan with a scratch space of its own: scanners share a database, maybe in different threads."""
    return partial(database.scan, scratch=hyperscan.Scratch(database))


def _nothing(_data: bytes, _handler: object) -> None:
    """What a scanner without rules finds."""


def _in_characters(hits: list[tuple[int, int]], data: bytes) -> list[tuple[int, int]]:
    """Byte offsets to character offsets in one pass; triggers end in ASCII, so no cut falls inside a character."""
    mapped = []
    done_bytes = done_chars = 0
    for end, expression in sorted(hits):
        done_chars += len(data[done_bytes:end].decode("utf-8", "surrogatepass"))
        done_bytes = end
        mapped.append((done_chars, expression))
    return mapped


def _shapes(rules: Sequence[Rule]) -> list[Shape]:
    """What can leave rules open, widest first; a shape that another one always covers is dropped."""
    shapes = {shape for rule in rules for shape in rule.shapes}
    kept: list[Shape] = []
    for shape in sorted(shapes, key=_BY_WIDTH, reverse=True):
        if not any(_covers(wide, shape) for wide in kept):
            kept.append(shape)
    return kept


def _groups(shapes: Iterable[Shape], last: str) -> tuple[_Group, ...]:
    """What the last character may be part of, widest first. The run of shapes with the same alphabet is read once."""
    alike: dict[tuple[str, int], list[Shape]] = {}
    for shape in shapes:
        if last in shape.alphabet:
            alike.setdefault((shape.alphabet, shape.limit_chars), []).append(shape)
    return tuple([(_walk(alphabet), limit, tuple(map(_begins, each))) for (alphabet, limit), each in alike.items()])


def _begins(shape: Shape) -> tuple[_Walk | None, _Search | None]:
    skips = set(shape.alphabet) - set(shape.opens)
    return _walk(skips) if skips else None, shape.opening.search if shape.opening else None


def _walk(characters: Iterable[str]) -> _Walk:
    """Charsets of expressions are tables; `str.strip` looks each character up in a list of up to 78."""
    return re.compile(f"[{''.join(map(re.escape, sorted(characters)))}]*").match  # type: ignore[return-value]


def _covers(wide: Shape, shape: Shape) -> bool:
    """Whether `wide`, which is no shorter, leaves open whatever `shape` does."""
    same = wide.opening is None or wide.opening is shape.opening
    return same and set(shape.alphabet) <= set(wide.alphabet) and set(shape.opens) <= set(wide.opens)
