"""One tenant's settings for one direction, compiled onto a scanner: decides what becomes of a finding, finds none."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from extproc.core.aliases import Aliases
from extproc.core.holdback import HoldBack, Spans
from extproc.core.restore import Restoring
from extproc.detectors.banned import FAMILY as BANNED
from extproc.detectors.banned import Banned
from extproc.detectors.content.classes import RULE_IDS as CONTENT_IDS
from extproc.detectors.injection.expressions import RULE_IDS as PATTERN_IDS
from extproc.detectors.leak import RULE_ID as LEAK_ID
from extproc.detectors.leak import Canary
from extproc.detectors.patterns import Patterns
from extproc.detectors.urls.rules import finds
from extproc.guardrails.finding import Finding
from extproc.guardrails.placeholder import Replace, replacing
from extproc.guardrails.scanner import Scanner, ScannerPool
from gateway.audit.record import Found
from gateway.policy.guard import LENGTH_ID, TENANTS_OWN, UNKNOWN_ID
from gateway.policy.model import Action, Mode, RuleSetting, Urls

if TYPE_CHECKING:
    from extproc.guardrails.lookout import Lookout

_NOTHING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
#: System prompts of a tenant that are remembered, as hashes: at most 300 KiB each, mostly a tenth of it.
_CANARIES: Final = 16
_DIGEST_BYTES: Final = 16  # collisions must be out of reach for whoever would have another prompt watched
#: Rules that judge a text as a whole and so are no scanner's.
WHOLE_TEXT_IDS: Final = PATTERN_IDS | {"injection.model", "injection.transformer"} | CONTENT_IDS
#: Rules that a tenant's own blocks name, or that judge an answer's form: no scanner's either.
_TENANTS_OWN: Final = ("advice.", "output.", *(f"{family}." for family in sorted(TENANTS_OWN)))


def is_whole(rule: str) -> bool:
    """Whether a rule judges whole texts or values: there is no span of its finding that could be replaced."""
    return rule in WHOLE_TEXT_IDS or rule.startswith(_TENANTS_OWN)


class Tally:
    """How often each rule fired in one exchange and direction. Shared by all channels of that direction.

    What is counted are places, not spans: overlapping findings of one rule are one.
    """

    __slots__ = ("counts", "notes")

    def __init__(self) -> None:
        self.counts: Final[dict[str, int]] = {}
        self.notes: Final[dict[str, str]] = {}  # what a record's reason says beside the rule; never text of anybody's

    def add(self, rule: str, note: str = "") -> None:
        """Count one more place where `rule` fired."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        if note:
            self.notes[rule] = note

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
        self.scanner = scanner
        self._blind: Scanner | None = None  # the scanner that watches for no system prompt, where `scanner` does
        self._canaries: Final[dict[bytes, Canary]] = {}  # shared by all exchanges
        # Rules that judge whole texts (guardrails.assessor) are kept too: the tally is told from here.
        self.settings: Final = {rule: each for rule, each in settings.items() if each.mode is not Mode.OFF}
        self._done: Final = {rule: _carried_out(setting) for rule, setting in self.settings.items()}
        self._replace: Final = {
            rule: replacing(self._done[rule], scanner.rules[rule].placeholder, key)
            for rule in self._done
            if rule in scanner.rules
        }
        self.tokenises: Final = tuple(rule for rule in self._replace if self._done[rule] is Action.TOKENISE)
        # Of one exchange, in its own copies of a guard (`tokenising`, `giving_back`):
        self.aliases: Aliases | None = None
        self.restoring: Restoring | None = None
        self.lookout: Lookout | None = None  # judges windows of answers

    @classmethod
    def of(
        cls,
        pool: ScannerPool,
        settings: Mapping[str, RuleSetting],
        key: bytes = b"",
        urls: Urls | None = None,
        banned: Mapping[str, tuple[str, ...]] = _NOTHING,
        lookout: "Lookout | None" = None,
        patterns: Mapping[str, str] | None = None,
    ) -> "Guard":
        """A guard that runs exactly the rules which `settings` turns on. The tenant's are `key`, for pseudonyms, `urls`
        the lists `banned` and `patterns`, and `lookout` for its answers.
        """
        enabled = {rule for rule, each in settings.items() if each.mode is not Mode.OFF and not is_whole(rule)}
        lists = {name: terms for name, terms in banned.items() if f"{BANNED}.{name}" in enabled}
        scanner = pool.scanner(rule for rule in enabled if not rule.startswith(f"{BANNED}."))
        scanner = scanner.finding_by(finds(urls)) if urls else scanner
        found = {name: source for name, source in (patterns or {}).items() if f"{BANNED}.{name}" in enabled}
        own = (*([Banned(lists)] if lists else ()), *([Patterns(found)] if found else ()))
        made = cls(scanner.banning(*own) if own else scanner, settings, key)
        made.lookout = lookout or None
        return made

    def tokenising(self, aliases: Aliases) -> "Guard":
        """This guard for one exchange, whose `aliases` take up the values that it tokenises."""
        bound = copy(self)
        bound.aliases = aliases
        return bound

    def giving_back(self, restoring: Restoring) -> "Guard":
        """This guard for the answer of one exchange: its channels put values back before they look."""
        bound = copy(self)
        bound.restoring = restoring
        return bound

    @property
    def watches(self) -> bool:
        """Whether system prompts must not come back."""
        return LEAK_ID in self.scanner.rules

    def watching(self, prompts: Sequence[str]) -> "Guard":
        """This guard for the answer of one exchange, which had these system prompts."""
        if not prompts:
            return self
        canary = self._canary(prompts)
        if not canary:
            return self
        bound = copy(self)
        bound.scanner = self.scanner.watching(canary)
        bound._blind = self.scanner  # noqa: SLF001 - one of its own kind
        return bound

    @property
    def watched(self) -> bool:
        """Whether this is an exchange's, and watches for its system prompts."""
        return self._blind is not None

    @property
    def flags_leaks(self) -> bool:
        """Whether a system prompt that comes back passes."""
        return self._done[LEAK_ID] <= Action.FLAG

    def unwatched(self) -> "Guard":
        """This guard without an eye on system prompts."""
        bound = copy(self)
        bound.scanner = self._blind or self.scanner
        bound._blind = None  # noqa: SLF001
        return bound

    def _canary(self, prompts: Sequence[str]) -> Canary:
        """An application sends the same prompt with each request; to make a canary of it takes milliseconds."""
        digest = blake2b("\0".join(prompts).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
        canary = self._canaries.pop(digest, None) or Canary(prompts)
        self._canaries[digest] = canary  # last in the dict = most recently used
        if len(self._canaries) > _CANARIES:
            del self._canaries[next(iter(self._canaries))]
        return canary

    def runs(self, rule: str) -> bool:
        """Whether the rule exists for this guard."""
        return rule in self._done

    def done(self, rule: str) -> Action:
        """What is carried out on a finding of `rule`: its action, or ALLOW in shadow mode."""
        return self._done[rule]

    def said(self, rule: str) -> str | None:
        """What the answer becomes that `rule` ended, or None where it is refused."""
        return self.settings[rule].text if self._done[rule] is Action.REPLACE else None

    def replace(self, rule: str) -> Replace | None:
        """How a finding of `rule` is replaced, or None when what is carried out replaces nothing."""
        if self.aliases is not None and self._done[rule] is Action.TOKENISE:
            return partial(self.aliases.put, rule, self.scanner.rules[rule].placeholder)
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
    if replaces and setting.rule == UNKNOWN_ID:
        return Action.BLOCK  # nobody knows what of it to replace, and who wrote that did not mean to let it pass
    spanless = is_whole(setting.rule) and setting.rule != LENGTH_ID
    return Action.FLAG if replaces and spanless else setting.action
