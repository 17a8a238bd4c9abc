"""Personal data and secrets inside encodings of a request's texts: found when opened, the whole encoded span replaced.

Two layers deep. Base64, hex, percent, HTML entities, escapes; rot13 where a text gives a sign of it. Requests only: an
answer is read by a person or a program, and to open what a stream may still complete would hold it back.
"""

import codecs
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import hyperscan

from extproc.core.texts import is_binary, leaves, rewrite
from extproc.detectors.injection.normalise import DEPTH_MAX, Opening, encoded_runs, open_as
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.scanner import HITS_MAX, too_many_places
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action

#: Between texts that are scanned as one. In no rule's alphabet and in no encoding's, and white space to `re`.
_SEAM: Final = "\x1f"
#: What a text must have to be looked at closely. Nearly no text of people has any of it.
_SIGNS: Final = {
    Opening.BASE64: rb"[A-Za-z0-9+/_-]{16}",
    Opening.HEX: rb"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[\s,:;-]{0,2}){8}",
    Opening.URL: rb"%[0-9A-Fa-f]{2}",
    Opening.ENTITY: rb"&(?:#|[A-Za-z][A-Za-z0-9]{1,31};)",
    Opening.ESCAPE: rb"\\(?:u\{?[0-9A-Fa-f]{2}|x[0-9A-Fa-f]{2})",
    #: Its name, or how the keys of the large issuers begin in it (sk-, AKIA, ASIA, ghp_, github_pat_, xoxb-, AIza).
    Opening.ROT13: rb"(?i)rot[ -]?13|\b(?:fx-|sk_yvir|NXVN|NFVN|tuc_|tvguho_cng_|kbk[nocef]-|NVmn)",
}
_KINDS: Final = tuple(_SIGNS)
#: Where percent and entities stand, with what they stand in: a value of a URL's query, a word of a text.
_WORDS: Final = {
    Opening.URL: (re.compile(r"[^\s\"'<>?=;,()&]+"), re.compile(r"%[0-9A-Fa-f]{2}")),
    Opening.ENTITY: (re.compile(r"[^\s\"'<>]+"), re.compile(r"&(?:#|[A-Za-z])")),
    Opening.ESCAPE: (re.compile(r"[^\s\"'<>]+"), re.compile(r"\\[ux]")),
}

#: Characters of encodings that one request may have opened, over all layers. The worst of them, hex of text, costs 0.6
#: microseconds a character: a second. Ordinary requests have some hundred.
OPENED_MAX: Final = 2 * 1024 * 1024
#: What a word costs to open beside its length, in characters: a body of nothing but `%41` has a million words.
_WORD_CHARS: Final = 6

#: A span of a text, and what it says when it is opened.
_Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A finding inside an encoding."""

    start: int  # of the whole encoded span, in the text as it stands
    end: int
    rule: str
    value: str  # what was found there, opened; for placeholders only


@dataclass(slots=True)
class Laid:
    """What came of a request's encodings."""

    changed: bool = False
    blocked: str | None = None


