"""What records say was found, and whose fault an ending is."""

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


def test_a_model_that_says_too_much_is_not_its_caller_s_fault():
    error = endings.of_answer(GatewayError(Kind.JSON_TOO_COMPLEX, "Too deep."))
    assert (error.kind, error.cause) == (Kind.BACKEND_ANSWER_INVALID, "too complex")
    other = GatewayError(Kind.ANSWER_BLOCKED, "No.")
    assert endings.of_answer(other) is other
