"""The `budgets` block: every kind of limit, what a tenant takes over from the policy, and mistakes with their place."""

import pytest

from extproc.counting.tokenizer import FAMILIES
from gateway.budgets.model import PER_DAY, PER_MONTH, RUNNING, Dimension, Kind, Limit, Outage, Resource, Shape, Window
from gateway.policy.load import load
from gateway.policy.model import TOKENIZERS, Budget
from gateway.policy.problem import PolicyError

MINUTE = Window(Shape.SLIDING, 60)
T = (Dimension.TENANT,)
TENANT = "acme:\n  models: [gpt]\n  routes: ['*']\n"


def load_from(directory, policy="", tenant="", models="gpt: demo\n"):
    files = {
        "policy.yaml": f"name: test\n{policy}",
        "tenants.yaml": TENANT + tenant,
        "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
        "models.yaml": models,
    }
    for name, content in files.items():
        (directory / name).write_text(content)
    return load(directory, rules=())


def read(directory, policy="", tenant=""):
    return load_from(directory, policy, tenant).tenants["acme"].budgets


def limits(directory, text):
    return read(directory, tenant=f"  budgets: {{limits: {text}}}").limits


def test_no_block_limits_nothing(tmp_path):
    budget = read(tmp_path)
    assert budget == Budget(limits=(), outage=Outage.DENY, alerts=(50, 80, 100))
    assert not budget.counts_tokens
    assert not budget.counts_money


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{requests: 60, per: minute}", Limit("a", T, Resource.REQUESTS, 60, MINUTE)),
        ("{tokens_in: 9, per: hour}", Limit("a", T, Resource.TOKENS_IN, 9, Window(Shape.SLIDING, 3600))),
        ("{tokens_out: 9, window_s: 10}", Limit("a", T, Resource.TOKENS_OUT, 9, Window(Shape.SLIDING, 10))),
        ("{tokens: 9, per: day, kind: soft}", Limit("a", T, Resource.TOKENS, 9, PER_DAY, Kind.SOFT)),
        ("{tokens: 9, per: minute, shape: bucket}", Limit("a", T, Resource.TOKENS, 9, Window(Shape.BUCKET, 60))),
        ("{streams: 4, scope: [key]}", Limit("a", (Dimension.KEY,), Resource.STREAMS, 4, RUNNING)),
        ("{money: 0.5, per: month, on_exceed: 402}", Limit("a", T, Resource.MICRO_USD, 500_000, PER_MONTH, on_exceed=402)),
        ("{money: 12.000001, per: day}", Limit("a", T, Resource.MICRO_USD, 12_000_001, PER_DAY)),
        (
            "{requests: 1, per: minute, scope: [model, principal, tenant, key]}",
            Limit("a", (Dimension.KEY, Dimension.PRINCIPAL, Dimension.MODEL), Resource.REQUESTS, 1, MINUTE),
        ),
        ("{requests: 1, per: minute, scope: model_group}", Limit("a", (Dimension.MODEL_GROUP,), Resource.REQUESTS, 1, MINUTE)),
    ],
)  # fmt: skip
def test_every_kind_of_limit_is_read(tmp_path, line, expected):
    assert limits(tmp_path, f"{{a: {line}}}") == (expected,)


def test_what_has_to_be_known_of_a_request(tmp_path):
    assert not read(tmp_path, tenant="  budgets: {limits: {a: {requests: 1, per: day}, b: {streams: 1}}}").counts_tokens
    tokens = read(tmp_path, tenant="  budgets: {limits: {a: {tokens: 1, per: day}}}")
    assert (tokens.counts_tokens, tokens.counts_money) == (True, False)
    money = read(tmp_path, tenant="  budgets: {limits: {a: {money: 1, per: day}}}")
    assert (money.counts_tokens, money.counts_money) == (True, True)


def test_a_tenants_lines_go_before_the_policys_name_by_name(tmp_path):
    policy = """
budgets:
  outage: local
  alerts: [90]
  limits:
    day: {tokens: 100, per: day}
    month: {money: 50, per: month}
    streams: {streams: 2}
"""
    own = "  budgets: {limits: {day: {tokens: 7, per: day}, streams: off}}"
    budget = read(tmp_path, policy, own)
    assert [(limit.name, limit.amount) for limit in budget.limits] == [("day", 7), ("month", 50_000_000)]
    assert (budget.outage, budget.alerts) == (Outage.LOCAL, (90,))
    assert read(tmp_path, policy).limits == tuple(sorted(read(tmp_path, policy).limits, key=lambda limit: limit.name))
    assert len(read(tmp_path, policy).limits) == 3


