"""The `topics` block of a tenant: what its requests may be about, by terms, by examples or by both. Judges no text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.files import list_names, read_text
from gateway.policy.model import Topic
from gateway.policy.problem import Mark, Problems, secret_at

DIRECTORY: Final = "topics"
#: Rule ids are `topic.<name>`.
FAMILY: Final = "topic"
#: The rule of texts that are about none of the allowed topics.
OTHER: Final = "other"
KINDS: Final = ("banned", "allowed")
MAX_TOPICS: Final = 32  # of one tenant: each costs 0.2 ms for a prompt of 200 words where it has examples
MAX_TERMS: Final = 2000  # of one tenant: each costs memory in every worker
MIN_EXAMPLES: Final = 8  # of fewer, one odd text would say what the topic is
MAX_EXAMPLES: Final = 500
MAX_EXAMPLE_CHARS: Final = 2000

_NAME: Final = shape(r"[a-z0-9][a-z0-9_-]{0,39}", "a name of up to 40 of a-z, 0-9, _ and -")
_FILE: Final = shape(r"topics/[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.txt", "a file such as topics/gambling.txt")
_TERM: Final = shape(r"[^\x00-\x1f\x7f]{2,100}", "a word or phrase of 2 to 100 characters")


def rules_of(topics: Mapping[str, Topic]) -> set[str]:
    """A rule for each topic that is banned, and one for what is about none of those that are allowed."""
    rules = {f"{FAMILY}.{name}" for name, topic in topics.items() if not topic.allowed}
    return rules | {f"{FAMILY}.{OTHER}"} if len(rules) < len(topics) else rules


class Shelf:
    """The files of `topics/`, each read once however many tenants name it."""

    def __init__(self, directory: Path, problems: Problems) -> None:
        self._directory = directory
        self._problems = problems
        self._read: dict[str, tuple[str, ...]] = {}
        self._unread = {f"{DIRECTORY}/{name}" for name in list_names(directory / DIRECTORY)}

    def bind(self, table: Table | None) -> Mapping[str, Topic]:
        """The block of one tenant."""
        if table is None:
            return {}
        found: dict[str, Topic] = {}
        for key, node in list(table.entries()):
            path = (*table.path, key.text)
            if not _NAME.pattern.match(key.text) or key.text == OTHER:
                self._problems.add(key.mark, path, f"expected {_NAME.expected}, not {OTHER!r}")
            found[key.text] = self._topic(key.text, Table(node, path, self._problems))
        if len(found) > MAX_TOPICS:
            self._problems.add(table.mark, table.path, f"{len(found)} topics, at most {MAX_TOPICS}")
        if sum(len(topic.terms) for topic in found.values()) > MAX_TERMS:
            self._problems.add(table.mark, table.path, f"more than {MAX_TERMS} terms")
        return found

    def close(self) -> None:
        """Report every file that no tenant names: somebody believes that it counts."""
        for name in sorted(self._unread):
            self._problems.add(Mark(name, 1, 1), (), "not read", "name it in `topics` of a tenant")

    def _topic(self, name: str, table: Table) -> Topic:
        kind = table.choice("kind", KINDS)
        terms = table.words("terms", _TERM, optional=True)
        file = table.scalar("examples", _FILE, optional=True)
        if not terms and table.node("examples") is None:
            self._problems.add(table.mark, table.path, "neither terms nor examples", "nothing would tell the topic")
        table.close()
        return Topic(
            name=name,
            allowed=kind == "allowed",
            terms=tuple(word.text for word in terms),
            examples=self._examples(file.text) if file else (),
        )

    def _examples(self, name: str) -> tuple[str, ...]:
        if name not in self._read:
            self._unread.discard(name)
            self._read[name] = self._load(name)
        return self._read[name]

    def _load(self, name: str) -> tuple[str, ...]:
        """One example a line; empty lines and lines that begin with # are none."""
        text = read_text(self._directory / name, name, self._problems)
        if text is None:
            return ()
        at = secret_at(text)
        if at >= 0:
            where = Mark(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
            self._problems.add(where, (), "holds what looks like a live key or secret", "remove and revoke it")
        examples: list[str] = []
        for number, line in enumerate(text.split("\n"), 1):
            example = line.strip()
            if not example or example.startswith("#"):
                continue
            if len(example) > MAX_EXAMPLE_CHARS:
                told = f"an example of more than {MAX_EXAMPLE_CHARS} characters"
                self._problems.add(Mark(name, number, 1), (), told, "a few sentences say what a topic is")
            examples.append(example)
        if not MIN_EXAMPLES <= len(examples) <= MAX_EXAMPLES:
            told = f"{len(examples)} examples, expected {MIN_EXAMPLES} to {MAX_EXAMPLES}"
            self._problems.add(Mark(name, 1, 1), (), told)
        return tuple(examples)
