"""`token_service` of policy.yaml: what is set counts, and what would weaken or confuse it is refused with its place."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.keyset import VERIFIERS
from gateway.policy.load import load
from gateway.policy.model import TokenService
from gateway.policy.problem import PolicyError
from gateway.policy.token_service import ALGORITHMS

FILES = {
    "tenants.yaml": "acme: {models: '*', routes: '*'}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
}
LEAST = "  issuer: https://gateway.example.com\n  audience: https://gateway.example.com\n"
FULL = LEAST + "  token_s: 600\n  rotate_s: 3600\n  algorithm: EdDSA\n"


def read(directory, section, **more):
    files = FILES | {"policy.yaml": "name: test\n" + section} | {f"{name}.yaml": text for name, text in more.items()}
    for name, text in files.items():
        (directory / name).write_text(text)
    return load(directory, rules=["pii.email"])


def problems(directory, section, **more):
    with pytest.raises(PolicyError) as refused:
        read(directory, section, **more)
    return [str(problem) for problem in refused.value.problems]


def test_a_policy_without_the_section_has_no_token_service(tmp_path):
    assert read(tmp_path, "").token_service is None


def test_the_least_section_has_the_defaults(tmp_path):
    here = "https://gateway.example.com"
    assert read(tmp_path, "token_service:\n" + LEAST).token_service == TokenService(issuer=here, audience=here)


def test_every_field_is_read(tmp_path):
    here = "https://gateway.example.com"
    expected = TokenService(issuer=here, audience=here, token_s=600, rotate_s=3600, algorithm="EdDSA")
    assert read(tmp_path, "token_service:\n" + FULL).token_service == expected


@pytest.mark.parametrize("line", ["token_s: 601", "rotate_s: 7200", "algorithm: RS256", "audience: llm"])
def test_every_field_is_part_of_the_version(tmp_path, line):
    name = line.split(":")[0]
    other = re.sub(rf"  {name}: .*", f"  {line}", FULL)
    assert read(tmp_path, "token_service:\n" + FULL).version != read(tmp_path, "token_service:\n" + other).version


MISTAKES = [
    (
        "  issuer: https://gateway.example.com/",
        "token_service.issuer: expected https://host[:port] without a path; not",
    ),
    (
        "  issuer: https://gateway.example.com/oauth",
        "token_service.issuer: expected https://host[:port] without a path",
    ),
    ("  issuer: http://gateway.example.com", "token_service.issuer: plaintext http goes to loopback only"),
    ("  issuer: https://gateway.example.com?a=b", "token_service.issuer: "),
    ("  audience: a b", "token_service.audience: expected an audience"),
    ("  token_s: 59", "token_service.token_s: expected a whole number from 60 to 3600"),
    ("  token_s: 3601", "token_service.token_s: expected a whole number from 60 to 3600"),
    ("  rotate_s: 899", "token_service.rotate_s: expected a whole number from 900"),
    ("  algorithm: HS256", 'token_service.algorithm: unknown value "HS256"'),
    ("  algorithm: none", 'token_service.algorithm: unknown value "none"'),
    ("  algorihm: ES256", 'token_service.algorihm: unknown field "algorihm"; did you mean "algorithm"?'),
]


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_told_with_its_place(tmp_path, line, expected):
    field = line.split(":")[0]
    kept = [line if one.startswith(field + ":") else one for one in FULL.splitlines()]
    text = "\n".join(kept if line in kept else [*kept, line]) + "\n"
    found = problems(tmp_path, "token_service:\n" + text)
    assert any(expected in problem for problem in found), found
    assert len(found) == 1


def test_no_entry_of_the_issuers_may_speak_for_the_gateway_itself(tmp_path):
    entry = "own: {tenant: acme, issuer: 'https://gateway.example.com', audiences: x, algorithms: ES256}\n"
    [told] = problems(tmp_path, "token_service:\n" + LEAST, issuers=entry)
    assert told.startswith("issuers.yaml:1:1: own.issuer: the issuer is this gateway's own token service; leave")


def test_the_example_of_the_guide_loads_and_tells_every_field(tmp_path):
    guide = (Path(__file__).resolve().parents[4] / "policies" / "README.md").read_text(encoding="utf-8")
    section = guide.split("\n## Token service\n")[1].split("\n## ")[0]
    example = section.split("```yaml\n")[1].split("\n```")[0]
    service = read(tmp_path, example + "\n").token_service
    assert service == TokenService(issuer=service.issuer, audience=service.audience)
    told = set(re.findall(r"^  (\w+):", example, re.MULTILINE))
    assert told == {one.name for one in fields(TokenService)}


def test_what_it_may_sign_with_authz_can_verify():
    assert set(ALGORITHMS) <= set(VERIFIERS)
