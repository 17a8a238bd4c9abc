"""Whom exchanges ask: advisers, budgets and the cache, behind one interface; and mirrors. Knows no exchange."""

from typing import Protocol

from extproc.core.questions import Advise, Failed, Look, Question, Reserve, Told
from extproc.mirror import Mirrors
from extproc.shelf import Shelf
from gateway.budgets.model import Budgets


class Adviser(Protocol):
    """Whoever carries questions about texts: `extproc.advisers.Advisers`."""

    async def ask(self, question: Advise) -> Told:
        """The reply, or `Failed`. Raises nothing."""
        ...


class Oracle:
    """Answers every question. What is not there, nobody answers."""

    def __init__(
        self,
        advisers: Adviser | None = None,
        budgets: Budgets | None = None,
        shelf: Shelf | None = None,
        mirrors: Mirrors | None = None,
    ) -> None:
        self._advisers = advisers
        self.budgets = budgets
        self.shelf = shelf
        self.mirrors = mirrors

    def at_once(self, question: Question) -> Told | None:
        """The reply, if it needs no waiting."""
        if isinstance(question, Reserve):
            return Failed("no ledger") if self.budgets is None else self.budgets.take(question.ask)
        if isinstance(question, Look):
            return Failed("no cache") if self.shelf is None else None
        return Failed("nobody to ask") if self._advisers is None else None

    async def ask(self, question: Question) -> Told:
        """The reply, or `Failed` when there is none within the question's deadline."""
        if isinstance(question, Reserve):
            return Failed("no ledger") if self.budgets is None else await self.budgets.reserve(question.ask)
        if isinstance(question, Look):
            return Failed("no cache") if self.shelf is None else await self.shelf.ask(question)
        return Failed("nobody to ask") if self._advisers is None else await self._advisers.ask(question)
