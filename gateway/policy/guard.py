"""Merges the guards of a tenant over those of the policy: one setting for each known rule. Pure.

The tenant's own lines come before the policy's; within each, the most specific name wins (`pii.card`, then
`pii.*`, then `*`). A rule that nobody names is flagged: texts pass unchanged, the record says what it saw. Content
classes are the exception: they stay off until a line names them, and `*` does not reach them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.policy.field import Table, read_choice, shape
from gateway.policy.model import Action, Mode, RuleSetting
from gateway.policy.problem import Problems, nearest, shown
from gateway.policy.tree import Broken, Path, Scalar
from gateway.policy.tree import Mapping as Fields
from gateway.policy.tree import Node as TreeNode

DIRECTIONS: Final = ("request", "response")
ACTIONS: Final = MappingProxyType({**{each.name.lower(): each for each in Action}, "tokenize": Action.TOKENISE})
MODES: Final = MappingProxyType({mode.value: mode for mode in Mode})
#: What happens to a rule that a policy written before the rule existed cannot name.
UNNAMED: Final = Action.FLAG
#: How long an answer may be, where its tenant says so. Who sets a bound means it: what is beyond is taken away.
LENGTH_ID: Final = "output.length"
#: What an answer holds of kinds that nobody here knows. It is kept back unless a line by this very name lets it pass.
UNKNOWN_ID: Final = "output.unknown"
_UNNAMED_OF: Final = MappingProxyType({LENGTH_ID: Action.REDACT, UNKNOWN_ID: Action.BLOCK})
#: Families that only their own names switch on: judgements of taste, which a tenant has to want, and pay for.
OPT_IN: Final = frozenset({"content"})
#: Families about what models write. A line of `*`, which was written for data, does not reach them; where none names
#: them they flag answers and leave requests alone.
OF_ANSWERS: Final = frozenset({"banned", "code", "leak", "output", "url"})
#: Families made for requests. On answers they wait for a line that names them there, and `*` does not: an answer that
#: quotes an attack, or a topic's words, is commonplace.
OF_REQUESTS: Final = frozenset({"injection", "topic"})
#: Of OPT_IN, rules that are not measured well enough for `content.*` to reach them.
OWN_NAME_ONLY: Final = frozenset(
    {
        "content.code",
        "content.financial_advice",
        "content.legal_advice",
        "content.medical_advice",
        "content.minors",
        "content.self_harm",
        "content.sexual",
        "content.violence",
    }
)
#: Families whose rules a tenant's own blocks name, so that a policy's defaults know them by wildcard only.
TENANTS_OWN: Final = frozenset({"schema", "topic"})
#: Where a rule gives a score, a line may say from which score on it fires.
_SCORED: Final = OPT_IN | {"advice"}
_SAID: Final = shape(r"(?s:.{1,2000})", "a text of up to 2,000 characters")
_THRESHOLD: Final = shape(r"0?\.[0-9]{1,6}|[01](?:\.0{1,6})?", "a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Wish:
    """What one line asks for. `action` None keeps that of the next less specific line (`{mode: shadow}`)."""

    action: Action | None
    mode: Mode
    percent: int = 100
    threshold: float | None = None
    text: str = ""


#: Rule id or wildcard -> wish, as one `guards.<direction>` block has it.
Wishes = Mapping[str, Wish]


def read_guards(
    table: Table | None,
    rules: Collection[str],
    problems: Problems,
    of_requests: Collection[str] = (),
    of_answers: Collection[str] = (),
) -> dict[str, Wishes]:
    """A `guards` block as wishes by direction; absent parts are empty. Rules `of_requests` judge nothing else."""
    wishes: dict[str, Wishes] = {direction: {} for direction in DIRECTIONS}
    if table is None:
        return wishes
    for direction in DIRECTIONS:
        block = table.table(direction)
        if block is not None:
            known = frozenset(rules).union(of_requests if direction == "request" else of_answers)
            wishes[direction] = _read_block(direction, block, known, problems)
    table.close()
    return wishes


def merge(layers: tuple[Wishes, ...], rules: Collection[str], direction: str = "request") -> Mapping[str, RuleSetting]:
    """One setting for each rule. `layers` run from the one that wins (the tenant) to the default."""
    return MappingProxyType({rule: _setting(rule, layers, direction) for rule in sorted(rules)})


def _setting(rule: str, layers: tuple[Wishes, ...], direction: str) -> RuleSetting:
    waits = direction == "response" and _family(rule) in OF_REQUESTS
    names = [name for name in names_of(rule) if not waits or name != "*"]
    matches = [wishes[name] for wishes in layers for name in names if name in wishes]
    action = next((wish.action for wish in matches if wish.action is not None), _unnamed(rule))
    if not matches:
        idle = waits or _family(rule) in OPT_IN or (direction == "request" and _family(rule) in OF_ANSWERS)
        mode = Mode.OFF if idle else Mode.ENFORCE
        return RuleSetting(rule=rule, action=action, mode=mode)
    won = matches[0]
    said = next((wish.text for wish in matches if wish.action is not None), "")
    return RuleSetting(rule=rule, action=action, mode=won.mode, percent=won.percent, threshold=won.threshold, text=said)


def names_of(rule: str) -> tuple[str, ...]:
    """Every name that covers `rule`, most specific first: `a.b`, `a.*`, `*`. Rules to opt in to have fewer."""
    if rule in OWN_NAME_ONLY or rule == UNKNOWN_ID:
        return (rule,)
    parts = rule.split(".")
    widest = 1 if _family(rule) in OPT_IN | OF_ANSWERS else 0
    wildcards = (".".join((*parts[:keep], "*")) for keep in range(len(parts) - 1, widest - 1, -1))
    return (rule, *wildcards)


def _unnamed(rule: str) -> Action:
    return _UNNAMED_OF.get(rule, UNNAMED)


def _family(name: str) -> str:
    return name.partition(".")[0]


def _read_block(direction: str, block: Table, rules: Collection[str], problems: Problems) -> Wishes:
    known = {name for rule in rules for name in names_of(rule)} | {f"{family}.*" for family in (*TENANTS_OWN, "banned")}
    wishes: dict[str, Wish] = {}
    for key, node in block.entries():
        path = (*block.path, key.text)
        if key.text not in known:
            what = "wildcard that covers no rule" if key.text.endswith("*") else "rule"
            problems.add(key.mark, path, f"unknown {what} {shown(key.text)}", nearest(key.text, known))
        wish = _read_wish(node, path, problems, scored=_family(key.text) in _SCORED)
        if wish is not None and wish.action is Action.TOKENISE and direction == "response":
            # What a model says is not sent anywhere from which it could come back.
            problems.add(node.mark, path, "tokenise is an action for requests", "use redact")
        if wish is not None and wish.action is Action.REPLACE and (direction == "request" or not wish.text):
            missing = "replace is an action for answers" if direction == "request" else "replace needs a text"
            problems.add(node.mark, path, missing, 'write {action: replace, text: "..."} under response')
        if wish is not None:
            wishes[key.text] = wish
    return wishes


def _read_wish(node: TreeNode, path: Path, problems: Problems, *, scored: bool) -> Wish | None:
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
    threshold = table.maybe("threshold", _THRESHOLD) if scored else None
    text = table.text("text", _SAID, default="") if action == "replace" else ""
    table.close()  # refuses a threshold where the rule has no score, and a text that nobody would read
    score = None if threshold is None else float(threshold)
    return Wish(ACTIONS.get(action), MODES.get(mode, Mode.ENFORCE), percent, score, text)
