"""What records say was found, and whose fault an ending is."""

import orjson
import pytest

from extproc.core import endings
from extproc.guardrails.guard import Guard, Tally
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action, RuleSetting
from guarded import POOL


def tally(*rules):
    made = Tally()
    for rule in rules:
        made.add(rule)
    return made


def guard():
    actions = {"pii.email": Action.REDACT, "pii.card": Action.FLAG}
    return Guard.of(POOL, {rule: RuleSetting(rule=rule, action=action) for rule, action in actions.items()})


def test_a_record_tells_both_directions_and_what_policy_let_pass():
    found = endings.found((guard(), tally("pii.email")), (guard(), tally("pii.card", "pii.card")), None, unknown=True)
    assert [(one.rule, one.direction, one.count, one.action) for one in found] == [
        ("pii.email", "request", 1, "redact"),
        ("pii.card", "response", 2, "flag"),
        ("schema.unknown_field", "request", 1, "flag"),
    ]


def test_a_direction_that_was_never_guarded_found_nothing():
    assert endings.found((None, Tally()), (None, tally("pii.email")), None, unknown=False) == ()


@pytest.mark.parametrize("kind", [Kind.JSON_TOO_COMPLEX, Kind.JSON_TOO_DEEP])
def test_a_model_that_says_too_much_is_not_its_caller_s_fault(kind):
    error = endings.of_answer(GatewayError(kind, "Too deep."))
    assert (error.kind, error.cause) == (Kind.BACKEND_ANSWER_INVALID, "too complex")
    other = GatewayError(Kind.ANSWER_BLOCKED, "No.")
    assert endings.of_answer(other) is other


def failure(call, *arguments):
    with pytest.raises(Exception) as caught:
        call(*arguments)
    return endings.unforeseen(caught.value).kind


def test_what_is_too_deep_to_be_written_is_told_as_that_and_no_other_defect_is():
    deep = orjson.loads(b"[" * 1000 + b"]" * 1000)
    assert failure(orjson.dumps, deep) is Kind.JSON_TOO_DEEP
    assert failure(orjson.dumps, object()) is Kind.INTERNAL
    assert failure(int, None) is Kind.INTERNAL
    assert endings.unforeseen(RecursionError()).kind is Kind.JSON_TOO_DEEP
