"""`budgets.shared`: who shares what, and every mistake with its place."""

import pytest

from gateway.budgets.model import PER_MINUTE, RUNNING, Dimension, Limit, Resource, Shape, Shared, Window
from gateway.policy.load import load
from gateway.policy.model import ALERTS
from gateway.policy.problem import PolicyError

BOTH = (("acme", 3), ("beta", 1))
WEIGHTS = "weights: {acme: 3, beta: 1}"


def load_from(directory, shared, policy="", acme=""):
    files = {
        "policy.yaml": f"name: test\nbudgets:\n  shared: {{{shared}}}\n{policy}",
        "tenants.yaml": "".join(
            f"{name}:\n  models: [gpt]\n  routes: ['*']\n{more}" for name, more in (("acme", acme), ("beta", ""), ("cy", ""))
        ),
        "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
        "models.yaml": "gpt: demo\nllama: {backend: demo, group: large}\n",
    }  # fmt: skip
    for name, content in files.items():
        (directory / name).write_text(content)
    return load(directory, rules=())


def limits(directory, shared, tenant="acme", **more):
    return load_from(directory, shared, **more).tenants[tenant].budgets.limits


@pytest.mark.parametrize(
    ("line", "resource", "amount", "window"),
    [
        ("tokens: 600, per: minute", Resource.TOKENS, 600, PER_MINUTE),
        ("requests: 600, per: hour", Resource.REQUESTS, 600, Window(Shape.SLIDING, 3600)),
        ("tokens_out: 600, window_s: 10", Resource.TOKENS_OUT, 600, Window(Shape.SLIDING, 10)),
        ("streams: 40", Resource.STREAMS, 40, RUNNING),
        ("money: 2.5, per: hour", Resource.MICRO_USD, 2_500_000, Window(Shape.SLIDING, 3600)),
    ],
)
def test_every_kind_of_shared_limit_is_read_for_each_member(tmp_path, line, resource, amount, window):
    expected = Limit("gpu", (Dimension.TENANT,), resource, amount, window, shared=Shared(BOTH, alerts=ALERTS))
    text = f"gpu: {{{line}, {WEIGHTS}}}"
    assert limits(tmp_path, text) == limits(tmp_path, text, "beta") == (expected,)
    assert limits(tmp_path, text, "cy") == ()
    assert (expected.shared.assured(amount, "acme"), expected.shared.assured(amount, "cy")) == (amount * 3 // 4, 0)


def test_a_shared_limit_may_be_of_some_models(tmp_path):
    (limit,) = limits(tmp_path, f"gpu: {{streams: 40, {WEIGHTS}, models: [gpt], model_groups: large}}")
    assert limit.shared == Shared(BOTH, frozenset({"gpt"}), frozenset({"large"}), ALERTS)
    assert limit.shared.counts("gpt", "")
    assert limit.shared.counts("llama", "large")
    assert not limit.shared.counts("other", "small")


def test_the_policys_percentages_are_those_of_what_is_shared(tmp_path):
    text = f"gpu: {{streams: 40, {WEIGHTS}}}"
    policy = f"name: test\nbudgets:\n  alerts: [70, 90]\n  shared: {{{text}}}\n"
    load_from(tmp_path, text)
    (tmp_path / "policy.yaml").write_text(policy)
    (limit,) = load(tmp_path, rules=()).tenants["acme"].budgets.limits
    assert limit.shared.alerts == (70, 90)


def test_it_stands_beside_a_tenants_own_limits_and_tells_what_must_be_counted(tmp_path):
    own = "  budgets: {limits: {each: {requests: 5, per: day, scope: key}}}\n"
    text = f"gpu: {{tokens: 600, per: minute, {WEIGHTS}}}"
    budgets = load_from(tmp_path, text, acme=own).tenants["acme"].budgets
    assert [one.name for one in budgets.limits] == ["each", "gpu"]
    assert budgets.counts_tokens


def test_a_policy_that_shares_nothing_keeps_its_name_and_one_that_does_has_another(tmp_path):
    names = {
        load_from(tmp_path, text).version
        for text in ("", f"gpu: {{streams: 40, {WEIGHTS}}}", "gpu: {streams: 40, weights: {acme: 3, beta: 2}}")
    }
    assert len(names) == 3


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("gpu: {streams: 4}", "gpu.weights", "missing"),
        ("gpu: {streams: 4, weights: {acme: 1}}", "gpu.weights", "expected 2 to 64 tenants"),
        ("gpu: {streams: 4, weights: {acme: 1, bete: 1}}", "gpu.weights.bete", "unknown tenant"),
        ("gpu: {streams: 4, weights: {acme: 0, beta: 1}}", "gpu.weights.acme", "a weight from 1 to 100"),
        ("gpu: {streams: 4, weights: {acme: 101, beta: 1}}", "gpu.weights.acme", "a weight from 1 to 100"),
        ("gpu: {streams: 4, weights: {acme: -1, beta: 1}}", "gpu.weights.acme", "a weight from 1 to 100"),
        ("gpu: {streams: 4, weights: {acme: 9, beta: 1}}", "gpu.weights.beta", "nothing is assured"),
        (f"gpu: {{tokens: 9, per: day, {WEIGHTS}}}", "gpu.per", "unknown value"),
        (f"gpu: {{tokens: 9, window_s: 3601, {WEIGHTS}}}", "gpu.window_s", "from 1 to 3600"),
        (f"gpu: {{tokens: 9, window_s: 60, per: minute, {WEIGHTS}}}", "gpu.window_s", "one of the two"),
        (f"gpu: {{per: minute, {WEIGHTS}}}", "gpu", "found none of them"),
        (f"gpu: {{tokens: 9, per: minute, scope: key, {WEIGHTS}}}", "gpu.scope", "unknown field"),
        (f"gpu: {{tokens: 9, per: minute, kind: soft, {WEIGHTS}}}", "gpu.kind", "unknown field"),
        (f"gpu: {{tokens: 9, per: minute, shape: bucket, {WEIGHTS}}}", "gpu.shape", "unknown field"),
        (f"gpu: {{streams: 4, models: [gtp], {WEIGHTS}}}", "gpu.models.[0]", "unknown model"),
        (f"gpu: {{streams: 4, model_groups: [lorge], {WEIGHTS}}}", "gpu.model_groups.[0]", "no model is in group"),
        (f"GPU: {{streams: 4, {WEIGHTS}}}", "GPU", "a name of up to 40"),
        (", ".join(f"g{n}: {{streams: 4, {WEIGHTS}}}" for n in range(5)), "g4", "more than 4 shared limits"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(tmp_path, line, where, message):
    with pytest.raises(PolicyError) as caught:
        load_from(tmp_path, line)
    assert any(f"shared.{where}".replace(".[", "[") in str(one).replace(".[", "[") and message in str(one) for one in caught.value.problems), caught.value.problems  # fmt: skip


def test_no_limit_of_a_member_has_the_name_of_what_it_shares(tmp_path):
    own = "  budgets: {limits: {gpu: {requests: 5, per: day}}}\n"
    with pytest.raises(PolicyError, match="for itself"):
        load_from(tmp_path, f"gpu: {{streams: 40, {WEIGHTS}}}", acme=own)


def test_a_file_of_tenants_that_cannot_be_read_is_the_only_mistake(tmp_path):
    with pytest.raises(PolicyError):
        load_from(tmp_path, f"gpu: {{streams: 40, {WEIGHTS}}}", acme="  : [\n")


def test_a_tenant_cannot_say_what_it_shares(tmp_path):
    with pytest.raises(PolicyError, match='unknown field "shared"'):
        load_from(tmp_path, "", acme=f"  budgets: {{shared: {{gpu: {{streams: 4, {WEIGHTS}}}}}}}\n")