class _Gate:
    """The signs, compiled. Not for concurrent threads, as Hyperscan's scratch space is not."""

    def __init__(self) -> None:
        self._seen: set[Opening] = set()
        self._database: Final = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=list(_SIGNS.values()), ids=list(range(len(_SIGNS))), flags=hyperscan.HS_FLAG_SINGLEMATCH
        )

    def signs(self, text: str) -> set[Opening]:
        """Which openings are worth trying on the text."""
        self._seen = set()
        self._database.scan(text.encode("utf-8", "replace"), self._on_hit)
        return self._seen

    def _on_hit(self, expression: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        self._seen.add(_KINDS[expression])


_GATE: Final = _Gate()


class Budget:
    """Work that one request may cause here."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = OPENED_MAX

    def spend(self, chars: int) -> None:
        """Raises JSON_TOO_COMPLEX when all is spent: what cannot be opened cannot be let through unseen."""
        self.left -= chars
        if self.left < 0:
            raise GatewayError(
                Kind.JSON_TOO_COMPLEX,
                f"The request has more than {OPENED_MAX >> 20} MiB of encoded text. Send it plain, or split it.",
            )


def hidden(text: str, guard: Guard, budget: Budget | None = None) -> list[Hidden]:
    """Every finding that only opening shows, sorted by place. Linear in the text's length.

    Raises GatewayError for more encoded text than `budget` has.
    """
    budget = budget or Budget()
    signs = _GATE.signs(text)
    if not signs or not guard.scanner.rules:
        return []
    found = _in_rot13(text, guard) if Opening.ROT13 in signs else []
    pieces = list(_spans(text, signs, budget.spend))
    for _ in range(DEPTH_MAX):
        if not pieces:
            break
        joined = _SEAM.join(said for _, _, said in pieces)
        starts = [0, *accumulate(len(said) + 1 for _, _, said in pieces)]
        for finding in guard.scanner.scan(joined):
            start, end, _ = pieces[bisect_right(starts, finding.start) - 1]
            value = joined[finding.start : finding.end]
            if value not in text[start:end]:  # else it stands there openly, and was seen
                found.append(Hidden(start, end, finding.rule, value))
        inner = [
            (pieces[bisect_right(starts, start) - 1], said)
            for start, _, said in _spans(joined, _GATE.signs(joined), budget.spend)
        ]
        pieces = [(start, end, said) for (start, end, _), said in inner]
    return sorted(dict.fromkeys(found), key=lambda each: (each.start, -each.end))


def _in_rot13(text: str, guard: Guard) -> list[Hidden]:
    turned = codecs.encode(text, "rot13")  # letter by letter: places stay
    return [
        Hidden(each.start, each.end, each.rule, turned[each.start : each.end])
        for each in guard.scanner.scan(turned)
        if text[each.start : each.end] != turned[each.start : each.end]
    ]


def _spans(text: str, signs: set[Opening], spend: Callable[[int], None]) -> Iterator[_Span]:
    """Encoded spans and what they say, one layer."""
    if Opening.BASE64 in signs or Opening.HEX in signs:
        yield from encoded_runs(text, signs, spend)
    for opening, (word, sign) in _WORDS.items():
        if opening not in signs:
            continue
        for each in word.finditer(text):
            if sign.search(each[0]) is not None:
                spend(len(each[0]) + _WORD_CHARS)
                for said in open_as(opening, each[0])[:1]:
                    yield each.start(), each.end(), said


def applied(text: str, guard: Guard, tally: Tally, budget: Budget | None = None) -> tuple[str, str | None]:
    """A text with every encoded span replaced that holds something to be replaced, and the rule that blocks, if any."""
    found = hidden(text, guard, budget)
    if not found:
        return text, None
    parts: list[str] = []
    blocked: str | None = None
    at = 0  # behind the last span that was replaced
    for span in _merged(found):
        instead: dict[str, None] = {}
        for rule in {each.rule: None for each in span}:
            tally.add(rule)
            if guard.done(rule) is Action.BLOCK:
                blocked = blocked or rule
        for each in span:
            replace = guard.replace(each.rule)
            if replace is not None:
                instead[replace(each.value)] = None
        if instead:
            parts += text[at : span[0].start], " ".join(instead)
            at = max(each.end for each in span)
    return "".join((*parts, text[at:])), blocked


def _merged(found: Sequence[Hidden]) -> Iterator[list[Hidden]]:
    """Findings whose spans overlap, together."""
    together: list[Hidden] = []
    end = 0
    for each in found:
        if together and each.start >= end:
            yield together
            together = []
        together.append(each)
        end = max(end, each.end) if len(together) > 1 else each.end
    if together:
        yield together


def lay(tree: Any, texts: Iterable[str], guard: Guard, tally: Tally) -> Laid:
    """Open what a request's texts encode, and replace in place. `texts`: all of the tree's, to see if any is worth it.

    Raises GatewayError for more places than can be looked at.
    """
    laid = Laid()
    if not guard.scanner.rules or not _GATE.signs(_SEAM.join(texts)):
        return laid
    enough = guard.scanner.looked_at + HITS_MAX
    changed: dict[str, str] = {}
    budget = Budget()
    for text in leaves(tree):
        said, blocked = applied(text, guard, tally, budget)
        laid.blocked = laid.blocked or blocked
        if said != text:
            changed[text] = said
        if guard.scanner.looked_at > enough:  # each text was within bounds, all of them are not
            raise too_many_places()
    if changed:
        rewrite(tree, changed)
        laid.changed = True
    return laid


def broken(sealed: Iterable[dict[str, Any]], guard: Guard, tally: Tally) -> str | None:
    """The first rule that would change one of `sealed` once it is opened, objects that pass whole or not at all.

    It is counted.
    """
    budget = Budget()
    for holder in sealed:
        for key, value in holder.items():
            if type(value) is not str or is_binary(key, value, holder):
                continue
            for each in hidden(value, guard, budget):
                if guard.done(each.rule) is Action.BLOCK or guard.replace(each.rule) is not None:
                    tally.add(each.rule)
                    return each.rule
    return None
