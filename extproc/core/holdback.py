"""Streamed text through a guard: text is released as soon as no rule can still match into it. Knows no wire format.

The streaming invariant: for every way of cutting the same text into pushes, the concatenated output, `blocked` and the
tally are the same as for the whole text. At most W characters wait between pushes, W = the longest `limit_chars` of
the enabled rules: 200 with every rule of this release. In prose it is the last word.

Overlapping findings that are replaced (MASK, HASH, REDACT) merge into one region, which is replaced once, at its start,
as its earliest finding asks (then the longest, then the first rule id). A finding with BLOCK ends the channel
right before its start.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from extproc.guardrails.finding import Finding
from extproc.guardrails.rule import Tail
from extproc.guardrails.width import narrow
from gateway.policy.model import Action

if TYPE_CHECKING:
    from extproc.core.restore import Restorer, Restoring
    from extproc.guardrails.guard import Guard, Tally
    from extproc.guardrails.placeholder import Replace

#: Copy buf[start:stop], then put the placeholder (which may be empty).
Piece = tuple[int, int, str]
#: Absolute spans [start, end) in rising order.
Spans = Sequence[tuple[int, int]]
#: Rules of this family leave a value alone that the caller sent and gets back.
_PERSONAL: Final = "pii."
_START: Final = itemgetter(0)


class Swallow:
    """One tail at work: how far it reaches, however the text behind the finding arrives."""

    __slots__ = ("_left", "_recent", "_tail", "at", "open")

    def __init__(self, tail: Tail, at: int) -> None:
        self._tail = tail
        self._left = tail.cap_chars
        self._recent = ""
        self.at = at  # absolute position behind the last swallowed character
        self.open = True

    def feed(self, text: str) -> None:
        """Go on with the characters at `at`; afterwards `at` has moved and `open` tells whether more may follow."""
        tail = self._tail
        size = len(text)
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
            self.open = self._left > 0
        text = narrow(text)
        rest = text.lstrip(tail.alphabet)
        taken = len(text) - len(rest)
        self.open = self.open and taken == size
        if tail.closes is not None:
            seen = self._recent + text[:taken]
            closing = tail.closes.search(seen)
            if closing is not None:
                taken = closing.end() - len(self._recent)
                self.open = False
            self._recent = seen[-tail.closes_chars :]
        self.at += taken


class HoldBack:
    """One channel: the text of one (choice, kind) of an answer, or one string of a request."""

    __slots__ = (
        "_base", "_before", "_buf", "_covered", "_exempt", "_guard", "_pos", "_region", "_restorer", "_swallows",
        "_tally", "blocked",
    )  # fmt: skip

    def __init__(
        self, guard: "Guard", tally: "Tally", *, tool: str | None = None, joined: bool = False, exempt: Spans = ()
    ) -> None:
        """`tool`: to whom the model says it, if not to its reader. `joined`: clients join it to the last such text.

        `exempt`: where values were put back, in a text that is judged whole.
        """
        self._exempt = list(exempt)
        restoring = guard.restoring
        self._restorer = None if restoring is None else self._restores(restoring, tool, joined=joined)
        self._guard = guard
        self._tally = tally
        self._before = guard.scanner.before_chars
        self._buf = ""  # left context that was released already, then what is undecided
        self._pos = 0  # index in _buf of the first undecided character
        self._base = 0  # absolute position of _buf[0]; the positions below are absolute
        self._region = 0  # behind the last character of the latest enforced region
        self._covered: dict[str, int] = {}  # rule -> behind the last character of its latest place
        self._swallows: dict[str, Swallow] = {}
        self.blocked: str | None = None

    @property
    def held(self) -> int:
        """Characters that were pushed and are not yet decided."""
        return len(self._buf) - self._pos + (0 if self._restorer is None else self._restorer.held)

    def retool(self, tool: str) -> None:
        """What follows is said to `tool`. Trust that a channel has lost does not come back."""
        restorer, restoring = self._restorer, self._guard.restoring
        if restorer is not None and restoring is not None and not restoring.trusts(tool):
            restorer.allowed = False

    def push(self, text: str) -> str:
        """Take more text; return what may be released now."""
        if self.blocked is not None:
            return ""
        if self._restorer is not None:
            text = self._restorer.push(text)
        buf = self._buf + text
        upto = self._guard.scanner.undecided_from(buf)
        pos = self._pos
        if upto <= pos:
            self._buf = buf
            return ""
        findings = self._guard.scanner.scan(buf)
        if findings or self._swallows or self._region > self._base + pos:
            return self._slow(buf, upto, findings)
        if upto > self._before:
            self._buf = buf[upto - self._before :]
            self._base += upto - self._before
            self._pos = self._before
        else:
            self._buf = buf
            self._pos = upto
        return buf[pos:upto]

    def flush(self) -> str:
        """The text is complete: decide and release the rest. Ends the channel."""
        if self.blocked is not None:
            return ""
        if self._restorer is not None:
            self._buf += self._restorer.flush()
        if self._pos == len(self._buf):
            return ""
        return self._slow(self._buf, len(self._buf), self._guard.scanner.scan(self._buf))

    def whole(self, text: str, findings: Sequence[Finding]) -> str:
        """`push(text) + flush()` of a fresh channel whose text was scanned already. Puts nothing back."""
        return self._slow(text, len(text), findings)

    def _slow(self, buf: str, upto: int, findings: Sequence[Finding]) -> str:
        released = "".join([buf[start:stop] + put for start, stop, put in self._judge(buf, upto, findings)])
        self._forget(buf, upto)
        return released

    def _forget(self, buf: str, upto: int) -> int:
        """Keep only the context that later findings may read; return how many characters went."""
        gone = len(buf) if self.blocked is not None else max(0, upto - self._before)
        self._buf = buf[gone:]
        self._base += gone
        self._pos = max(0, upto - gone)
        if self._exempt and self._exempt[0][1] <= self._base:
            self._exempt[:] = [span for span in self._exempt if span[1] > self._base]
        return gone

    def _judge(self, buf: str, upto: int, findings: Sequence[Finding]) -> list[Piece]:
        """Decide buf[_pos:upto]. Findings that start there are all known; later ones are left for later."""
        guard, base = self._guard, self._base
        pieces: list[Piece] = []
        cursor = self._pos
        opened: list[tuple[int, int, Replace]] = []  # a region that is replaced once its end is known
        decided = [f for f in findings if self._pos <= f.start < upto and guard.runs(f.rule)]
        if self._exempt:
            decided = [f for f in decided if not self._is_exempt(f, buf)]
        decided.sort(key=lambda f: (f.start, -guard.done(f.rule), -f.end, f.rule))
        for finding in decided:
            start, end, rule = finding.start, finding.end, finding.rule
            if self.blocked is not None:
                if base + start > self._region:
                    break
                self._count(rule, base + start, base + end)
                continue
            self._swallow(buf, start + 1)  # whether a tail takes the finding's first character decides on merging
            self._count(rule, base + start, base + end)
            action = guard.done(rule)
            if action >= Action.REPLACE:
                self._complete(opened, pieces, buf)
                pieces.append((max(cursor, min(self._region - base, start)), start, ""))
                self.blocked = rule
                self._region = base + start
            elif (replace := guard.replace(rule)) is not None:
                if base + start < self._region:
                    self._region = max(self._region, base + end)
                else:
                    self._complete(opened, pieces, buf)
                    if action is Action.TOKENISE and guard.aliases is not None:
                        opened.append((len(pieces), start, replace))
                    put = "" if opened else replace(buf[start:end])
                    pieces.append((max(cursor, self._region - base), start, put))
                    cursor = start
                    self._region = base + end
        if self.blocked is None:
            self._swallow(buf, upto)
            pieces.append((max(cursor, min(self._region - base, upto)), upto, ""))
            self._complete(opened, pieces, buf)
        return pieces

    def _complete(self, opened: "list[tuple[int, int, Replace]]", pieces: list[Piece], buf: str) -> None:
        """Replace the latest region by what stands for all of it: what comes back must be all that went.

        Only requests have such regions, and they are judged whole.
        """
        if opened:
            index, at, replace = opened.pop()
            start, stop, _ = pieces[index]
            pieces[index] = (start, stop, replace(buf[at : self._region - self._base]))

    def _is_exempt(self, finding: Finding, buf: str) -> bool:
        """Whether a finding of personal data is made of values that were put back, and of signs around them."""
        if not finding.rule.startswith(_PERSONAL):
            return False
        at = finding.start
        index = max(0, bisect_right(self._exempt, self._base + at, key=_START) - 1)
        while index < len(self._exempt) and self._exempt[index][0] < self._base + finding.end:
            start, end = self._exempt[index]
            if any(map(str.isalnum, buf[at : max(at, start - self._base)])):
                return False
            at = max(at, end - self._base)
            index += 1
        return not any(map(str.isalnum, buf[at : finding.end]))

    def _restores(self, restoring: "Restoring", tool: str | None, *, joined: bool) -> "Restorer":
        return restoring.text(self._exempt, tool, joined=joined)

    def _count(self, rule: str, start: int, end: int) -> None:
        """Tally a finding unless it lies in a place that its rule has claimed already; start its tail."""
        if start >= self._covered.get(rule, -1):
            self._tally.add(rule)
        self._covered[rule] = max(self._covered.get(rule, -1), end)
        tail = self._guard.scanner.rules[rule].tail
        if tail is not None:
            self._swallows[rule] = Swallow(tail, end)

    def _swallow(self, buf: str, upto: int) -> None:
        """Let every open tail take what it can of the text before `upto`."""
        for rule, swallow in list(self._swallows.items()):
            if swallow.at - self._base >= upto:
                continue
            swallow.feed(buf[swallow.at - self._base : upto])
            self._covered[rule] = max(self._covered[rule], swallow.at)
            if self._guard.replace(rule) is not None:
                self._region = max(self._region, swallow.at)
            if not swallow.open:
                del self._swallows[rule]
