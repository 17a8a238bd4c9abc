"""Effort and budgets, from the words of one API to those of another."""

import pytest

from extproc.translate.canon import EFFORTS, Reasoning
from extproc.translate.fields import Losses
from extproc.translate.reasoning import budget_of, effort_of

FEW = frozenset({"low", "medium", "high"})


@pytest.mark.parametrize(
    ("asked", "told", "lost"),
    [
        (Reasoning("low"), "low", set()),
        (Reasoning("none"), "low", {"reasoning.effort"}),
        (Reasoning("minimal"), "low", {"reasoning.effort"}),
        (Reasoning("max"), "high", {"reasoning.effort"}),
        (Reasoning("huge"), None, {"reasoning.effort"}),
        (Reasoning(), None, set()),
        (Reasoning(None, 2000), "low", {"reasoning.budget_tokens"}),
        (Reasoning(None, 8000), "medium", {"reasoning.budget_tokens"}),
        (Reasoning("high", 8000), "high", set()),
    ],
)
def test_an_effort_is_told_in_the_words_that_there_are(asked, told, lost):
    losses = Losses()
    assert effort_of(asked, FEW, losses) == told
    assert {each.field for each in losses.told()} == lost


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_told_as_a_budget_comes_back_as_an_effort_no_smaller(effort):
    budget = budget_of(Reasoning(effort), Losses())
    back = effort_of(Reasoning(None, budget), frozenset(EFFORTS), Losses())
    assert EFFORTS.index(back) >= min(EFFORTS.index(effort), EFFORTS.index("xhigh"))
