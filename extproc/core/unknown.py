"""What answers hold of kinds that nobody here knows: whether policy lets it pass; judges its strings. Knows no dialect.

The rule `output.unknown` decides: it blocks unless a tenant's line by that very name says `flag` or `allow`. What then
passes in one piece (items, blocks, parts) is guarded as every tree is. An event may hold a piece of a text, and nobody
knows how long to hold it back; so each string is also judged together with those that came before at the same place,
and a finding that reaches over the seam ends the stream. Its beginning may have left by then.
"""

import re
from typing import Any, Final

from extproc.core.escape import decoded
from extproc.core.texts import is_binary, lay
from extproc.core.windows import Windowed, judge
from extproc.guardrails.guard import Guard, Tally
from gateway.errors import GatewayError, Kind
from gateway.policy.guard import UNKNOWN_ID
from gateway.policy.model import Action

#: How providers name kinds of events and blocks. Whatever else a name holds, such as the end of a line, would leave.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,95}")
#: Strings that come whole however often they come: joined, two ids would be a text that nobody reads.
_LABELS: Final = frozenset({"id", "model", "name", "object", "role", "status", "type"})
#: Fields that tell apart texts which arrive by turns.
_INDEX: Final = "index"
#: As many as the channels that a stream of known events may open.
_MAX_PLACES: Final = 1024

_Place = tuple[Any, ...]


class Unknown:
    """What one answer holds of unknown kinds."""

    def __init__(self, guard: Guard, tally: Tally) -> None:
        self.blocked: str | None = None
        self._guard = guard
        self._tally = tally
        self._met: set[_Place] = set()
        self._before: dict[_Place, str] = {}  # the end of what came at a place
        self._looks: dict[_Place, Windowed] = {}
        self._reach = guard.scanner.limit_chars + guard.scanner.before_chars

    def meet(self, what: str, kind: Any, place: _Place = ()) -> bool:
        """Count something of an unknown kind, once where it has a `place`; whether it may pass. Else `blocked` is set.

        Raises:
            GatewayError: the guard has no word on it, or its kind is not a name.
        """
        if type(kind) is not str or _NAME.fullmatch(kind) is None or not self._guard.runs(UNKNOWN_ID):
            raise _malformed(f"{what} of an unknown type")
        if not place or place not in self._met:
            if place and len(self._met) < _MAX_PLACES:
                self._met.add(place)
            self._tally.add(UNKNOWN_ID, f"{what} of type {kind}")
        if self._guard.done(UNKNOWN_ID) >= Action.REPLACE:
            self.blocked = self.blocked or UNKNOWN_ID
        return self.blocked is None

    def look(self, tree: dict[str, Any]) -> None:
        """Have the classifiers of answers judge what comes in one piece."""
        for _, text in _strings(tree):
            self.blocked = self.blocked or judge(text, self._guard, self._tally, source=False)

    def whole(self, tree: dict[str, Any]) -> None:
        """Guard what comes in one piece, in place."""
        self.look(tree)
        self._lay(tree)

    def event(self, kind: str, tree: dict[str, Any]) -> None:
        """Guard an event that may hold pieces of texts, in place."""
        apart = tuple([(key, value) for key, value in tree.items() if key.endswith(_INDEX) and type(value) is int])
        strings = list(_strings(tree))
        self._lay(tree)
        after = dict(_strings(tree))
        for place, text in strings:
            if self.blocked is None and text:
                self._joined((kind, apart, *place), text, after.get(place, ""))

    def finish(self) -> None:
        """No more comes: judge the last windows."""
        for look in self._looks.values():
            look.flush()
            self.blocked = self.blocked or look.blocked
        self._looks.clear()

    def _lay(self, tree: dict[str, Any]) -> None:
        laid = lay(tree, self._guard, self._tally)
        self.blocked = self.blocked or laid.blocked

    def _joined(self, place: _Place, text: str, laid: str) -> None:
        """Judge a string with what came before at its place. `laid`: what is left of it alone."""
        if place not in self._before and len(self._before) >= _MAX_PLACES:
            raise _malformed("too many texts of unknown types")
        before = self._before.get(place, "")
        whole = before + text
        self._before[place] = whole[-self._reach :] if self._reach else ""
        seam, scan = len(before), self._guard.scanner.scan
        # What stands in it alone was found and done already; what the words before it make of it was not.
        alone = {(each.rule, each.start + seam, each.end + seam) for each in scan(text)} if before else set()
        for finding in scan(whole):
            rule = finding.rule
            # What a tail would swallow comes with the next event, and nobody waits for it here.
            swallows = finding.end > seam and self._guard.scanner.rules[rule].tail is not None
            new = bool(before) and finding.end > seam and (rule, finding.start, finding.end) not in alone
            if (new or swallows) and self._guard.runs(rule):
                self._stop(rule, counted=not new)
        if "\\" in whole:
            told = decoded(before)
            for finding in self._guard.scanner.scan(decoded(before + laid)):
                if finding.end > len(told) and self._guard.runs(finding.rule):
                    self._stop(finding.rule, counted=False)
        if self._guard.lookout and self.blocked is None:
            look = self._looks.get(place)
            if look is None:
                look = self._looks[place] = Windowed(None, self._guard.lookout, self._tally)
            look.push(text)
            self.blocked = self.blocked or look.blocked

    def _stop(self, rule: str, *, counted: bool) -> None:
        guard = self._guard
        ends = guard.done(rule) >= Action.REPLACE or guard.replace(rule) is not None
        if not counted:
            self._tally.add(rule)
        if ends and self.blocked is None:
            self.blocked = rule


def _strings(tree: dict[str, Any]) -> list[tuple[_Place, str]]:
    """(place, text) of every string that may be a piece of one."""
    found: list[tuple[_Place, str]] = []
    stack: list[tuple[_Place, Any]] = [((), tree)]
    while stack:
        place, node = stack.pop()
        for key, value in node.items() if type(node) is dict else enumerate(node):
            kind = type(value)
            if kind is dict or kind is list:
                stack.append(((*place, key), value))
            elif kind is str and not (type(node) is dict and _is_label(str(key), value, node)):
                found.append(((*place, key), value))
    return found


def _is_label(key: str, value: str, holder: dict[str, Any]) -> bool:
    return key in _LABELS or key.endswith("_id") or is_binary(key, value, holder)


def _malformed(what: str) -> GatewayError:
    return GatewayError(
        Kind.BACKEND_ANSWER_INVALID,
        "The model's answer could not be understood and was withheld.",
        cause=what,
    )
