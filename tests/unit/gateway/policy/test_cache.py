import pytest

from gateway.policy.cache import read_cache
from gateway.policy.field import Table
from gateway.policy.kept import Cache, Likeness, Scope, Similar
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import parse


def read(text):
    problems = Problems()
    table = Table(parse(text, "t.yaml", problems), (), problems)

    def refer(word, path, kind):
        assert kind == "models"
        if word.text != "gpt-4o-mini":
            problems.add(word.mark, path, "unknown model")

    found = read_cache(table.table("cache"), refer, problems)
    problems.stop_if_any()
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("other: 1", None),
        ("cache: {}", Cache()),
        ("cache: {scope: tenant, ttl_s: 60}", Cache(scope=Scope.TENANT, ttl_s=60)),
        ("cache: {models: [gpt-4o-mini], tags: [faq, v2.1]}", Cache(
            models=frozenset({"gpt-4o-mini"}), tags=frozenset({"faq", "v2.1"}))),
        ("cache: {tools: true, personal: true}", Cache(tools=True, personal=True)),
        ("cache: {max_temperature: 0}", Cache(max_temperature=0.0)),
        ("cache: {max_temperature: 0.25, wait_ms: 0}", Cache(max_temperature=0.25, wait_ms=0)),
        ("cache: {entry_bytes: 2048, entries: 5}", Cache(entry_bytes=2048, entries=5)),
        ("cache: {charge: full, deadline_ms: 30}", Cache(charge=True, deadline_ms=30)),
        ("cache: {similar: {}}", Cache(similar=Similar())),
        ("cache: {similar: {likeness: loose, max_chars: 80, entries: 9, deadline_ms: 20}}", Cache(
            similar=Similar(likeness=Likeness.LOOSE, max_chars=80, entries=9, deadline_ms=20))),
        ("cache: {scope: tenant, similar: {scope: tenant}}", Cache(
            scope=Scope.TENANT, similar=Similar(scope=Scope.TENANT))),
        ("cache: {scope: tenant, similar: {}}", Cache(scope=Scope.TENANT, similar=Similar())),
    ],
)  # fmt: skip
def test_a_tenant_has_a_cache_where_its_policy_says_so(text, wanted):
    assert read(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "cache: true",
        "cache: {scope: everybody}",
        "cache: {ttl_s: 0}",
        "cache: {ttl_s: 604801}",
        "cache: {tags: ['*']}",
        "cache: {tags: ['model:gpt']}",
        "cache: {max_temperature: 2.5}",
        "cache: {max_temperature: -1}",
        "cache: {entry_bytes: 2000000}",
        "cache: {wait_ms: 60000}",
        "cache: {charge: half}",
        "cache: {similar: true}",
        "cache: {similar: {likeness: 0.9}}",
        "cache: {similar: {threshold: 0.9}}",
        "cache: {similar: {max_chars: 1001}}",
        "cache: {similar: {entries: 100001}}",
        "cache: {similar: {deadline_ms: 0}}",
        "cache: {similar: {scope: tenant}}",
        "cache: {deadline_ms: 0}",
        "cache: {models: [gpt-5-nano]}",
        "cache: {threshhold: 1}",
        f"cache: {{tags: [{', '.join(f't{number}' for number in range(17))}]}}",
    ],
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(PolicyError, match="cache"):
        read(text)
