"""A tenant's topics, compiled: which of its rules a text fires, for requests and for windows of answers.

Terms decide alone; examples by likeness. Decides nothing else: what becomes of a rule is the guard's business.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from extproc.detectors.injection.provenance import Provenance
from extproc.detectors.terms import Folded, Terms, compiled
from extproc.detectors.topics.likeness import Likeness, tokens
from extproc.guardrails.assessor import Position
from extproc.guardrails.guard import Guard, Tally
from gateway.policy.model import Action, Topic
from gateway.policy.topics import FAMILY, OTHER

#: Words that a user's text must have to be about anything: "yes, please" is about no topic and no other one either.
LEAST_WORDS: Final = 5
#: Share of a topic's threshold at which a text counts as about an allowed one. Measured with 25 examples: 99 % of texts
#: of the topic are let pass, and 4 % of everyday ones (docs/detectors.md).
LENIENCE: Final = 0.5
_OTHER_ID: Final = f"{FAMILY}.{OTHER}"
_KEPT: Final = 1024  # tenants whose topics stay compiled
_REMEMBERED: Final = 2048  # texts of one tenant: a conversation is sent again with every turn
_DIGEST_BYTES: Final = 16  # collisions must be out of reach for whoever would smuggle a text under another's verdict


class _Compiled:
    __slots__ = ("_likeness", "_terms", "_threshold", "rule")

    def __init__(self, topic: Topic) -> None:
        self.rule: Final = f"{FAMILY}.{topic.name}"
        self._terms: Terms | None = compiled(topic.terms) if topic.terms else None
        self._likeness: Final = _likeness(topic.examples) if topic.examples else None
        share = LENIENCE if topic.allowed else 1.0
        self._threshold: Final = share * self._likeness.threshold if self._likeness is not None else 0.0

    def holds(self, folded: Folded, found: list[bytes]) -> bool:
        if self._terms is not None and self._terms.found(folded):
            return True
        return self._likeness is not None and self._likeness.score(found) >= self._threshold


@lru_cache(maxsize=_KEPT)
def _likeness(examples: tuple[str, ...]) -> Likeness:
    return Likeness(examples)


class Topics:
    """The topics of one tenant. Made once for each set of them, by `of`. Remembers digests, never texts."""

    __slots__ = ("_allowed", "_banned", "_verdicts")

    def __init__(self, topics: tuple[Topic, ...]) -> None:
        self._banned: Final = [_Compiled(topic) for topic in topics if not topic.allowed]
        self._allowed: Final = [_Compiled(topic) for topic in topics if topic.allowed]
        self._verdicts: Final[dict[bytes, tuple[str, ...]]] = {}

    @classmethod
    def of(cls, topics: Mapping[str, Topic]) -> "Topics":
        """The compiled topics of a tenant, from memory after the first time."""
        return _topics(tuple(topics.values()))

    def fired(self, text: str, *, asked: bool = False) -> tuple[str, ...]:
        """The rules that a text fires: banned topics that it is about, and, of what a user `asked`, `topic.other`."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, person=b"%d" % asked)
        key = digest.digest()
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._fired(text, asked=asked)
            if len(self._verdicts) >= _REMEMBERED:
                del self._verdicts[next(iter(self._verdicts))]  # the oldest
            self._verdicts[key] = verdict
        return verdict

    def about(self, text: str) -> tuple[str, ...]:
        """The rules of banned topics that a short text is about which does not come again."""
        return self._fired(text, asked=False)

    def _fired(self, text: str, *, asked: bool) -> tuple[str, ...]:
        folded, found = Folded(text), tokens(text)
        rules = [topic.rule for topic in self._banned if topic.holds(folded, found)]
        if not asked or not self._allowed or len(found) < LEAST_WORDS:
            return tuple(rules)
        if not any(topic.holds(folded, found) for topic in self._allowed):
            rules.append(_OTHER_ID)
        return tuple(rules)


@lru_cache(maxsize=_KEPT)
def _topics(topics: tuple[Topic, ...]) -> Topics:
    return Topics(topics)


def judge(positions: Iterable[Position], topics: Mapping[str, Topic], guard: Guard, tally: Tally) -> str | None:
    """Tally every rule that fires once a text; return the first that policy blocks on, if any."""
    held = Topics.of(topics)
    blocked: str | None = None
    for provenance, text in positions:
        for rule in held.fired(text, asked=provenance is Provenance.USER):
            if guard.runs(rule):
                tally.add(rule)
                if blocked is None and guard.done(rule) is Action.BLOCK:
                    blocked = rule
    return blocked