def test_a_tenant_may_have_its_own_outage_and_alerts(tmp_path):
    budget = read(tmp_path, "budgets: {outage: local, alerts: [90]}\n", "  budgets: {outage: deny, alerts: []}")
    assert (budget.outage, budget.alerts) == (Outage.DENY, ())
    assert read(tmp_path, tenant="  budgets: {alerts: [100, 50, 100]}").alerts == (50, 100)


MISTAKES = [
    ("{per: day}", "tenants.yaml:4:25: acme.budgets.limits.a: expected one of requests, tokens, tokens_in, tokens_out, streams, money; found none"),
    ("{requests: 1, tokens: 1, per: day}", "found 2 of them"),
    ("{requests: 1}", "acme.budgets.limits.a.per: missing; known: day, hour, minute, month"),
    ("{requests: 1, per: week}", 'unknown value "week"'),
    ("{requests: 0, per: day}", "expected a whole number from 1 to"),
    ("{requests: 1.5, per: day}", "expected a whole number"),
    ("{money: 0, per: day}", "tenants.yaml:4:33: acme.budgets.limits.a.money: expected money from 0.000001 to 10000000"),
    ("{money: 99999999, per: day}", "expected money from"),
    ("{money: $5, per: day}", "expected an amount of money"),
    ("{requests: 1, per: day, window_s: 5}", "beside `per`"),
    ("{requests: 1, window_s: 90000}", "expected a whole number from 1 to 86400"),
    ("{requests: 1, per: day, shape: bucket}", "a day of the calendar is no bucket; use window_s: 86400"),
    ("{tokens: 9999999999999, window_s: 86400, shape: bucket}", "must stay below 2^52"),
    ("{streams: 1, per: day}", 'unknown field "per"'),
    ("{requests: 1, per: day, scope: [user]}", "unknown dimension user; known: tenant, key"),
    ("{requests: 1, per: day, kind: firm}", 'unknown value "firm"'),
    ("{requests: 1, per: day, on_exceed: 403}", 'unknown value "403"; '),
    ("{requests: 1, per: day, on_exced: 402}", 'did you mean "on_exceed"?'),
    ("off", "there is no such limit to switch off in policy.yaml"),
    ("60", 'expected fields, found "60"'),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_told_with_its_place_and_a_way_out(tmp_path, line, expected):
    with pytest.raises(PolicyError) as caught:
        limits(tmp_path, f"{{a: {line}}}")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("{outage: allow}", 'budgets.outage: unknown value "allow"; known: deny, local'),
        ("{alerts: [0]}", "expected a percentage"),
        ("{alerts: [1, 2, 3, 4, 5, 6, 7, 8, 9]}", "more than 8 thresholds"),
        ("{limits: {Day: {requests: 1, per: day}}}", "expected a name of up to 40"),
        ("{limits: {a: off}}", "expected fields"),
        ("{limit: {}}", 'did you mean "limits"?'),
    ],
)
def test_mistakes_of_the_policys_own_block_are_told(tmp_path, block, expected):
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, f"budgets: {block}\n")
    assert expected in str(caught.value)


def test_a_tenant_has_a_bounded_number_of_limits(tmp_path):
    lines = ", ".join(f"l{number}: {{requests: 1, per: day}}" for number in range(33))
    with pytest.raises(PolicyError, match="more than 32 limits"):
        limits(tmp_path, f"{{{lines}}}")


def test_a_limit_is_part_of_the_version(tmp_path):
    versions = {
        load_from(tmp_path, tenant=f"  budgets: {{limits: {{a: {{money: {amount}, per: day}}}}}}").version
        for amount in ("1", "1.0", "2")
    }
    assert len(versions) == 2


def test_a_model_may_tell_its_group_its_tokenizer_and_its_longest_answer(tmp_path):
    models = "gpt: {backend: demo, group: large, tokenizer: o200k, max_output_tokens: 4096}\n"
    model = load_from(tmp_path, models=models).models["gpt"]
    assert (model.group, model.tokenizer, model.max_output_tokens) == ("large", "o200k", 4096)
    with pytest.raises(PolicyError, match="known: cl100k, claude, o200k, other"):
        load_from(tmp_path, models="gpt: {backend: demo, tokenizer: llama}\n")


def test_policy_and_counting_know_the_same_tokenizers():
    assert TOKENIZERS == FAMILIES
