"""How much a model shall think, from the words of one API to those of another. Pure arithmetic; knows no dialect."""

from typing import Final

from extproc.translate.canon import EFFORTS, Reasoning
from extproc.translate.fields import Losses

#: Least budget that reaches an effort. The bounds are ours: no provider says what its words cost. They lie at powers of
#: four from Anthropic's least budget on, so that each word is worth four times the one before it.
_BUDGETS: Final = (("none", 0), ("minimal", 1), ("low", 1024), ("medium", 4096), ("high", 16384), ("xhigh", 32768))
_TOKENS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768, "max": 65536}


def effort_of(reasoning: Reasoning, words: frozenset[str], losses: Losses) -> str | None:
    """The effort in `words`, those that the dialect knows. What is not said exactly is told."""
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None:
        effort = [word for word, least in _BUDGETS if reasoning.budget_tokens >= least][-1]
        losses.add("reasoning.budget_tokens", f"told as effort {effort}")
    if effort is None or effort in words:
        return effort
    if effort not in EFFORTS:
        losses.add("reasoning.effort", "the model knows no such effort")
        return None
    at = EFFORTS.index(effort)
    # The neighbour above, since too little thought spoils an answer; below where there is none above.
    near = next((word for word in (*EFFORTS[at:], *reversed(EFFORTS[:at])) if word in words), None)
    losses.add("reasoning.effort", f"told as {near}" if near else "the model knows no effort")
    return near


def budget_of(reasoning: Reasoning, losses: Losses) -> int | None:
    """The budget in tokens; 0 where nothing shall be thought."""
    if reasoning.budget_tokens is not None:
        return reasoning.budget_tokens
    if reasoning.effort is None:
        return None
    if reasoning.effort not in _TOKENS:
        losses.add("reasoning.effort", "the model knows no such effort")
        return None
    budget = _TOKENS[reasoning.effort]
    if budget:
        losses.add("reasoning.effort", f"told as {budget} tokens")
    return budget
