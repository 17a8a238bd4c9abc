"""One tenant's settings for one direction, compiled onto a scanner: decides what becomes of a finding, finds none."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Final

from extproc.core.aliases import Aliases
from extproc.core.holdback import HoldBack, Spans
from extproc.core.restore import Restoring
from extproc.detectors.content.classes import RULE_IDS as CONTENT_IDS
from extproc.detectors.injection.expressions import RULE_IDS as PATTERN_IDS
from extproc.detectors.urls.rules import finds
from extproc.guardrails.finding import Finding
from extproc.guardrails.placeholder import Replace, replacing
from extproc.guardrails.scanner import Scanner, ScannerPool
from gateway.audit.record import Found
from gateway.policy.guard import TENANTS_OWN
from gateway.policy.model import Action, Mode, RuleSetting, Urls

#: Rules that judge a text as a whole and so are no scanner's.
WHOLE_TEXT_IDS: Final = PATTERN_IDS | {"injection.model", "injection.transformer"} | CONTENT_IDS
#: Rules that a tenant's own blocks name: no scanner's either.
_TENANTS_OWN: Final = ("advice.", *(f"{family}." for family in sorted(TENANTS_OWN)))


def is_whole(rule: str) -> bool:
    """Whether a rule judges whole texts or values: there is no span of its finding that could be replaced."""
    return rule in WHOLE_TEXT_IDS or rule.startswith(_TENANTS_OWN)


class Tally:
    """How often each rule fired in one exchange and direction. Shared by all channels of that direction.

    What is counted are places, not spans: overlapping findings of one rule are one.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Final[dict[str, int]] = {}

    def add(self, rule: str) -> None:
        """Count one more place where `rule` fired."""
        self.counts[rule] = self.counts.get(rule, 0) + 1

    def found(self, guard: "Guard", direction: str) -> tuple[Found, ...]:
        """The audit's view: what was done, and what policy asks for where a rule only shadows."""
        return tuple(
            Found(
                rule=rule,
                direction=direction,
                count=self.counts[rule],
                action=guard.done(rule).name.lower(),
                would=guard.settings[rule].action.name.lower(),
            )
            for rule in sorted(self.counts)
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """A whole text after the guard. `blocked` names the rule that stopped it; `text` then ends before the finding."""

    text: str
    blocked: str | None


class Guard:
    """What to do with each rule's findings. Immutable, shared by all exchanges of a tenant and direction.

    Rules without a setting, or with mode off, do not exist for it. Shadow is applied last: such findings are counted
    and change nothing.
    """

    def __init__(self, scanner: Scanner, settings: Mapping[str, RuleSetting], key: bytes = b"") -> None:
        self.scanner: Final = scanner
        # Rules that judge whole texts (guardrails.assessor) are kept too: the tally is told from here.
        self.settings: Final = {rule: each for rule, each in settings.items() if each.mode is not Mode.OFF}
        self._done: Final = {rule: _carried_out(setting) for rule, setting in self.settings.items()}
        self._replace = {
            rule: replacing(self._done[rule], scanner.rules[rule].placeholder, key)
            for rule in self._done
            if rule in scanner.rules
        }
        self.tokenises: Final = tuple(rule for rule in self._replace if self._done[rule] is Action.TOKENISE)
        self.restoring: Restoring | None = None

    @classmethod
    def of(
        cls, pool: ScannerPool, settings: Mapping[str, RuleSetting], key: bytes = b"", urls: Urls | None = None
    ) -> "Guard":
        """A guard that runs exactly the rules which `settings` turns on. The tenant's are `key`, for pseudonyms, and
        `urls`.
        """
        enabled = {rule for rule, each in settings.items() if each.mode is not Mode.OFF and not is_whole(rule)}
        scanner = pool.scanner(enabled)
        return cls(scanner.finding_by(finds(urls)) if urls else scanner, settings, key)

    def tokenising(self, aliases: Aliases) -> "Guard":
        """This guard for one exchange, whose `aliases` take up the values that it tokenises."""
        bound = copy(self)
        taken: dict[str, Replace | None] = {
            rule: partial(aliases.put, rule, self.scanner.rules[rule].placeholder) for rule in self.tokenises
        }
        bound._replace = self._replace | taken
        return bound

    def giving_back(self, restoring: Restoring) -> "Guard":
        """This guard for the answer of one exchange: its channels put values back before they look."""
        bound = copy(self)
        bound.restoring = restoring
        return bound

    def runs(self, rule: str) -> bool:
        """Whether the rule exists for this guard."""
        return rule in self._done

    def done(self, rule: str) -> Action:
        """What is carried out on a finding of `rule`: its action, or ALLOW in shadow mode."""
        return self._done[rule]

    def replace(self, rule: str) -> Replace | None:
        """How a finding of `rule` is replaced, or None when what is carried out replaces nothing."""
        return self._replace[rule]

    def lay(self, text: str, findings: Sequence[Finding], tally: Tally) -> Applied:
        """A whole text in which somebody else found something."""
        channel = HoldBack(self, tally)
        return Applied(channel.whole(text, findings), channel.blocked)

    def apply(self, text: str, tally: Tally, exempt: Spans = ()) -> Applied:
        """Guard a whole text, with the very code that guards a streamed one. `exempt`: where values were put back."""
        findings = self.scanner.scan(text)
        if not findings:
            return Applied(text, None)
        channel = HoldBack(self, tally, exempt=exempt)
        return Applied(channel.whole(text, findings), channel.blocked)


def _carried_out(setting: RuleSetting) -> Action:
    """What comes of a finding: nothing in shadow mode, and no redaction where there is no span to replace."""
    if setting.mode is not Mode.ENFORCE:
        return Action.ALLOW
    replaces = setting.action in {Action.MASK, Action.HASH, Action.TOKENISE, Action.REDACT}
    return Action.FLAG if replaces and is_whole(setting.rule) else setting.action
