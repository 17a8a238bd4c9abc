"""One tenant's settings for one direction, compiled onto a scanner: decides what becomes of a finding, finds none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extproc.core.holdback import HoldBack
from extproc.detectors.content.classes import RULE_IDS as CONTENT_IDS
from extproc.detectors.injection.expressions import RULE_IDS as PATTERN_IDS
from extproc.guardrails.placeholder import Replace, replacing
from extproc.guardrails.scanner import Scanner, ScannerPool
from gateway.audit.record import Found
from gateway.policy.guard import TENANTS_OWN
from gateway.policy.model import Action, Mode, RuleSetting

#: Rules that judge a text as a whole and so are no scanner's.
WHOLE_TEXT_IDS: Final = PATTERN_IDS | {"injection.model"} | CONTENT_IDS
#: Rules that a tenant's own blocks name: no scanner's either.
_TENANTS_OWN: Final = tuple(f"{family}." for family in sorted(TENANTS_OWN))


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
        self._replace: Final = {
            rule: replacing(self._done[rule], scanner.rules[rule].placeholder, key)
            for rule in self._done
            if rule in scanner.rules
        }

    @classmethod
    def of(cls, pool: ScannerPool, settings: Mapping[str, RuleSetting], key: bytes = b"") -> "Guard":
        """A guard that runs exactly the rules which `settings` turns on. `key` is the tenant's, for pseudonyms."""
        enabled = {rule for rule, each in settings.items() if each.mode is not Mode.OFF and not is_whole(rule)}
        return cls(pool.scanner(enabled), settings, key)

    def runs(self, rule: str) -> bool:
        """Whether the rule exists for this guard."""
        return rule in self._done

    def done(self, rule: str) -> Action:
        """What is carried out on a finding of `rule`: its action, or ALLOW in shadow mode."""
        return self._done[rule]

    def replace(self, rule: str) -> Replace | None:
        """How a finding of `rule` is replaced, or None when what is carried out replaces nothing."""
        return self._replace[rule]

    def apply(self, text: str, tally: Tally) -> Applied:
        """Guard a whole text, with the very code that guards a streamed one."""
        findings = self.scanner.scan(text)
        if not findings:
            return Applied(text, None)
        channel = HoldBack(self, tally)
        return Applied(channel.whole(text, findings), channel.blocked)


def _carried_out(setting: RuleSetting) -> Action:
    """What comes of a finding: nothing in shadow mode, and no redaction where there is no span to replace."""
    if setting.mode is not Mode.ENFORCE:
        return Action.ALLOW
    replaces = setting.action in {Action.MASK, Action.HASH, Action.REDACT}
    return Action.FLAG if replaces and is_whole(setting.rule) else setting.action
