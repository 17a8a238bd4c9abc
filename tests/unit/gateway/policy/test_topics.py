"""The `topics` block of a tenant."""

import pytest

from gateway.policy.load import load
from gateway.policy.model import Action
from gateway.policy.problem import PolicyError
from gateway.policy.topics import MAX_EXAMPLE_CHARS, MIN_EXAMPLES

FILES = {
    "policy.yaml": "name: test\n",
    "backends.yaml": "demo:\n  url: http://127.0.0.1:8091\n",
    "models.yaml": "gpt: demo\n",
}
EXAMPLES = "# what people ask\n" + "".join(f"example number {n}\n\n" for n in range(MIN_EXAMPLES))
TERMS = "{rivals: {kind: banned, terms: [globex, initech inc]}}"
BOTH = "{bets: {kind: banned, examples: topics/bets.txt}, garden: {kind: allowed, terms: [rose]}}"


def read(directory, block, more="", **files):
    tenants = f"acme:\n  models: [gpt]\n  routes: ['*']\n  topics: {block}\n{more}"
    for name, text in (FILES | {"tenants.yaml": tenants} | files).items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    return load(directory, rules={"pii.email"}).tenants["acme"]


def problems(directory, block, **files):
    with pytest.raises(PolicyError) as caught:
        read(directory, block, **files)
    return "\n".join(str(problem) for problem in caught.value.problems)


def test_a_banned_topic_is_a_rule_and_an_allowed_one_makes_every_other_one_a_rule(tmp_path):
    tenant = read(tmp_path, BOTH, **{"topics/bets.txt": EXAMPLES})
    assert {rule for rule in tenant.request if rule.startswith("topic.")} == {"topic.bets", "topic.other"}
    assert tenant.request["topic.bets"].action is Action.FLAG
    assert len(tenant.topics["bets"].examples) == MIN_EXAMPLES
    assert tenant.topics["garden"].allowed


def test_without_allowed_topics_there_is_no_other_one(tmp_path):
    tenant = read(tmp_path, TERMS, "  guards: {response: {topic.rivals: block}}\n")
    assert "topic.other" not in tenant.request
    assert tenant.response["topic.rivals"].action is Action.BLOCK


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("{x: {terms: [one]}}", "kind: missing"),
        ("{x: {kind: banned}}", "neither terms nor examples"),
        ("{other: {kind: banned, terms: [one]}}", "expected a name"),
        ("{X: {kind: banned, terms: [one]}}", "expected a name"),
        ("{x: {kind: banned, terms: [a]}}", "a word or phrase"),
        ("{x: {kind: banned, examples: /etc/passwd}}", "expected a file"),
        ("{x: {kind: banned, examples: topics/none.txt}}", "cannot be read"),
        ("{x: {kind: banned, terms: [one], term: [two]}}", "unknown field"),
    ],
)
def test_mistakes_are_told(tmp_path, block, complaint):
    assert complaint in problems(tmp_path, block)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("only one\n", "expected 8 to 500"), (EXAMPLES + "a" * (MAX_EXAMPLE_CHARS + 1), "characters")],
)
def test_examples_are_some_and_not_long(tmp_path, text, complaint):
    assert complaint in problems(tmp_path, "{x: {kind: banned, examples: topics/x.txt}}", **{"topics/x.txt": text})


def test_a_file_that_no_tenant_names_is_told(tmp_path):
    assert "not read" in problems(tmp_path, TERMS, **{"topics/lost.txt": EXAMPLES})
