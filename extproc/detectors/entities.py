"""People, organizations and places as rules, so that what an adviser finds is replaced and counted like any other data.

Nothing here finds them: `ostiary analyse` does, for whole requests. So they trigger nothing and hold nothing back.
"""

from collections.abc import Iterable
from typing import Final

from extproc.guardrails.rule import Rule
from gateway.policy.model import ADVISED


def _nothing(_text: str, _end: int) -> Iterable[tuple[int, int]]:
    return ()


ENTITIES: Final = tuple(
    Rule(
        id=rule,
        placeholder=f"[{rule.partition('.')[2].upper()}]",
        triggers=(),
        find=_nothing,
        before_chars=1,
        shapes=(),
    )
    for rule in sorted(ADVISED["ner"])
)
