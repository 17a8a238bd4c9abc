"""Text of an answer before classifiers, a window at a time, then before rules of spans. Knows no wire format.

The streaming invariant holds as for `HoldBack`: windows are cut by characters of the text, never by its pieces, and
what the rules of spans get is cut by windows where a verdict may end the answer.

A window ends after every 128 characters and where the text ends, and reaches back over 384, so each character is judged
with what stands on both sides of it. Where a rule may end the answer, text leaves when a window that reaches 128
characters further was judged: at most 255 characters wait for more text, none of them behind the end of the text. Where
rules only count, nothing waits.
"""

from typing import TYPE_CHECKING, Any, Final

import orjson

from extproc.core.escape import QUOTE, EscapedHoldBack, Source
from extproc.core.holdback import HoldBack
from extproc.guardrails.guard import Guard, Tally

if TYPE_CHECKING:
    from extproc.guardrails.lookout import Lookout

#: About 65 words: the detectors weigh windows of 24 and 48 words.
WINDOW_CHARS: Final = 384
#: Three windows see each character. Closer ones find hardly more, and cost more.
STEP_CHARS: Final = 128
#: Nothing leaves before what follows it for this many characters, less those of one step, was judged with it.
HELD_CHARS: Final = 256
#: A window begins and ends between words, where there is white space so near: half a word may be another word.
_EDGE_CHARS: Final = 64


class Windowed:
    """One channel of an answer: see `HoldBack`, which it stands before."""

    __slots__ = (
        "_base", "_buf", "_firing", "_handed", "_inner", "_lookout", "_next", "_source", "_tally", "blocked",
    )  # fmt: skip

    def __init__(self, inner: HoldBack | None, lookout: "Lookout", tally: Tally, *, source: bool = False) -> None:
        """`inner`: where text goes on to, if anywhere. `source`: the text is JSON source, which is judged decoded."""
        self._inner = inner
        self._lookout = lookout
        self._tally = tally
        self._source = Source() if source else None
        self._buf = ""  # what the next window reads, which may have gone on already
        self._base = 0  # absolute position of _buf[0]; the positions below are absolute
        self._next = STEP_CHARS  # where the next window ends
        self._handed = 0  # behind the last character that went on
        self._firing: tuple[str, ...] = ()  # rules of the latest window
        self.blocked: str | None = None

    @property
    def held(self) -> int:
        """Characters that were pushed and are not yet decided."""
        if self.blocked is not None:
            return 0
        return self._base + len(self._buf) - self._handed + (0 if self._inner is None else self._inner.held)

    def retool(self, tool: str) -> None:
        """See `HoldBack.retool`."""
        if self._inner is not None:
            self._inner.retool(tool)

    def push(self, text: str) -> str:
        """Take more text; return what may be released now."""
        if self.blocked is not None:
            return ""
        source, inner = self._source, self._inner
        if source is None and inner is not None and not self._lookout.holds:
            size = self._handed + len(text)
            if size < self._next:  # nothing waits and no window ends
                self._buf += text
                self._handed = size
                released = inner.push(text)
                self.blocked = inner.blocked
                return released
        self._buf += text if source is None else source.decode(text, len(self._buf), last=False)
        return self._take()

    def flush(self) -> str:
        """The text is complete: decide and release the rest. Ends the channel."""
        if self.blocked is not None:
            return ""
        if self._source is not None:
            self._buf += self._source.decode("", len(self._buf), last=True)
        released = self._take()
        size = self._base + len(self._buf)
        if self.blocked is None:
            self._judge(size, ends=True)
        if self.blocked is not None or self._inner is None:
            return released
        released += self._hand(size)
        if self.blocked is None:
            released += self._inner.flush()
            self.blocked = self._inner.blocked
        return released

    def _take(self) -> str:
        """Judge every window that is complete."""
        released: list[str] = []
        holds = self._lookout.holds
        size = self._base + len(self._buf)
        while self._next <= size and self.blocked is None:
            if not holds:
                released.append(self._hand(self._next))
            if self.blocked is None:
                self._judge(self._next, ends=False)
            if self.blocked is None and holds:
                released.append(self._hand(self._next - HELD_CHARS + STEP_CHARS))
            self._next += STEP_CHARS
        if self.blocked is None and not holds:
            released.append(self._hand(size))
        self._forget()
        return "".join(released)

    def _hand(self, upto: int) -> str:
        """Let the text before `upto` go on to the rules of spans; what they release."""
        start, self._handed = self._handed, max(self._handed, upto)
        if self._inner is None or upto <= start:
            return ""
        start, stop = start - self._base, upto - self._base
        text = self._buf[start:stop] if self._source is None else self._source.slice(start, stop)
        released = self._inner.push(text)
        self.blocked = self._inner.blocked
        return released

    def _judge(self, end: int, *, ends: bool) -> None:
        """Tally the rules that fire anew: a rule that fires in neighbouring windows has found one place."""
        text = self._window(end, ends=ends)
        fired = self._lookout.fired(text) if text.strip() else ()
        for rule in fired:
            if rule not in self._firing:
                self._tally.add(rule)
            if self.blocked is None and self._lookout.stops(rule):
                self.blocked = rule
        self._firing = fired

    def _window(self, end: int, *, ends: bool) -> str:
        start = max(0, end - WINDOW_CHARS)
        text = self._buf[start - self._base : end - self._base]
        first, last = 0, len(text)
        if start:
            first = max(0, *[text.find(space, 0, _EDGE_CHARS) for space in " \n"])
        if not ends:
            near = max([text.rfind(space, max(first, last - _EDGE_CHARS)) for space in " \n"])
            last = near if near > 0 else last
        text = text[first:last]
        return text if self._source is None else text.replace(QUOTE, '"')

    def _forget(self) -> None:
        # The last window may end with the text, anywhere behind the latest one.
        gone = max(0, min(self._handed, self._next - STEP_CHARS - WINDOW_CHARS) - self._base)
        if gone:
            self._buf = self._buf[gone:]
            self._base += gone
            if self._source is not None:
                self._source.drop(gone)


Channel = HoldBack | Windowed


def of_text(guard: Guard, tally: Tally, *, tool: str | None = None, joined: bool = False) -> Channel:
    """A channel of text of an answer; `tool` and `joined` as of `HoldBack`."""
    inner = HoldBack(guard, tally, tool=tool, joined=joined)
    return Windowed(inner, guard.lookout, tally) if guard.lookout else inner


def of_source(guard: Guard, tally: Tally, *, tool: str = "") -> Channel:
    """A channel of JSON source of an answer: arguments of `tool`."""
    inner = EscapedHoldBack(guard, tally, tool=tool)
    return Windowed(inner, guard.lookout, tally, source=True) if guard.lookout else inner


def judge(value: Any, guard: Guard, tally: Tally, *, source: bool) -> str | None:
    """Judge what a JSON answer says at one place: a text, or a tree that is read as its source. The rule that ends it.

    `source`: the text is JSON source.
    """
    if not guard.lookout:
        return None
    whole = type(value) is str
    channel = Windowed(None, guard.lookout, tally, source=source or not whole)
    channel.push(value if whole else orjson.dumps(value).decode())
    channel.flush()
    return channel.blocked
