import pytest

from control import problem
from control.problem import Refusal


@pytest.mark.parametrize(
    ("refusal", "code", "status"),
    [
        (problem.invalid("rate.requests", "expected a whole number"), "invalid", 422),
        (problem.unknown("key", "k7d2m0q9x4ab"), "key_unknown", 404),
        (problem.conflict("The key has changed meanwhile."), "conflict", 409),
        (problem.unavailable(), "unavailable", 503),
    ],
)
def test_each_refusal_has_its_code_and_status(refusal: Refusal, code: str, status: int):
    assert (refusal.code, refusal.status) == (code, status)


def test_the_text_names_the_field():
    refusal = problem.invalid("cidrs[0]", "not a network")
    assert (str(refusal), refusal.field, refusal.message) == ("cidrs[0]: not a network", "cidrs[0]", "not a network")


def test_an_unknown_thing_is_named():
    assert "k7d2m0q9x4ab" in str(problem.unknown("key", "k7d2m0q9x4ab"))
