"""The line that throws cached answers away: of a tenant that is there, by tags and models that have their form."""

from types import SimpleNamespace

import pytest

from control.admin import Actor, Wish
from control.cache_actions import actions
from control.problem import Refusal
from gateway.script import ScriptError


class Marks:
    """Keeps what is marked."""

    def __init__(self):
        self.marked, self.failure = [], None

    async def mark(self, tenant, tags):
        if self.failure is not None:
            raise self.failure
        self.marked.append((tenant, list(tags)))
        return 1_700_000_000_000


@pytest.fixture
def marks():
    return Marks()


@pytest.fixture
def run(marks):
    (action,) = actions(marks, lambda: SimpleNamespace(tenants={"acme": object()}))
    assert action.changes

    async def ask(tenant="acme", **body):
        return await action.run(Wish(Actor("alice", "uid:7"), (tenant,), {}, body, "", 1_700_000_000.0))

    return ask


@pytest.mark.parametrize(
    ("body", "tags"),
    [
        ({}, ["*"]),
        ({"reason": "start over"}, ["*"]),
        ({"tags": [], "models": []}, ["*"]),
        ({"tags": ["prices", "v2.1"]}, ["prices", "v2.1"]),
        ({"models": ["gpt-4o-mini"]}, ["model:gpt-4o-mini"]),
        ({"tags": ["faq"], "models": ["m"]}, ["faq", "model:m"]),
    ],
)
async def test_what_is_named_is_marked(run, marks, body, tags):
    done = await run(**body)
    assert marks.marked == [("acme", tags)]
    assert done.body == {"tenant": "acme", "tags": tags, "before_ms": 1_700_000_000_000}
    assert (done.tenant, done.subject) == ("acme", ", ".join(tags))


@pytest.mark.parametrize(
    "body",
    [
        {"tags": ["*"]},
        {"tags": ["model:x"]},
        {"tags": "faq"},
        {"models": ["a b"]},
        {"tag": ["faq"]},
        {"tags": ["x"] * 65},
    ],
)
async def test_what_is_not_understood_throws_nothing_away(run, marks, body):
    with pytest.raises(Refusal):
        await run(**body)
    assert marks.marked == []


async def test_a_tenant_that_is_not_there_is_told(run, marks):
    with pytest.raises(Refusal) as refused:
        await run(tenant="other")
    assert (refused.value.status, marks.marked) == (404, [])


@pytest.mark.parametrize("failure", [ScriptError("gone"), TimeoutError()])
async def test_a_cache_that_is_away_is_told(run, marks, failure):
    marks.failure = failure
    with pytest.raises(Refusal) as refused:
        await run()
    assert refused.value.status == 503
