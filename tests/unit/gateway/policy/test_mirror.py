"""The mirror of a pool: what is read, what may be said of its backend, and which mistakes are told with their line."""

from dataclasses import replace

import pytest

import worlds
from gateway.policy import walk
from gateway.policy.copies import Mirror
from gateway.policy.load import load
from gateway.policy.model import Model
from gateway.policy.problem import PolicyError
from gateway.policy.version import canonical

FILES = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": 'acme: {models: ["*"], routes: ["*"]}\n',
    "backends.yaml": "".join(f'{name}: {{url: "https://{name}.example"}}\n' for name in "abc"),
}


def read(tmp_path, models):
    for name, text in {**FILES, "models.yaml": models}.items():
        (tmp_path / name).write_text(text)
    return load(tmp_path, rules=("pii.card", "pii.email")).models


def test_a_mirror_may_stand_behind_one_backend_and_is_told_apart_from_it(tmp_path):
    text = (
        "x:\n  backends: [a]\n  mirror: {backend: c, percent: 7, per_minute: 9, tokens_per_day: 5000, timeout_s: 3}\n"
        "  when_found: {'pii.*': [a, c]}\n  lacks: {c: [image]}\n  context: {c: 8192}\n  upstream_model: {c: new}\n"
        "y: {backends: [a, b], mirror: {backend: c, percent: 0}}\n"
    )
    models = read(tmp_path, text)
    model = models["x"]
    assert (model.backends, model.reached, model.upstream_name("c")) == (("a",), ("a", "c"), "new")
    assert model.pool.mirror == Mirror(backend="c", percent=7, per_minute=9, tokens_per_day=5000, timeout_s=3)
    assert (model.pool.lacks, model.pool.context) == ({"c": {"image"}}, {"c": 8192})
    assert models["y"].pool.mirror == Mirror(backend="c", percent=0)
    assert walk.count(model.pool) == 0  # Envoy needs no more of it than of a lone backend


def test_a_mirror_is_part_of_a_policys_name_and_none_is_not(tmp_path):
    pool = read(tmp_path, "x: {backends: [a, b], mirror: {backend: c, percent: 1}}\n")["x"].pool
    world = worlds.policy()
    mirrored, bare = [
        replace(world, models={"x": Model(name="x", backend="a", pool=each)})
        for each in (pool, replace(pool, mirror=None))
    ]
    assert b'"mirror"' in canonical(mirrored)
    assert b'"mirror"' not in canonical(bare)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("backends: [a], mirror: {percent: 5}", "mirror.backend: missing"),
        ("backends: [a], mirror: {backend: b}", "mirror.percent: missing"),
        ("backends: [a], mirror: {backend: nowhere, percent: 5}", "mirror.backend: unknown backend"),
        ("backends: [a], mirror: {backend: a, percent: 5}", "so it needs no copies"),
        ("backends: [a], mirror: {backend: b, percent: 101}", "from 0 to 100"),
        ("backends: [a], mirror: {backend: b, percent: 5, per_minute: 0}", "from 1 to 6000"),
        ("backends: [a], mirror: {backend: b, percent: 5, tokens_per_day: 1}", "from 1000 to"),
        ("backends: [a], mirror: {backend: b, percent: 5, timeout_s: 601}", "from 1 to 600"),
        ("backends: [a], mirror: {backend: b, percent: 5, weight: 1}", "unknown field"),
        ("backends: [], mirror: {backend: b, percent: 5}", "expected 1 to 5 backends"),
        ("backends: [a], mirror: {backend: b, percent: 5}, when_found: {'pii.*': [b]}", "names only the mirror"),
        ("backend: a, mirror: {backend: b, percent: 5}", "unknown field"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, fields, told):
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, f"ok: a\nx: {{{fields}}}\n")
    assert told in str(caught.value)
    assert "models.yaml:2:" in str(caught.value)
