"""What advisers are asked about a judged request, and what becomes of their words. Pure; sends nothing.

Our own engines see what policy gives them to judge. A service outside sees the texts after every rule of this process
was laid over them: what was redacted is not told to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from extproc.core.admission import refused_span, refused_whole
from extproc.core.questions import Advice, Advise, Advised, Failed, Told
from extproc.core.texts import leaves, rewrite
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.assessor import Assessor, Position
from extproc.guardrails.finding import Finding
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.door import Door
from gateway.errors import GatewayError, Kind
from gateway.identity import Caller
from gateway.policy.model import Action, Adviser

#: A name has a letter that is upper case, or is of a script that has none; one letter is an initial of nobody.
_LEAST_CHARS: Final = 2
_UNTOLD: Final = "user"  # texts of which the dialect does not tell the author: names do not mind
_SIGHTLESS: Final = frozenset({Action.ALLOW, Action.FLAG})  # nothing would have been done


@dataclass(frozen=True, slots=True)
class Taken:
    """What advice did to the request."""

    changed: bool
    missing: str  # who did not advise and why, for the record; "" when all did


def questions(
    advisers: Iterable[Adviser], tree: dict[str, Any], door: Door, doubtful: Sequence[Position], caller: Caller
) -> tuple[Advise, ...]:
    """One question for each adviser that has something to judge."""
    asked = []
    for adviser in advisers:
        texts = tuple(_texts(adviser, tree, door, doubtful))
        if texts:
            asked.append(Advise(adviser, caller.request_id, caller.tenant, texts))
    return tuple(asked)


def _texts(
    adviser: Adviser, tree: dict[str, Any], door: Door, doubtful: Sequence[Position]
) -> Iterator[tuple[str, str]]:
    if adviser.engine == "injection":
        yield from ((provenance.value, text) for provenance, text in doubtful)
    elif adviser.engine == "ner":
        yield from ((_UNTOLD, text) for text in _telling(tree, door))
    else:
        yield from ((provenance.value, text) for provenance, text in door.positions(tree) if text)


def _telling(tree: dict[str, Any], door: Door) -> Iterable[str]:
    """Each text that may hold a name, once. What is signed stays out: it must not be changed."""
    sealed = {text for holder in door.sealed(tree) for text in holder.values() if type(text) is str}
    texts = dict.fromkeys(leaves(tree))
    return [text for text in texts if len(text) >= _LEAST_CHARS and text != text.lower() and text not in sealed]


def take(
    asked: Sequence[Advise],
    told: Sequence[Told],
    tree: dict[str, Any],
    guard: Guard,
    assessor: Assessor,
    tally: Tally,
) -> Taken:
    """Act on every reply. Raises GatewayError for what policy refuses, or refuses to pass unadvised."""
    missing, changed = [], False
    for question, reply in zip(asked, told, strict=True):
        adviser = question.adviser
        if isinstance(reply, Advised):
            changed |= _act(question, reply, tree, guard, tally)
        if not isinstance(reply, Advised) or reply.partial:
            reason = "a text was too long" if isinstance(reply, Advised) else _why(reply)
            _go_without(question, reason, guard, assessor, tally)
            missing.append(f"{adviser.name}: {reason}")
    return Taken(changed, "; ".join(missing))


def _why(reply: Told) -> str:
    return reply.reason if isinstance(reply, Failed) else "a reply to another question"


def _act(question: Advise, reply: Advised, tree: dict[str, Any], guard: Guard, tally: Tally) -> bool:
    spans: dict[str, list[Finding]] = {}
    for advice in reply.findings:
        rule = _rule(question.adviser, advice)
        if not guard.runs(rule) or advice.score < (guard.settings[rule].threshold or 0):
            continue
        text = question.texts[advice.text][1]
        if question.adviser.engine == "ner":
            start, end = (0, len(text)) if advice.start is None or advice.end is None else (advice.start, advice.end)
            spans.setdefault(text, []).append(Finding(rule, start, end, advice.score))
            continue
        tally.add(rule)
        if guard.done(rule) is Action.BLOCK:
            raise refused_whole(rule)
    return _replace(spans, tree, guard, tally)


def _rule(adviser: Adviser, advice: Advice) -> str:
    """A service's own words for what it found are not ours: policy knows it by its name."""
    return advice.rule if adviser.engine and advice.rule in adviser.rules else f"advice.{adviser.name}"


def _replace(spans: dict[str, list[Finding]], tree: dict[str, Any], guard: Guard, tally: Tally) -> bool:
    changed = {}
    for text, findings in spans.items():
        laid = guard.lay(text, sorted(findings, key=lambda each: (each.start, -each.end, each.rule)), tally)
        if laid.blocked is not None:
            raise refused_span(laid.blocked)
        if laid.text != text:
            changed[text] = laid.text
    if changed:
        rewrite(tree, changed)
    return bool(changed)


def _go_without(question: Advise, reason: str, guard: Guard, assessor: Assessor, tally: Tally) -> None:
    """Nobody advised: what was doubtful is judged as well as it can be, and policy says whether that will do."""
    adviser = question.adviser
    acts = any(guard.runs(rule) and guard.done(rule) not in _SIGHTLESS for rule in adviser.rules)
    if adviser.on_failure == "refuse" and acts:
        raise GatewayError(
            Kind.ADVICE_UNAVAILABLE,
            "The gateway could not have the request judged and refused it. Try again in a moment.",
            cause=f"{adviser.name}: {reason}",
        )
    if adviser.engine == "injection":
        positions = [(Provenance(provenance), text) for provenance, text in question.texts]
        blocked = assessor.model_only(positions, tally)
        if blocked is not None:
            raise refused_whole(blocked)
