"""What a detector is. Pure data and a pure function, so that one detector serves whole and streamed text alike.

The streaming invariant rests on *locality*. Take a start s, and the run of a shape's `alphabet` that begins there,
cut after its `limit_chars`: what a rule reports at s may depend only on the characters from `s - before_chars` to the
end of that run, and on the one character behind it. A rule that keeps to this gives the same findings however the text
was cut, as long as nothing is released from which such a run may still grow. Of several spans that one rule reports
at one start, the longest counts.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: (text, trigger_end) -> spans. `trigger_end` is the character index just behind a trigger match. Must be linear in
#: `limit_chars`, must tolerate being called twice for the same span, and must not look further than the rule says.
Find = Callable[[str, int], Iterable[tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """How a finding goes on past its span, for secrets that are longer than any sensible window.

    Everything behind the span is swallowed as it arrives, without being held: up to and including a match of
    `closes`, up to a character outside `alphabet`, or up to `cap_chars`. Only the last few characters are remembered.
    """

    alphabet: str  # every character that the tail may contain
    cap_chars: int | None = None  # None: a run of token characters has no other natural end
    closes: re.Pattern[str] | None = None  # must have one possible end for each start, or chunking would show
    closes_chars: int = 0  # longest match of `closes`


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way in which an entity is written, as far as it tells where an unfinished one may stand."""

    limit_chars: int  # longest span of this shape, and longest run that is read to judge it
    alphabet: str  # every character that a span, or what is read to judge it, may contain; never a quote or control
    opens: str  # every character that a span may start with
    #: Matches at every place where a span may start, also where the text ends before that can be told (`\\Z`). Only
    #: sharpens `opens`: fewer characters are held. May look behind, at most the rule's `before_chars`.
    opening: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entity that can be found in text."""

    id: str  # stable: appears in policy, audit, metrics and docs
    placeholder: str  # what replaces a redacted span; only [A-Z_\\[\\]] so that it is safe inside JSON and URLs
    #: Hyperscan expressions over UTF-8 bytes, each ending in an ASCII character. Every finding [s, e) has a match
    #: inside [s - before_chars, e + 1). Repeats are bounded and anchored so that hostile text cannot fire each byte.
    triggers: tuple[bytes, ...]
    find: Find
    before_chars: int  # left context that it reads beyond the span, at least 1
    shapes: tuple[Shape, ...]  # every finding has one of them
    tail: Tail | None = None

    @property
    def limit_chars(self) -> int:
        """Longest span that it reports."""
        return max((shape.limit_chars for shape in self.shapes), default=0)
