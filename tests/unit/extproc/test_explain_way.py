"""Where one request would go: each backend with its place, or with the reason why not."""

import json
from dataclasses import replace

import pytest

from extproc.core.journal import NOBODY
from extproc.explain_way import ways
from gateway.policy.copies import Mirror
from gateway.policy.model import Backend, Model, Pool, Restriction, Select
from playbook import MAIL
from worlds import FakeClock, policy

POOL = Pool(
    backends=("a", "b", "c", "d"),
    lacks={"b": frozenset({"tools"})},
    context={"c": 2000},
    restrictions=(Restriction(rule="pii.email", backends=frozenset("abc")),),
)


def told(*, tenant=None, pool=POOL, path="/v1/chat/completions", **fields):
    base = policy()
    backends = {name: Backend(name=name, host="127.0.0.1", port=1, tls=False) for name in "abc"}
    backends["d"] = Backend(name="d", host="127.0.0.1", port=1, tls=False, dialect="anthropic")
    tenants = {"acme": replace(base.tenants["acme"], models=frozenset({"*"}), **(tenant or {}))}
    held = replace(base, backends=backends, models={"m": Model(name="m", backend="a", pool=pool)}, tenants=tenants)
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    caller = replace(NOBODY, tenant="acme", policy=held.version)
    return ways(json.dumps(body).encode(), path, held, caller, FakeClock())


def why(found):
    return {each.backend: each.why or each.place for each in found.candidates}


def test_all_in_the_order_of_the_attempts():
    assert why(told()) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_each_has_its_own_reason():
    tool = {"type": "function", "function": {"name": "f"}}
    found = why(told(tools=[tool], max_tokens=3000, messages=[{"role": "user", "content": MAIL}]))
    assert found["a"] == 1
    assert found["b"] == "it lacks tools"
    assert "2000 tokens" in found["c"]
    assert found["d"].startswith("pii.email was found")


def test_what_the_tenant_may_not_reach_and_what_would_be_lost():
    found = told(tenant={"backends": frozenset("bd")}, logit_bias={"1": 1})
    assert why(found)["a"] == "the tenant's requests may not go there"
    assert [each.lost for each in found.candidates if each.backend == "d"] == ["logit_bias"]


def test_a_route_without_words_in_a_dialect():
    found = told(path="/v1/embeddings", messages=None, input="x")
    assert "no words for /v1/embeddings" in why(found)["d"]


def test_a_refused_request_says_so():
    assert told(pool=replace(POOL, context=dict.fromkeys("abcd", 100))).verdict.decision == "refuse"


@pytest.mark.parametrize("body", [b"{", b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}'])
def test_what_cannot_be_told_is_a_problem(body):
    base = policy()
    with pytest.raises(ValueError, match=r"model|JSON"):
        ways(body, "/v1/chat/completions", base, replace(NOBODY, tenant="acme", policy=base.version), FakeClock())


MIRRORED = replace(POOL, backends=("a",), mirror=Mirror(backend="d", percent=5))


def test_a_mirror_is_told_with_what_it_would_be_sent():
    mirror = told(pool=MIRRORED, logit_bias={"1": 1}).mirror
    assert (mirror.backend, mirror.percent, mirror.why, mirror.dialect) == ("d", 5, "", "anthropic")
    assert (mirror.upstream_model, mirror.lost) == ("m", "logit_bias")
    assert told().mirror is None


def test_why_a_mirror_would_be_sent_nothing():
    found = told(pool=MIRRORED, messages=[{"role": "user", "content": MAIL}])
    assert found.mirror.why.startswith("pii.email was found")
    assert "may not go there" in told(pool=MIRRORED, tenant={"backends": frozenset("a")}).mirror.why
    assert told(pool=MIRRORED, tenant={"backends": frozenset("d")}).mirror.why == "the request is refused"


def test_weights_are_told():
    found = told(pool=Pool(backends=("a", "b"), select=Select.STICKY, weights={"a": 95, "b": 5}))
    assert {each.backend: each.weight for each in found.candidates} == {"a": 95, "b": 5}
    assert {each.weight for each in told().candidates} == {None}


def test_a_score_is_told_with_what_it_is_made_of():
    pool = replace(POOL, select=Select.COMPLEXITY, scores={"d": 20})
    easy, hard = told(pool=pool), told(pool=pool, messages=[{"role": "user", "content": "Prove it step by step."}])
    assert (easy.score, easy.features, why(easy)) == (0, (), {"a": 1, "b": 2, "c": 3, "d": 4})
    assert (hard.score, hard.features, why(hard)) == (20, (("reasoning", 20),), {"d": 1, "a": 2, "b": 3, "c": 4})
    assert told().score is None
