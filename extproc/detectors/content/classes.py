"""The content classes, their rule ids, and which of them are experimental. Names only, judges nothing."""

from typing import Final

SEXUAL: Final = "content.sexual"
MINORS: Final = "content.minors"
HATE: Final = "content.hate"
HARASSMENT: Final = "content.harassment"
VIOLENCE: Final = "content.violence"
SELF_HARM: Final = "content.self_harm"
WEAPONS: Final = "content.weapons"
ILLICIT: Final = "content.illicit"
CYBER_ABUSE: Final = "content.cyber_abuse"
MEDICAL_ADVICE: Final = "content.medical_advice"
LEGAL_ADVICE: Final = "content.legal_advice"
FINANCIAL_ADVICE: Final = "content.financial_advice"
CODE: Final = "content.code"
#: Scores stand in this order.
CLASSES: Final = (
    SEXUAL, MINORS, HATE, HARASSMENT, VIOLENCE, SELF_HARM, WEAPONS, ILLICIT, CYBER_ABUSE,
    MEDICAL_ADVICE, LEGAL_ADVICE, FINANCIAL_ADVICE, CODE,
)  # fmt: skip
RULE_IDS: Final = frozenset(CLASSES)
#: What a tenant may not want, harmless in itself: its words alone decide, no model of harm.
HARMLESS: Final = frozenset({MEDICAL_ADVICE, LEGAL_ADVICE, FINANCIAL_ADVICE, CODE})
#: Classes with at most 50 texts to measure them on, all of one source, or none. Of code there are more, but of one
#: source and in one form. Policy keeps the same list, so that only a rule's own name turns one on
#: (gateway.policy.guard.OWN_NAME_ONLY; a test compares the two).
EXPERIMENTAL: Final = HARMLESS | {SEXUAL, MINORS, VIOLENCE, SELF_HARM}
#: Classes that are a way of speaking; of the others, most are requests for help with something.
TOXIC: Final = frozenset({HATE, HARASSMENT})
