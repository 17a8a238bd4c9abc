"""Merges the guards of a tenant over those of the policy: one setting for each known rule. Pure.

The tenant's own lines come before the policy's; within each, the most specific name wins (`pii.card`, then
`pii.*`, then `*`). A rule that nobody names is flagged: texts pass unchanged, the record says what it saw.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.policy.field import Table, read_choice
from gateway.policy.model import Action, Mode, RuleSetting
from gateway.policy.problem import Problems, nearest, shown
from gateway.policy.tree import Broken, Path, Scalar
from gateway.policy.tree import Mapping as Fields
from gateway.policy.tree import Node as TreeNode

DIRECTIONS: Final = ("request", "response")
ACTIONS: Final = MappingProxyType({action.name.lower(): action for action in Action})
MODES: Final = MappingProxyType({mode.value: mode for mode in Mode})
#: What happens to a rule that a policy written before the rule existed cannot name.
UNNAMED: Final = Action.FLAG


@dataclass(frozen=True, slots=True)
class Wish:
    """What one line asks for. `action` None keeps that of the next less specific line (`{mode: shadow}`)."""

    action: Action | None
    mode: Mode
    percent: int = 100


#: Rule id or wildcard -> wish, as one `guards.<direction>` block has it.
Wishes = Mapping[str, Wish]


def read_guards(table: Table | None, rules: Collection[str], problems: Problems) -> dict[str, Wishes]:
    """A `guards` block as wishes by direction; absent parts are empty."""
    wishes: dict[str, Wishes] = {direction: {} for direction in DIRECTIONS}
    if table is None:
        return wishes
    for direction in DIRECTIONS:
        block = table.table(direction)
        if block is not None:
            wishes[direction] = _read_block(block, rules, problems)
    table.close()
    return wishes


def merge(layers: tuple[Wishes, ...], rules: Collection[str]) -> Mapping[str, RuleSetting]:
    """One setting for each rule. `layers` run from the one that wins (the tenant) to the default."""
    return MappingProxyType({rule: _setting(rule, layers) for rule in sorted(rules)})


def _setting(rule: str, layers: tuple[Wishes, ...]) -> RuleSetting:
    matches = [wishes[name] for wishes in layers for name in names_of(rule) if name in wishes]
    action = next((wish.action for wish in matches if wish.action is not None), UNNAMED)
    if not matches:
        return RuleSetting(rule=rule, action=action)
    return RuleSetting(rule=rule, action=action, mode=matches[0].mode, percent=matches[0].percent)


def names_of(rule: str) -> tuple[str, ...]:
    """Every name that covers `rule`, most specific first: `a.b`, `a.*`, `*`."""
    parts = rule.split(".")
    wildcards = (".".join((*parts[:keep], "*")) for keep in range(len(parts) - 1, -1, -1))
    return (rule, *wildcards)


def _read_block(block: Table, rules: Collection[str], problems: Problems) -> Wishes:
    known = {name for rule in rules for name in names_of(rule)}
    wishes: dict[str, Wish] = {}
    for key, node in block.entries():
        path = (*block.path, key.text)
        if key.text not in known:
            what = "wildcard that covers no rule" if key.text.endswith("*") else "rule"
            problems.add(key.mark, path, f"unknown {what} {shown(key.text)}", nearest(key.text, known))
        wish = _read_wish(node, path, problems)
        if wish is not None:
            wishes[key.text] = wish
    return wishes


def _read_wish(node: TreeNode, path: Path, problems: Problems) -> Wish | None:
    """`redact`, `{action: redact, mode: shadow}` or `{mode: off}`. An action alone is enforced."""
    if isinstance(node, Broken):
        return None
    if isinstance(node, Scalar):
        found = read_choice(node, path, ACTIONS, problems)
        return Wish(ACTIONS[found], Mode.ENFORCE) if found else None
    table = Table(node, path, problems)
    if isinstance(node, Fields) and not node.entries:
        problems.add(node.mark, path, "expected an action", nearest("", ACTIONS))
        return None
    action = table.choice("action", ACTIONS, default="")
    mode = table.choice("mode", MODES, default="enforce")
    percent = table.integer("percent", 0, 100, default=100)
    table.close()
    return Wish(ACTIONS.get(action), MODES.get(mode, Mode.ENFORCE), percent)
