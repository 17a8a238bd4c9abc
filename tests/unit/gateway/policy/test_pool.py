"""The pool of a model: what is read, and which mistakes are told with their line."""

import pytest

from gateway.policy.load import load
from gateway.policy.model import Select
from gateway.policy.problem import PolicyError

BACKENDS = """
a: {url: "https://a.example"}
b: {url: "https://b.example"}
c: {url: "https://c.example", dialect: anthropic}
"""
RULES = ("pii.card", "pii.email", "secret.key")


def read(tmp_path, models, backends=BACKENDS):
    files = {
        "policy.yaml": "name: test\nlimits: {idle_s: 40}\n",
        "tenants.yaml": 'acme: {models: ["*"], routes: ["*"]}\n',
        "backends.yaml": backends,
        "models.yaml": models,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return load(tmp_path, rules=RULES).models


def problems(tmp_path, models, backends=BACKENDS):
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, models, backends)
    return str(caught.value)


def test_a_name_alone_is_what_it_was(tmp_path):
    models = read(tmp_path, "x: a\ny: {backend: b}\n")
    assert [(model.backend, model.pool, model.backends) for model in models.values()] == [
        ("a", None, ("a",)),
        ("b", None, ("b",)),
    ]


def test_a_pool_is_asked_in_its_order_and_stands_in_for_everything(tmp_path):
    model = read(tmp_path, "x: {backends: [b, a], owned_by: me}\n")["x"]
    assert (model.backend, model.backends, model.owned_by) == ("b", ("b", "a"), "me")
    assert model.pool.select is Select.ORDERED
    assert model.pool.retry_on == {"5xx", "429", "no_answer"}
    assert (model.pool.first_byte_s, model.pool.tell) == (40, False)


def test_everything_that_a_pool_can_say(tmp_path):
    text = (
        "x:\n  backends: [a, b]\n  select: weighted\n  weights: {a: 9, b: 1}\n  retry_on: [5xx]\n  first_byte_s: 7\n"
        "  when_found: {'pii.*': [b], secret.key: b}\n  tell: true\n"
    )
    pool = read(tmp_path, text)["x"].pool
    assert (dict(pool.weights), pool.retry_on, pool.first_byte_s, pool.tell) == ({"a": 9, "b": 1}, {"5xx"}, 7, True)
    assert [(each.rule, each.backends) for each in pool.restrictions] == [("pii.*", {"b"}), ("secret.key", {"b"})]
    assert read(tmp_path, "x: {backends: [a, b], retry_on: []}\n")["x"].pool.retry_on == frozenset()


@pytest.mark.parametrize(("said", "read_as"), [("", None), (", sampling: true", True), (", sampling: false", False)])
def test_what_is_not_said_of_sampling_is_left_to_the_dialect(tmp_path, said, read_as):
    assert read(tmp_path, f"x: {{backend: a{said}}}\n")["x"].sampling is read_as


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("backends: [a]", "expected 2 to 5 backends"),
        ("backends: [a, b, a]", "is named twice"),
        ("backends: [a, nowhere]", "unknown backend"),
        ("backends: [a, b], upstream_model: {c: x}", "not a backend of this model"),
        ("backends: [a, b], upstream_model: a b", "expected a provider's name of a model"),
        ("backend: a, on_loss: shrug", "unknown value"),
        ("backend: a, thinking: hard", "unknown value"),
        ("backend: a, sampling: maybe", "unknown value"),
        ("backends: [a, b], lacks: {a: [smell]}", "unknown value"),
        ("backends: [a, b], lacks: {c: [tools]}", "not a backend of this pool"),
        ("backends: [a, b], context: {a: 7}", "expected tokens"),
        ("backends: [a, b], select: cheapest, weights: {a: 1, b: 1}", "only select: weighted and select: sticky"),
        ("backends: [a, b], select: complexity", "from_score: missing"),
        ("backends: [a, b], select: complexity, from_score: {a: 0}", "expected a score from 1 to 100"),
        ("backends: [a, b], select: complexity, from_score: {c: 20}", "not a backend of this pool"),
        ("backends: [a, b], select: complexity, from_score: {a: 5, b: 20}", "every backend has a score"),
        ("backends: [a, b], from_score: {b: 20}", "only select: complexity has scores"),
        ("backends: [a, b], select: lowest_latency, weights: {a: 1, b: 1}", "only select: weighted"),
        ("backends: [a, b], backend: a", "unknown field"),
        ("backend: a, select: ordered", "unknown field"),
        ("backends: [a, b], select: random", "unknown value"),
        ("backends: [a, b], select: weighted", "weights: missing"),
        ("backends: [a, b], select: weighted, weights: {a: 1}", "no weight for"),
        ("backends: [a, b], select: weighted, weights: {a: 0, b: 0}", "all weights are 0"),
        ("backends: [a, b], select: weighted, weights: {a: 1, b: -1}", "expected a weight"),
        ("backends: [a, b], weights: {a: 1, b: 1}", "only select: weighted"),
        ("backends: [a, b], select: weighted, weights: {a: 1, b: 1, c: 1}", "not a backend of this pool"),
        ("backends: [a, b], retry_on: [4xx]", "unknown value"),
        ("backends: [a, b], first_byte_s: 0", "from 1 to 3600"),
        ("backends: [a, b], when_found: {'pi.*': [a]}", "covers no rule"),
        ("backends: [a, b], when_found: {'pii*': [a]}", "covers no rule"),
        ("backends: [a, b], when_found: {'pii.*': [c]}", "is no backend of this pool"),
        ("backends: [a, b], when_found: {'pii.*': []}", "expected a list"),
        ("backends: [a, b], tell: maybe", "unknown value"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, fields, told):
    found = problems(tmp_path, f"ok: a\nx: {{{fields}}}\n")
    assert told in found
    assert "models.yaml:2:" in found


def test_a_canary_may_be_sticky(tmp_path):
    pool = read(tmp_path, "x: {backends: [a, b], select: sticky, weights: {a: 95, b: 5}}\n")["x"].pool
    assert (pool.select, dict(pool.weights)) == (Select.STICKY, {"a": 95, "b": 5})


def test_more_orders_than_envoy_shall_hold_are_a_problem(tmp_path):
    names = [f"n{number}" for number in range(20)]
    backends = "".join(f'{name}: {{url: "https://{name}.example"}}\n' for name in names)
    models = []
    for at in range(0, 20, 5):
        five = names[at : at + 5]
        weights = ", ".join(f"{name}: 1" for name in five)
        models.append(f"m{at}: {{backends: [{', '.join(five)}], select: weighted, weights: {{{weights}}}}}\n")
    assert len(read(tmp_path, "".join(models[:3]), backends)) == 3
    assert "models.yaml:4:" in (told := problems(tmp_path, "".join(models), backends))
    assert "more than 256 orders" in told
