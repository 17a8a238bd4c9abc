"""Whether an answer has the form that its request, or its tenant's policy, asks for: judged turn by turn, in the end.

What is judged is what the client gets: behind every other rule, with values put back. Texts are in nobody's hands for
longer than their turn lasts.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from extproc.guardrails.contracts import Contracts, opened
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.promised import SHELF, Promised, Shelf
from extproc.providers.calls import Named
from extproc.providers.turns import KEPT_CHARS, Turn
from gateway.audit.record import Found
from gateway.policy.model import Action

RULE_ID: Final = "output.schema"
#: What the record says of an answer that was not compared with every schema that its request brought along.
UNCHECKED: Final = Found(rule="output.unchecked", direction="response", count=1, action="allow", would="allow")


class Form:
    """The judge of one answer."""

    def __init__(
        self, promised: Promised, contracts: Contracts, guard: Guard, tally: Tally, shelf: Shelf = SHELF
    ) -> None:
        self.unchecked = False  # whether some schema of the caller was not looked at
        self._promised = promised
        self._contracts = contracts
        self._guard = guard
        self._tally = tally
        self._shelf = shelf

    def judge_all(self, turns: Iterable[Turn]) -> str | None:
        """As `judge`, for each of some turns."""
        stops = [self.judge(turn) for turn in turns]
        return next((rule for rule in stops if rule is not None), None)

    def judge(self, turn: Turn) -> str | None:
        """Tally the rules that a turn breaks; the first that ends the answer."""
        stops = None
        for rule in self._broken(turn):
            self._tally.add(rule)
            if stops is None and self._guard.done(rule) >= Action.REPLACE:
                stops = rule
        return stops

    def _broken(self, turn: Turn) -> Iterator[str]:
        lost = turn.lost or _chars(turn) > KEPT_CHARS
        if lost:
            self.unchecked |= bool(self._promised)
            # Whoever would have a call pass unjudged needs only make it long.
            for call in turn.calls:
                yield from filter(self._guard.runs, self._contracts.judging(call.tool))
            return
        for call in turn.calls:
            yield from self._by_tenant(call, early=turn.early)
        if not self._promised or turn.early:
            return
        for call in turn.calls:
            if call.tool in self._promised.tools and self._differs(self._promised.tools[call.tool], call.value):
                yield RULE_ID
        if (
            turn.text is not None
            and self._promised.asks_text
            and (not turn.text.strip() or self._differs(self._promised.text, turn.text))
        ):
            yield RULE_ID

    def _by_tenant(self, call: Named, *, early: bool) -> Iterator[str]:
        if early and type(call.value) is str and not opened(call.value)[1]:
            return  # cut in the middle: nobody can carry it out
        for found in self._contracts.arguments(call.tool, call.value, call.path):
            if self._guard.runs(found.rule):
                yield found.rule

    def _differs(self, source: bytes | None, value: Any) -> bool:
        readable = True
        chars = _length(value)
        if type(value) is str:
            value, readable = opened(value)
        breaks = self._shelf.breaks(source, value, chars) if readable else True
        self.unchecked |= breaks is None
        return bool(breaks)


def form_of(promised: Promised, contracts: Contracts, guard: Guard, tally: Tally) -> Form | None:
    """The judge of an answer, or None where there is nothing to judge it by."""
    rules = any(map(guard.runs, contracts.argument_rules))
    wanted = promised if guard.runs(RULE_ID) else Promised()
    return Form(wanted, contracts, guard, tally) if rules or wanted else None


def _chars(turn: Turn) -> int:
    return len(turn.text or "") + sum(_length(call.value) for call in turn.calls)


def _length(value: Any) -> int:
    return len(value) if type(value) is str else len(orjson.dumps(value))
