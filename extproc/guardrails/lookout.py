"""A tenant's classifiers on answers: which of its rules one window of text fires. Cuts no text, and holds none back.

The detectors are those of requests. Their memories are not used: windows of answers do not come twice, and would only
push out the conversations that do.
"""

from collections.abc import Mapping
from typing import Final

from extproc.detectors.content.classes import RULE_IDS as CONTENT_IDS
from extproc.detectors.injection.expressions import RULE_IDS as PATTERN_IDS
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.assessor import MODEL_ID, Memory
from extproc.guardrails.classifier import Classes, Classifier
from extproc.guardrails.topics import Topics
from gateway.policy.model import Action, Mode, RuleSetting, Topic
from gateway.policy.topics import FAMILY as TOPIC

_INJECTION: Final = PATTERN_IDS | {MODEL_ID}
#: Whoever reads an answer that carries an injection onward, an agent or a tool, reads it as a document.
_AS: Final = Provenance.DOCUMENT


class Lookout:
    """The rules that judge windows. Immutable, shared by all exchanges of a tenant."""

    __slots__ = ("_classes", "_injection", "_rules", "_stops", "_topics", "holds")

    def __init__(
        self,
        memory: Memory,
        classifier: Classifier,
        settings: Mapping[str, RuleSetting],
        topics: Mapping[str, Topic],
    ) -> None:
        on = {rule for rule, each in settings.items() if each.mode is not Mode.OFF}
        about = {f"{TOPIC}.{topic.name}" for topic in topics.values() if not topic.allowed} & on
        self._rules: Final = frozenset(on & (_INJECTION | CONTENT_IDS) | about)
        self._classes: Final = Classes(classifier, settings)
        self._injection: Final = memory if on & _INJECTION else None
        self._topics: Final = Topics.of(topics) if about else None
        self._stops: Final = frozenset(
            rule
            for rule in self._rules
            if settings[rule].mode is Mode.ENFORCE and settings[rule].action >= Action.REPLACE
        )
        #: Whether a verdict may end the answer, so that text waits for it.
        self.holds: Final = bool(self._stops)

    def __bool__(self) -> bool:
        """Whether there is any such rule."""
        return bool(self._rules)

    def stops(self, rule: str) -> bool:
        """Whether a finding of `rule` ends the answer."""
        return rule in self._stops

    def fired(self, text: str) -> tuple[str, ...]:
        """The rules that this window of text fires."""
        rules = self._classes.fired(text, remembered=False)
        if self._injection is not None:
            verdict = self._injection.look(text, _AS)
            above = verdict.score >= self._injection.threshold(_AS)
            rules = (*verdict.patterns, *((MODEL_ID,) if above else ()), *rules)
        if self._topics is not None:
            rules += self._topics.about(text)
        return tuple([rule for rule in rules if rule in self._rules])
