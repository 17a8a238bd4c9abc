"""issuers.yaml: a good entry becomes an `Issuer`; what would weaken the door is refused with its place."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.policy.issuer import ALGORITHMS, on_loopback, url_fault
from gateway.policy.load import load
from gateway.policy.model import Issuer
from gateway.policy.problem import PolicyError

FILES = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": "acme: {models: '*', routes: '*'}\nglobex: {models: '*', routes: '*'}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
}
LEAST = "corp:\n  tenant: acme\n  issuer: https://idp.example.com/\n  audiences: llm\n  algorithms: ES256\n"
FULL = (
    LEAST
    + """  jwks_uri: https://keys.example.com:8443/jwks?tenant=1
  ca_file: ca.pem
  typ: any
  clock_skew_s: 0
  max_age_s: 600
  clients: [batch, chat]
  required_claims: [jti]
  keys_refresh_s: 60
  keys_max_age_s: 120
  claims: {principal: email, principal_prefix: 'corp:', scopes: [roles], groups: teams}
"""
)


def read(directory, text, **more):
    files = FILES | {"issuers.yaml": text} | {name.replace("__", "/") + ".yaml": body for name, body in more.items()}
    for name, body in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    return load(directory, rules=["pii.email"])


def problems(directory, text, **more):
    with pytest.raises(PolicyError) as refused:
        read(directory, text, **more)
    return [str(problem) for problem in refused.value.problems]


def test_the_least_entry_has_the_strict_defaults(tmp_path):
    issuer = read(tmp_path, LEAST).issuers["corp"]
    assert issuer == Issuer(
        name="corp",
        tenant="acme",
        issuer="https://idp.example.com/",
        audiences=frozenset({"llm"}),
        algorithms=frozenset({"ES256"}),
    )
    assert (issuer.typ, issuer.clock_skew_s, issuer.jwks_uri, issuer.principal_claim) == ("at+jwt", 30, None, "sub")


def test_every_field_is_read(tmp_path):
    assert read(tmp_path, FULL).issuers["corp"] == Issuer(
        name="corp",
        tenant="acme",
        issuer="https://idp.example.com/",
        audiences=frozenset({"llm"}),
        algorithms=frozenset({"ES256"}),
        jwks_uri="https://keys.example.com:8443/jwks?tenant=1",
        ca_file="ca.pem",
        typ="any",
        clock_skew_s=0,
        max_age_s=600,
        clients=frozenset({"batch", "chat"}),
        required_claims=frozenset({"jti"}),
        principal_claim="email",
        principal_prefix="corp:",
        scope_claims=("roles",),
        group_claim="teams",
        keys_refresh_s=60,
        keys_max_age_s=120,
    )


def test_a_policy_without_issuers_has_none(tmp_path):
    assert read(tmp_path, "# none yet\n").issuers == {}


def test_issuers_may_be_spread_over_files_and_a_tenant_may_have_several(tmp_path):
    second = LEAST.replace("corp", "partner").replace("idp.", "login.")
    policy = read(tmp_path, LEAST, issuers__partner=second)
    assert [issuer.tenant for issuer in policy.issuers.values()] == ["acme", "acme"]


def test_one_identity_provider_may_serve_two_tenants_by_audience(tmp_path):
    other = LEAST.replace("corp", "other").replace("acme", "globex").replace("llm", "llm-globex")
    assert read(tmp_path, LEAST + other).issuers["other"].tenant == "globex"


@pytest.mark.parametrize("line", [line for line in FULL.splitlines() if line.startswith("  ")])
def test_every_field_is_part_of_the_version(tmp_path, line):
    changed = {
        "tenant": "tenant: globex", "issuer": "issuer: https://b.example", "audiences": "audiences: b",
        "algorithms": "algorithms: [RS256]", "claims": "claims: {principal: upn}", "typ": "typ: at+jwt",
        "keys_refresh_s": "keys_refresh_s: 61",
    }  # fmt: skip
    name = line.split(":")[0].strip()
    required = name in {"tenant", "issuer", "audiences", "algorithms"}
    other = FULL.replace(line, f"  {changed[name]}") if required or name in changed else FULL.replace(line + "\n", "")
    assert read(tmp_path, FULL).version != read(tmp_path, other).version


def test_the_example_of_the_guide_loads_and_its_defaults_are_the_defaults(tmp_path):
    guide = (Path(__file__).resolve().parents[4] / "policies" / "README.md").read_text(encoding="utf-8")
    section = guide.split("\n## Issuers\n")[1].split("\n## ")[0]
    entry, claims = (block.split("\n```")[0] for block in section.split("```yaml\n")[1:])
    plain = read(tmp_path, entry).issuers["corp"]
    assert read(tmp_path, entry + "\n" + claims).issuers["corp"] == plain
    told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    named = set(told) | {"name", "tenant", "issuer", "audiences", "algorithms"}
    assert named == {one.name for one in fields(Issuer) if not one.name.endswith(("_claim", "_claims", "_prefix"))} | {
        "required_claims"
    }


MISTAKES = [
    ("  algorithms: none", 'issuers.yaml:5:15: corp.algorithms.[0]: unknown algorithm "none"; tokens are checked with public'),
    ("  algorithms: [ES256, HS256]", 'issuers.yaml:5:23: corp.algorithms.[1]: unknown algorithm "HS256"; tokens are checked'),
    ("  algorithms: [ES265]", 'did you mean "ES256"?'),
    ("  algorithms: []", "issuers.yaml:5:15: corp.algorithms: empty: no token would ever count"),
    ("  audiences: []", "issuers.yaml:4:14: corp.audiences: empty"),
    ("  audiences: [a b]", "corp.audiences.[0]: expected an audience"),
    ("  tenant: acne", 'issuers.yaml:2:11: corp.tenant: unknown tenant "acne"; did you mean "acme"?'),
    ("  tenant:", "issuers.yaml:2:10: corp.tenant: expected 1 to 63"),
    ("  issuer: http://idp.example.com", "issuers.yaml:3:11: corp.issuer: plaintext http goes to loopback only"),
    ("  issuer: https://idp.example.com/?a=b", "corp.issuer: an issuer has no query"),
    ("  issuer: https://idp.example.com/#x", "corp.issuer: expected https://host[:port][/path]"),
    ("  issuer: https://user:pw@idp.example.com", "corp.issuer: expected https://host"),
    ("  issuer: https://169.254.169.254/", "corp.issuer: not an address of a server"),
    ("  jwks_uri: file:///etc/passwd", "corp.jwks_uri: expected https://host"),
    ("  jwks_uri: http://127.0.0.1.example.com/", "corp.jwks_uri: plaintext http"),
    ("  typ: jwt", 'corp.typ: unknown value "jwt"; did you mean "at+jwt"?'),
    ("  clock_skew_s: 301", "corp.clock_skew_s: expected a whole number from 0 to 300"),
    ("  keys_max_age_s: 100", "corp.keys_max_age_s: shorter than keys_refresh_s"),
    ("  claims: {tenant: org}", "corp.claims.tenant: there is no such mapping: the issuer fixes the tenant"),
    ("  claims: {principle: sub}", 'corp.claims.principle: unknown field "principle"; did you mean "principal"?'),
    ("  claim: {}", 'corp.claim: unknown field "claim"; did you mean "claims"?'),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_told_with_its_place(tmp_path, line, expected):
    field = line.split(":")[0]
    lines = LEAST.splitlines()
    kept = [line if one.startswith(field + ":") else one for one in lines]
    text = "\n".join(kept if line in kept else [*kept, line]) + "\n"
    found = problems(tmp_path, text)
    assert any(expected in problem for problem in found), found
    assert len(found) == 1


def test_two_entries_may_not_claim_the_same_issuer_and_audience(tmp_path):
    other = LEAST.replace("corp", "other").replace("acme", "globex").replace("llm", "[x, llm]")
    assert problems(tmp_path, LEAST + other) == [
        'issuers.yaml:6:1: other.audiences: same issuer and audience as "corp"; the first one is at issuers.yaml:1',
    ]


def test_every_algorithm_that_is_allowed_is_a_signature():
    assert not [name for name in ALGORITHMS if name.startswith("HS") or name.lower() == "none"]


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://idp.example.com", True),
        ("https://idp.example.com:8443/realms/a/keys?b=c", True),
        ("http://127.0.0.1:7100/jwks", True),
        ("http://[::1]:7100/jwks", True),
        ("https://[2001:db8::1]/jwks", True),
        ("http://localhost/jwks", True),
        ("https://IDP.example.com/", False),
        ("https://[fe80::1]/jwks", False),
        ("https://0.0.0.0/", False),
        ("https://2130706433/", False),
        ("https://idp.example.com:0/", False),
        ("https://idp.example.com:65536/", False),
        ("https://idp.example.com\\@evil.example/", False),
        ("https://idp.example.com/\r\nx: y", False),
        ("https://" + "a" * 600, False),
        ("", False),
    ],
)
def test_urls_are_judged(url, fine):
    assert (url_fault(url) == "") is fine


def test_loopback_is_told_from_elsewhere():
    assert on_loopback("http://127.0.0.2:1/x")
    assert not on_loopback("https://idp.example.com/localhost")
    assert not on_loopback("localhost")
