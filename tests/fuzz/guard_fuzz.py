"""Fuzz the streaming guard: `PYTHONPATH=.:tests/support python tests/fuzz/guard_fuzz.py [seconds] [seed]`.

Invariant: for any text and any cut, plain or as JSON source, the released text, the blocking rule and the tally are
those of the uncut text; what is held stays within the window; and a redacted document is still JSON.
"""

import json
import random

import fuzzing
import guarded
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.guardrails.guard import Guard
from gateway.policy.model import Action, Mode, RuleSetting

ACTIONS = (Action.ALLOW, Action.FLAG, Action.REDACT, Action.REDACT, Action.REDACT, Action.BLOCK)
MODES = (Mode.ENFORCE, Mode.ENFORCE, Mode.SHADOW)


def guard(dice: random.Random) -> Guard:
    if dice.random() < 0.4:
        return guarded.redacting()
    rules = dice.choice(guarded.SUBSETS)
    settings = {r.id: RuleSetting(rule=r.id, action=dice.choice(ACTIONS), mode=dice.choice(MODES)) for r in rules}
    return Guard.of(guarded.POOL, settings)


def text(dice: random.Random) -> str:
    """Plants whole, halved or glued to each other and to noise."""
    parts = []
    for _ in range(dice.randint(0, 10)):
        part = dice.choice(guarded.PLANTS if dice.random() < 0.5 else guarded.NOISE)
        if dice.random() < 0.2:
            part = part[dice.randint(0, len(part)) :][: dice.randint(0, len(part))]
        parts.append(part)
    return "".join(parts)


def case(dice: random.Random) -> None:
    over, plain = guard(dice), text(dice)
    source = json.dumps({"a": plain, "n": 4111111111111111}, ensure_ascii=dice.random() < 0.5)
    for channel, whole in ((HoldBack, plain), (EscapedHoldBack, source), (EscapedHoldBack, plain)):
        expected = guarded.stream(channel, over, [whole])
        assert guarded.stream(channel, over, fuzzing.pieces(dice, whole)) == expected, (channel, whole)
        if whole is source and expected.blocked is None:
            json.loads(expected.text)


if __name__ == "__main__":
    fuzzing.main(case)
