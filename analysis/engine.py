"""What an engine is to the rest of the process: texts in, findings out. Declares, does nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from gateway import similar
from gateway.advice import Advised, Text


@dataclass(frozen=True, slots=True)
class Item:
    """The texts of one question, and when its asker stops waiting (monotonic seconds)."""

    texts: tuple[Text, ...]
    due_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an engine found in an item. `partial` numbers texts that it did not look at to their end."""

    findings: tuple[Advised, ...] = ()
    partial: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked(Item):
    """What is asked of the index of questions. Has no texts of an adviser's question."""

    question: similar.Question = field(kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Told(Verdict):
    """What that index says."""

    near: similar.Near = field(kw_only=True)


class Engine(Protocol):
    """Judges items. Called on one thread only, which may take its time; looks at `due_s` where it takes long."""

    name: ClassVar[str]  # its part of the path

    def judge(self, items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
        """The number of each item with its verdict, each once, as soon as it is known, in any order."""
        ...
