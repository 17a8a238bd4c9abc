"""The version of a policy: stable under rewriting, different under every change of meaning."""
# one case a line, so that the table can be read

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import worlds
from gateway.policy.load import load
from gateway.policy.model import (
    Action,
    Backend,
    Credential,
    Key,
    Limits,
    Model,
    Policy,
    RateLimit,
    RuleSetting,
    Tenant,
    VaultSecret,
)
from gateway.policy.version import canonical, name_of, named

RULES = frozenset({"pii.email", "pii.card"})
FILES = {
    "policy.yaml": "name: n\nlimits: {json_depth: 20}\nguards: {request: {'pii.*': redact}}\n",
    "tenants.yaml": "a: {models: [m, k], routes: [/v1/models], rate: {requests: 3, window_s: 9}}\n",
    "keys.yaml": "abcdefghijkl: {tenant: a, principal: p, scopes: [s], pepper: v1, expires_at: 1893456000, digest: "
    + "ab" * 32
    + "}\n",
    "backends.yaml": "b: {url: 'https://h.example/base', sni: s.example, ca_file: c, credential: {file: f, prefix: P}}\n",
    "models.yaml": "m: {backend: b, created: 5, owned_by: o}\nk: b\n",
}


def version(directory, **changes):
    directory.mkdir(exist_ok=True)
    for name, text in (FILES | {f"{name}.yaml": text for name, text in changes.items()}).items():
        (directory / name).write_text(text)
    return load(directory, rules=RULES).version


def test_a_version_is_short_and_printable(tmp_path):
    assert re.fullmatch(r"p-[0-9a-f]{12}", version(tmp_path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("policy", "# a comment\n\nguards:\n  request:\n    'pii.*': redact # another\nlimits:\n  json_depth: 20\nname: 'n'\n"),
        ("policy", FILES["policy.yaml"].replace("'pii.*': redact", "pii.email: redact, pii.card: redact")),
        ("tenants", "a: {rate: {window_s: 9, requests: 3}, routes: /v1/models, models: [k, m]}"),
        ("models", "k: {backend: b}\nm: {owned_by: o, created: 5, backend: b}\n"),
        ("keys", FILES["keys.yaml"].replace("1893456000", "2030-01-01T00:00:00Z")),
        ("keys", FILES["keys.yaml"].replace("1893456000", "2030-01-01T01:00:00+01:00")),
        ("backends", FILES["backends.yaml"].replace("h.example/base", "H.example:443/base/")),
    ],
)  # fmt: skip
def test_spelling_does_not_change_the_version(tmp_path, name, text):
    assert version(tmp_path, **{name: text}) == version(tmp_path)


def test_the_place_on_disk_does_not_change_the_version(tmp_path):
    assert version(tmp_path / "one") == version(tmp_path / "two")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("policy", "name: n", "name: o"),
        ("policy", "json_depth: 20", "json_depth: 21"),
        ("policy", "redact", "block"),
        ("policy", "redact", "{action: redact, mode: shadow}"),
        ("policy", "request", "response"),
        ("tenants", "[m, k]", "[m]"),
        ("tenants", "[m, k]", "'*'"),
        ("tenants", "/v1/models", "/v1/embeddings"),
        ("tenants", "requests: 3", "requests: 4"),
        ("tenants", "window_s: 9", "window_s: 8"),
        ("tenants", ", rate: {requests: 3, window_s: 9}", ""),
        ("keys", "principal: p", "principal: q"),
        ("keys", "[s]", "[s, t]"),
        ("keys", "v1", "v2"),
        ("keys", "1893456000", "1893456001"),
        ("keys", "abab", "abcd"),
        ("keys", "principal: p", "principal: p, disabled: true"),
        ("keys", "abcdefghijkl", "abcdefghijkm"),
        ("backends", "https://h", "https://i"),
        ("backends", "h.example", "h.example:8443"),
        ("backends", "/base", ""),
        ("backends", "s.example", "t.example"),
        ("backends", "ca_file: c", "ca_file: d"),
        ("backends", "file: f", "file: g"),
        ("backends", "prefix: P", "header: x-api-key, prefix: P"),
        ("backends", "prefix: P", "prefix: Q"),
        ("models", "created: 5", "created: 6"),
        ("models", "owned_by: o", "owned_by: u"),
    ],
)
def test_every_value_is_part_of_the_version(tmp_path, name, old, new):
    text = FILES[f"{name}.yaml"]
    assert old in text
    assert version(tmp_path, **{name: text.replace(old, new)}) != version(tmp_path)


words = st.text("abc", min_size=1, max_size=3)
rates = st.none() | st.builds(RateLimit, requests=st.integers(1, 9), window_s=st.integers(1, 9))
settings = st.builds(RuleSetting, rule=words, action=st.sampled_from(Action))
tenants = st.builds(
    Tenant,
    id=words,
    models=st.frozensets(words, max_size=3),
    routes=st.frozensets(words, max_size=3),
    request=st.dictionaries(words, settings, max_size=2),
    response=st.dictionaries(words, settings, max_size=2),
    rate=rates,
)
credentials = st.none() | st.builds(Credential, file=words)
policies = st.builds(
    Policy,
    version=words,
    name=words,
    tenants=st.dictionaries(words, tenants, max_size=2),
    keys=st.dictionaries(
        words,
        st.builds(
            Key,
            id=words,
            tenant=words,
            principal=words,
            scopes=st.just(()),
            digest=words,
            pepper=words,
            rate=rates,
        ),
        max_size=2,
    ),
    models=st.dictionaries(words, st.builds(Model, name=words, backend=words), max_size=2),
    backends=st.dictionaries(
        words,
        st.builds(Backend, name=words, host=words, port=st.integers(1, 9), tls=st.booleans(), credential=credentials),
        max_size=2,
    ),
    limits=st.builds(Limits, json_depth=st.integers(4, 9)),
    credential_dir=words,
)


@given(policies, policies)
def test_two_policies_share_a_canonical_form_exactly_when_they_mean_the_same(one, other):
    same = replace(one, version="", credential_dir="") == replace(other, version="", credential_dir="")
    assert (canonical(one) == canonical(other)) is same


@given(policies)
def test_the_order_of_entries_does_not_matter(policy):
    turned = replace(
        policy,
        tenants=dict(reversed(policy.tenants.items())),
        keys=dict(reversed(policy.keys.items())),
        models=dict(reversed(policy.models.items())),
    )
    assert name_of(turned) == name_of(policy) == named(policy).version


@given(policies)
def test_a_threshold_is_part_of_the_name(policy):
    def held(least):
        setting = RuleSetting(rule="content.hate", action=Action.BLOCK, threshold=least)
        tenant = Tenant(id="acme", models=frozenset(), routes=frozenset(), request={setting.rule: setting}, response={})
        return name_of(replace(policy, tenants={"acme": tenant}))

    assert held(0.25) == held(0.25) != held(0.5)


def test_what_came_later_and_says_nothing_leaves_the_name_as_it_was():
    before = worlds.policy()
    assert b"vault" not in canonical(before)
    backend = before.backends["demo"]
    assert backend.credential is not None
    stored = replace(backend.credential, vault=VaultSecret(path="kv/x", field="key"))
    after = replace(before, backends={"demo": replace(backend, credential=stored)})
    assert name_of(after) != name_of(before)
