"""Questions go to whom they are for; what is not there answers nothing."""

from extproc.core.questions import Advise, Advised, Failed, Reserve
from extproc.oracle import Oracle
from gateway.budgets.model import Amounts, Ask, Reservation, Reserved, Subject, Verdict
from gateway.policy.model import Adviser

ADVISE = Advise(Adviser(name="n", engine="ner"), "r", "acme", (("user", "x"),))
RESERVE = Reserve(Ask(Subject("acme"), (), Amounts()))
GRANTED = Reserved(Reservation("r", "acme", (), 0.0), Verdict(allowed=True))


class Told:
    def __init__(self, at_once):
        self.at_once = at_once

    async def ask(self, question):
        return Advised(())

    def take(self, ask):
        return self.at_once

    async def reserve(self, ask):
        return GRANTED


async def test_each_question_has_its_own():
    oracle = Oracle(Told(None), Told(None))
    assert oracle.at_once(ADVISE) is None
    assert oracle.at_once(RESERVE) is None
    assert await oracle.ask(ADVISE) == Advised(())
    assert await oracle.ask(RESERVE) is GRANTED


async def test_a_budget_that_is_at_hand_waits_for_nobody():
    assert Oracle(None, Told(GRANTED)).at_once(RESERVE) is GRANTED


async def test_whoever_is_not_there_fails():
    for question in (ADVISE, RESERVE):
        assert isinstance(Oracle().at_once(question), Failed)
        assert isinstance(await Oracle().ask(question), Failed)
