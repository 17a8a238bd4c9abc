"""What a detector is. Pure data and a pure function, so that one detector serves whole and streamed text alike.

The streaming invariant rests on *locality*: whether [start, end) is a finding may depend only on the characters from
`start - before_chars` to `end + 1`, and `end - start` never exceeds `limit_chars`. A rule that keeps to this gives the
same findings however the text was cut, as long as nothing is released from which a match could still grow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: (text, trigger_end) -> spans. `trigger_end` is the character index just behind a trigger match. Must be linear in
#: `limit_chars`, must tolerate being called twice for the same span, and must not look further than the rule says.
Find = Callable[[str, int], Iterable[tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entity that can be found in text."""

    id: str  # stable: appears in policy, audit, metrics and docs
    placeholder: str  # what replaces a redacted span; only [A-Z_\\[\\]] so that it is safe inside JSON and URLs
    triggers: tuple[bytes, ...]  # Hyperscan expressions over UTF-8; every finding contains at least one match
    find: Find
    limit_chars: int  # longest span that it reports
    before_chars: int  # left context that it reads beyond the span
    alphabet: str  # every character that a span may contain (ASCII)
    opens: str  # every character that a span may start with (ASCII)
