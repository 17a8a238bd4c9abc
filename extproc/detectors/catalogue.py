"""Every rule that this release can run, in the order of the documentation. Nothing else lists rules."""

from typing import Final

from extproc.detectors.code import CODE
from extproc.detectors.content.classes import RULE_IDS as CONTENT_IDS
from extproc.detectors.entities import ENTITIES
from extproc.detectors.injection.expressions import RULE_IDS as INJECTION_IDS
from extproc.detectors.leak import SYSTEM_PROMPT
from extproc.detectors.pii.card import CARD
from extproc.detectors.pii.email import EMAIL
from extproc.detectors.pii.iban import IBAN
from extproc.detectors.pii.ip import V4, V6
from extproc.detectors.pii.national import NATIONAL
from extproc.detectors.pii.numbers import NUMBERS
from extproc.detectors.pii.phone import PHONE
from extproc.detectors.pii.place import PLACES
from extproc.detectors.secrets import SECRETS
from extproc.detectors.urls.rules import URLS
from extproc.guardrails.rule import Rule

RULES: Final[tuple[Rule, ...]] = (
    EMAIL,
    CARD,
    IBAN,
    V4,
    V6,
    PHONE,
    NATIONAL,
    *NUMBERS,
    *PLACES,
    *SECRETS,
    *URLS,
    SYSTEM_PROMPT,
    *CODE,
)
RULE_IDS: Final = frozenset(rule.id for rule in RULES)
#: Rules on personal data and secrets: what they find is kept nowhere (core.caching).
SENSITIVE: Final = frozenset(rule for rule in RULE_IDS if rule.startswith(("pii.", "secrets.")))
#: With those whose findings come from advisers (gateway.policy.model.ADVISED): policies without one do not know them.
ALL_RULES: Final[tuple[Rule, ...]] = (*RULES, *ENTITIES)
#: Rules about the form of answers (core.form, core.length, core.unknown).
OUTPUT_IDS: Final = frozenset({"output.length", "output.schema", "output.unknown"})
#: Every rule that a policy may name: those above, and those that judge whole texts.
POLICY_IDS: Final = RULE_IDS | INJECTION_IDS | {"injection.model"} | CONTENT_IDS | OUTPUT_IDS
