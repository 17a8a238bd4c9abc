"""introspectors.yaml and `damping`: a good entry is read; what would weaken the door is refused with its place."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.policy.load import load
from gateway.policy.model import Damping, Introspector
from gateway.policy.problem import PolicyError

FILES = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": "acme: {models: '*', routes: '*'}\nglobex: {models: '*', routes: '*'}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
}
LEAST = (
    "corp:\n  tenant: acme\n  endpoint: https://login.example.com/introspect\n  client_id: gateway\n"
    "  secret_file: corp.secret\n"
)
FULL = (
    LEAST
    + """  token_prefix: corp_at_
  ca_file: ca.pem
  token_type: any
  issuer: https://login.example.com/
  audiences: [llm]
  clients: [batch, chat]
  cache_s: 5
  negative_cache_s: 2
  deadline_ms: 250
  claims: {principal: client_id, principal_prefix: 'corp:', scopes: [roles], groups: teams}
"""
)


def read(directory, text, root="name: test\n", **more):
    files = FILES | {"policy.yaml": root, "introspectors.yaml": text}
    files |= {name.replace("__", "/") + ".yaml": body for name, body in more.items()}
    for name, body in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    return load(directory, rules=["pii.email"])


def problems(directory, text, **more):
    with pytest.raises(PolicyError) as refused:
        read(directory, text, **more)
    return [str(problem) for problem in refused.value.problems]


def test_the_least_entry_has_the_defaults(tmp_path):
    assert read(tmp_path, LEAST).introspectors["corp"] == Introspector(
        name="corp",
        tenant="acme",
        endpoint="https://login.example.com/introspect",
        client_id="gateway",
        secret_file="corp.secret",
    )


def test_every_field_is_read(tmp_path):
    assert read(tmp_path, FULL).introspectors["corp"] == Introspector(
        name="corp",
        tenant="acme",
        endpoint="https://login.example.com/introspect",
        client_id="gateway",
        secret_file="corp.secret",
        token_prefix="corp_at_",
        ca_file="ca.pem",
        token_type="any",
        issuer="https://login.example.com/",
        audiences=frozenset({"llm"}),
        clients=frozenset({"batch", "chat"}),
        principal_claim="client_id",
        principal_prefix="corp:",
        scope_claims=("roles",),
        group_claim="teams",
        cache_s=5,
        negative_cache_s=2,
        deadline_ms=250,
    )


def test_a_policy_without_introspectors_has_none(tmp_path):
    assert read(tmp_path, "# none yet\n").introspectors == {}


def test_introspectors_may_be_spread_over_files(tmp_path):
    second = FULL.replace("corp:\n", "partner:\n")
    assert set(read(tmp_path, LEAST, introspectors__partner=second).introspectors) == {"corp", "partner"}


@pytest.mark.parametrize("line", FULL.splitlines()[1:])
def test_every_field_is_part_of_the_version(tmp_path, line):
    name = line.split(":")[0].strip()
    changed = {"tenant": "tenant: globex", "endpoint": "endpoint: https://b.example/", "client_id": "client_id: b"}
    changed["secret_file"] = "secret_file: b"
    other = FULL.replace(line + "\n", f"  {changed[name]}\n" if name in changed else "")
    assert read(tmp_path, FULL).version != read(tmp_path, other).version


MISTAKES = [
    ("  tenant: acne", 'introspectors.yaml:2:11: corp.tenant: unknown tenant "acne"; did you mean "acme"?'),
    ("  endpoint: http://login.example.com/", "introspectors.yaml:3:13: corp.endpoint: plaintext http goes to loopback only"),
    ("  endpoint: https://user:pw@login.example.com/", "corp.endpoint: expected https://host"),
    ("  endpoint: https://169.254.169.254/", "corp.endpoint: not an address of a server"),
    ("  endpoint: file:///etc/passwd", "corp.endpoint: expected https://host"),
    ("  client_id: a b", "introspectors.yaml:4:14: corp.client_id: expected up to 128 characters without spaces"),
    ("  secret_file:", "introspectors.yaml:5:15: corp.secret_file: expected a path"),
    ("  token_prefix: osk_", "corp.token_prefix: \"osk_\" begins the gateway's own API keys"),
    ("  token_prefix: 'a b'", "corp.token_prefix: expected up to 32"),
    ("  cache_s: 301", "corp.cache_s: expected a whole number from 1 to 300"),
    ("  negative_cache_s: 0", "corp.negative_cache_s: expected a whole number from 1 to 300"),
    ("  deadline_ms: 9", "corp.deadline_ms: expected a whole number from 10 to 5000"),
    ("  claims: {tenant: org}", "corp.claims.tenant: there is no such mapping: the introspector fixes the tenant"),
    ("  audience: llm", 'corp.audience: unknown field "audience"; did you mean "audiences"?'),
    ("  client_secret: s3cr3t", "corp.secret_file: the secret stands in a file, never in a policy"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_told_with_its_place(tmp_path, line, expected):
    field = line.split(":")[0]
    lines = LEAST.splitlines()
    kept = [line if one.startswith(field + ":") else one for one in lines]
    found = problems(tmp_path, "\n".join(kept if line in kept else [*kept, line]) + "\n")
    assert any(expected in problem for problem in found), found
    assert len(found) == 1
    assert "s3cr3t" not in repr(found)


def test_two_entries_may_not_have_the_same_prefix(tmp_path):
    assert problems(tmp_path, LEAST + LEAST.replace("corp", "other")) == [
        'introspectors.yaml:6:1: other.token_prefix: same token_prefix as "corp"; the first one is at introspectors.yaml:1',
    ]


def test_the_example_of_the_guide_loads_and_its_defaults_are_the_defaults(tmp_path):
    guide = (Path(__file__).resolve().parents[4] / "policies" / "README.md").read_text(encoding="utf-8")
    section = guide.split("\n## Introspectors\n")[1].split("\n## ")[0]
    entry, claims = (block.split("\n```")[0] for block in section.split("```yaml\n")[1:])
    plain = read(tmp_path, entry).introspectors["corp"]
    assert read(tmp_path, entry + "\n" + claims).introspectors["corp"] == plain
    told = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    named = told | {"name", "tenant", "endpoint", "client_id", "secret_file"}
    assert named == {one.name for one in fields(Introspector) if not one.name.endswith(("_claim", "_claims"))} - {
        "principal_prefix"
    }


# --- damping ----
def test_damping_has_a_default_and_can_be_set_and_switched_off(tmp_path):
    assert read(tmp_path, "").damping == Damping(failures=30, window_s=60)
    assert read(tmp_path, "", "name: t\ndamping: {failures: 5, window_s: 10}\n").damping == Damping(
        failures=5, window_s=10
    )
    assert read(tmp_path, "", "name: t\ndamping: {failures: 0}\n").damping.failures == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("damping: off", "policy.yaml:2:10: damping: expected fields"),
        ("damping: {failures: -1}", "damping.failures: expected a whole number from 0 to 100000"),
        ("damping: {window_s: 0}", "damping.window_s: expected a whole number from 1 to 86400"),
        ("damping: {failure: 1}", 'damping.failure: unknown field "failure"; did you mean "failures"?'),
    ],
)
def test_each_mistake_of_damping_is_told(tmp_path, text, expected):
    (found,) = problems(tmp_path, "", root=f"name: t\n{text}\n")
    assert expected in found
