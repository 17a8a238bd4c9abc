"""The `requests` block of a tenant: what its requests may ask for. Reads no file."""

from types import MappingProxyType
from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.model import Bounds
from gateway.policy.problem import Problems
from gateway.policy.tree import Sequence

MODALITIES: Final = ("text", "image", "audio", "file")
_TOOL: Final = shape(r"[A-Za-z0-9_.:-]{1,64}\*?|\*", "a tool's name, which may end in *")
_PROMPT: Final = shape(r"(?s:.{1,4000})", "the beginning of a system prompt, up to 4,000 characters")
_NAME: Final = shape(r"[a-z0-9][a-z0-9_-]{0,39}", "a name of up to 40 of a-z, 0-9, _ and -")
_TERM: Final = shape(r"[^\x00-\x1f\x7f]{2,100}", "a word or phrase of 2 to 100 characters")
_MOST_TOKENS: Final = 10_000_000  # beyond any model's
_LEAST_LETTERS: Final = 2
_MOST_CHARS: Final = 100_000_000  # beyond any answer
_MOST_TERMS: Final = 2000  # each costs memory in every worker


def read_bounds(table: Table | None, problems: Problems) -> Bounds:
    """What the block says; no block bounds nothing."""
    if table is None:
        return Bounds()
    tools = _set(table, "tools")
    modalities = None
    if table.node("modalities") is not None:
        listed = table.words("modalities", shape(r"[a-z]{1,16}", "a modality"), optional=True)
        for at, word in enumerate(listed):
            if word.text not in MODALITIES:
                path = (*table.path, "modalities", f"[{at}]")
                problems.add(word.mark, path, f"unknown modality {word.text}", f"known: {', '.join(MODALITIES)}")
        modalities = frozenset(word.text for word in listed)
    read = Bounds(
        tools=tools,
        modalities=modalities,
        max_tokens=table.integer("max_tokens", 1, _MOST_TOKENS, default=0) or None,
        system_prompt=table.text("system_prompt", _PROMPT, default=""),
        banned=MappingProxyType(_banned(table.table("banned"), problems)),
    )
    table.close()
    return read


def read_answers(table: Table | None, problems: Problems) -> tuple[dict[str, tuple[str, ...]], int | None]:
    """The `answers` block: lists of words, whose use is `banned.<name>`, and `max_chars` of `output.length`."""
    if table is None:
        return {}, None
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
    table.close()
    return banned, most


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
