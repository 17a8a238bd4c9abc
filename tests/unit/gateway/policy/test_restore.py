import pytest

from gateway.policy.field import Table
from gateway.policy.guard import read_guards
from gateway.policy.model import Action, Restore
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.restore import read_restore
from gateway.policy.tree import parse


def read(text, reader):
    problems = Problems()
    found = reader(Table(parse(text, "t.yaml", problems), (), problems), problems)
    problems.stop_if_any()
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Restore()),
        ("restore: true", Restore()),
        ("restore: false", Restore(on=False)),
        ("restore: {tools: [mail, 'send_*']}", Restore(tools=frozenset({"mail", "send_*"}))),
        ("restore: {tools: mail}", Restore(tools=frozenset({"mail"}))),
        ("restore: {tools: []}", Restore()),
    ],
)
def test_readers_get_values_back_and_tools_that_are_named(text, wanted):
    assert read(text, read_restore) == wanted


@pytest.mark.parametrize(
    "text", ["restore: yes", "restore: {tool: mail}", "restore: {tools: ['a b']}", "restore: [mail]"]
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(PolicyError, match="restore"):
        read(text, read_restore)


def guards(table, problems):
    return read_guards(table, {"pii.email", "pii.card"}, problems)


@pytest.mark.parametrize("spelling", ["tokenise", "tokenize"])
def test_requests_are_tokenised_in_either_spelling(spelling):
    wishes = read(f"request: {{'pii.*': {spelling}}}", guards)
    assert wishes["request"]["pii.*"].action is Action.TOKENISE


@pytest.mark.parametrize("line", ["'*': tokenise", "pii.email: {action: tokenise, mode: shadow}"])
def test_tokenising_answers_is_refused(line):
    with pytest.raises(PolicyError, match="tokenise is an action for requests"):
        read(f"response: {{{line}}}", guards)
