"""Which encodings of a text are opened, in which order, and how deep. Judges nothing but where to look next.

A layer is read in this order, each step seeing what the one before it won: wrappings that rewrite a text in place
(escapes of JSON, entities, percent), then what stands in it as base64, hex or invisible characters, which is a layer of
its own, then disguises of letters (look-alikes, letters set apart, leetspeak, rot13, reversed). So combinations are
found at the price of one view a step, and the work is bounded by the text's length: see `VIEWS_MAX`.
"""

from collections.abc import Callable, Iterator
from typing import Final

from extproc.detectors.injection.normalise import DEPTH_MAX, Opening, View, hidden, open_as, plain

#: Of one layer: 4 wrappings twice, homoglyph, split and leetspeak twice each, rot13, reversed, base64 twice, hex, tags,
#: selectors. Layers inside are at most three quarters as long, and hostile text cannot have all of it at full size.
VIEWS_MAX: Final = 20

#: A normalised text -> rules that fire in it, and openings that its shape makes worth trying.
Scan = Callable[[str], tuple[set[str], list[Opening]]]
#: A reading, and the rules that fire in it.
Seen = tuple[View, set[str]]

_WRAPPINGS: Final = (Opening.JSON, Opening.ESCAPE, Opening.ENTITY, Opening.URL)
_RUNS: Final = (Opening.BASE64, Opening.HEX)
_INVISIBLE: Final = frozenset({Opening.TAGS, Opening.SELECTORS})


def unfold(text: str, low: str, gates: list[Opening], scan: Scan, depth: int = 1) -> Iterator[Seen]:
    """Further readings of `text`, whose plain view `low` has the `gates`. At most `DEPTH_MAX` layers deep."""
    worth = set(gates)
    for _ in range(DEPTH_MAX):  # percent inside percent, JSON inside JSON
        before = text
        for wrapping in _WRAPPINGS:
            if wrapping in worth and (found := open_as(wrapping, text)):
                text = found[0]
                low = plain(text)
                fired, more = scan(low)
                worth.update(more)
                yield View(wrapping, low), fired
        if text == before:
            break
    concealed = [View(opening, said) for opening in _RUNS if opening in worth for said in open_as(opening, text)]
    if not text.isascii():
        for view in hidden(text, low):
            if view.opening in _INVISIBLE:
                concealed.append(view)
            else:
                low = view.text
                fired, more = scan(low)
                worth.update(more)
                yield view, fired
    for view in concealed:
        yield from _inside(view, scan, depth)
    yield from _undisguised(low, worth, scan)


def _inside(view: View, scan: Scan, depth: int) -> Iterator[Seen]:
    """What an encoding held, and what that holds in turn."""
    low = plain(view.text)
    fired, gates = scan(low)
    yield View(view.opening, low), fired
    if depth < DEPTH_MAX and (gates or not view.text.isascii()):
        yield from unfold(view.text, low, gates, scan, depth + 1)


def _undisguised(low: str, worth: set[Opening], scan: Scan) -> Iterator[Seen]:
    """Letters that only look like others, or stand where they should not."""
    for disguise in (Opening.SPLIT, Opening.LEET, Opening.ROT13, Opening.REVERSED):
        if disguise not in worth:
            continue
        found = open_as(disguise, low)
        for number, said in enumerate(found):
            fired, more = scan(said)
            if number == 0:
                worth.update(more)
            yield View(disguise, said), fired
        if disguise is Opening.SPLIT and found:
            low = found[0]
