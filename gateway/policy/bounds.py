"""The `requests` block of a tenant: what its requests may ask for. Reads no file."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.model import Bounds
from gateway.policy.pattern import PatternError, read_pattern
from gateway.policy.problem import Problems
from gateway.policy.tree import Sequence

MODALITIES: Final = ("text", "image", "audio", "file")
#: Of answers, as chat completions names them.
FORMATS: Final = ("text", "json_object", "json_schema")
_WORD: Final = shape(r"[a-z_]{1,16}", "a word of small letters")
_TOOL: Final = shape(r"[A-Za-z0-9_.:-]{1,64}\*?|\*", "a tool's name, which may end in *")
_PROMPT: Final = shape(r"(?s:.{1,4000})", "the beginning of a system prompt, up to 4,000 characters")
_NAME: Final = shape(r"[a-z0-9][a-z0-9_-]{0,39}", "a name of up to 40 of a-z, 0-9, _ and -")
_TERM: Final = shape(r"[^\x00-\x1f\x7f]{2,100}", "a word or phrase of 2 to 100 characters")
_MOST_TOKENS: Final = 10_000_000  # beyond any model's
_LEAST_LETTERS: Final = 2
_MOST_CHARS: Final = 100_000_000  # beyond any answer
_MOST_TERMS: Final = 2000  # each costs memory in every worker
_MOST_PATTERNS: Final = 64  # and each of these an automaton
_ANY_TEXT: Final = shape(r"(?s:.{1,1000})", "a regular expression")


#: Finds fault with a pattern, or None.
CompilePattern = Callable[[str], str | None]


def read_bounds(table: Table | None, problems: Problems, compiled: CompilePattern | None = None) -> Bounds:
    """What the block says; no block bounds nothing. `compiled` finds fault with a pattern that is well written."""
    if table is None:
        return Bounds()
    tools = _set(table, "tools")
    modalities = _some_of(table, "modalities", MODALITIES, problems)
    formats = _some_of(table, "output_formats", FORMATS, problems)
    if formats is not None and not formats:
        problems.add(table.mark, (*table.path, "output_formats"), "no answer has none of them", "name one")
    banned = _banned(table.table("banned"), problems)
    read = Bounds(
        tools=tools,
        modalities=modalities,
        formats=formats,
        max_tokens=table.integer("max_tokens", 1, _MOST_TOKENS, default=0) or None,
        system_prompt=table.text("system_prompt", _PROMPT, default=""),
        banned=MappingProxyType(banned),
        patterns=_patterns(table.table("patterns"), banned, problems, compiled),
    )
    table.close()
    return read


@dataclass(frozen=True, slots=True)
class Answers:
    """The `answers` block: words and patterns, whose use is `banned.<name>`, and the bound of `output.length`."""

    banned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patterns: Mapping[str, str] | None = None
    max_chars: int | None = None

    @property
    def rules(self) -> frozenset[str]:
        """What the lists and patterns are called in policy."""
        return frozenset(f"banned.{name}" for name in (*self.banned, *(self.patterns or ())))


def read_answers(table: Table | None, problems: Problems, compiled: CompilePattern | None = None) -> Answers:
    """What the block says; no block bans nothing. `compiled` finds fault with a pattern that is well written."""
    if table is None:
        return Answers()
    most = table.integer("max_chars", 1, _MOST_CHARS, default=0) or None
    listed = table.table("banned")
    banned = _banned(listed, problems)
    for name, terms in banned.items():
        for at, term in enumerate(terms):
            if listed is not None and sum(map(str.isalnum, term)) < _LEAST_LETTERS:
                path = (*listed.path, name, f"[{at}]")
                problems.add(
                    listed.mark, path, "fewer than two letters or digits", "nothing else of a term is compared"
                )
    patterns = _patterns(table.table("patterns"), banned, problems, compiled)
    table.close()
    return Answers(MappingProxyType(banned), patterns, most)


def _patterns(
    table: Table | None, taken: Collection[str], problems: Problems, compiled: CompilePattern | None
) -> Mapping[str, str] | None:
    if table is None:
        return None
    found: dict[str, str] = {}
    for key, _ in list(table.entries()):
        path = (*table.path, key.text)
        if not _NAME.pattern.match(key.text):
            problems.add(key.mark, path, f"expected {_NAME.expected}")
        if key.text in taken:
            problems.add(key.mark, path, "a list of words has this name too")
        source = table.text(key.text, _ANY_TEXT)
        try:
            read_pattern(source)
            wrong = None if compiled is None else compiled(source)
        except PatternError as error:
            wrong = str(error)
        if wrong is not None:
            problems.add(key.mark, path, f"not a pattern: {wrong}")
        found[key.text] = source
    if len(found) > _MOST_PATTERNS:
        problems.add(table.mark, table.path, f"more than {_MOST_PATTERNS} patterns")
    return MappingProxyType(found)


def _some_of(table: Table, name: str, known: tuple[str, ...], problems: Problems) -> frozenset[str] | None:
    """A list of known words, or None where there is none."""
    if table.node(name) is None:
        return None
    listed = table.words(name, _WORD, optional=True)
    for at, word in enumerate(listed):
        if word.text not in known:
            path = (*table.path, name, f"[{at}]")
            problems.add(word.mark, path, f"unknown value {word.text}", f"known: {', '.join(known)}")
    return frozenset(word.text for word in listed)


def _set(table: Table, name: str) -> frozenset[str] | None:
    """A list, or None where there is none: an empty list allows nothing."""
    node = table.node(name)
    if node is None:
        return None
    if isinstance(node, Sequence) and not node.items:
        return frozenset()
    return frozenset(word.text for word in table.words(name, _TOOL, optional=True))


def _banned(table: Table | None, problems: Problems) -> dict[str, tuple[str, ...]]:
    if table is None:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for key, _ in list(table.entries()):
        if not _NAME.pattern.match(key.text):
            problems.add(key.mark, (*table.path, key.text), f"expected {_NAME.expected}")
        found[key.text] = tuple(word.text for word in table.words(key.text, _TERM))
    if sum(map(len, found.values())) > _MOST_TERMS:
        problems.add(table.mark, table.path, f"more than {_MOST_TERMS} terms")
    return found
