"""How requests to AWS are signed, as policy says it: a region, and keys in one place."""

import pytest

from gateway.policy.endpoint import read_backend
from gateway.policy.field import Table
from gateway.policy.model import Signing, VaultSecret
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import parse

AWS = "https://bedrock-runtime.eu-central-1.amazonaws.com"


def read(aws, url=AWS, dialect="bedrock", more="", *, vault=True):
    problems = Problems()
    text = f"demo:\n  url: {url}\n  dialect: {dialect}\n  credential:\n    aws: {aws}\n{more}"
    entry = Table(parse(text, "backends.yaml", problems), (), problems)
    ((name, node),) = entry.entries()
    found = read_backend(name, Table(node, ("demo",), problems), problems, vault=vault).credential
    try:
        problems.stop_if_any()
    except PolicyError as refused:
        return found, [str(problem) for problem in refused.problems]
    return found, []


def test_keys_in_a_file():
    found, problems = read("{file: bedrock.key, region: us-east-1}")
    assert (found.aws, problems) == (Signing(region="us-east-1", file="bedrock.key"), [])
    assert found.vault is None
    assert found.file == ""


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("path: secret/data/llm/aws", ("access_key", "secret_key")),
        ("path: secret/data/llm/aws, access_key: id, secret_key: key", ("id", "key")),
        ("path: secret/data/llm/aws, session_token: security_token", ("access_key", "secret_key", "security_token")),
    ],
)
def test_keys_in_the_vault_are_fields_of_one_secret(said, fields):
    found, problems = read(f"{{vault: {{{said}}}}}")
    places = tuple(VaultSecret(path="secret/data/llm/aws", field=name) for name in fields)
    assert (found.aws, problems) == (Signing(region="eu-central-1", vault=places), [])


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("bedrock-runtime.us-east-1.api.aws", "us-east-1"),
        ("vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", "us-east-1"),
    ],
)
def test_amazons_own_hosts_name_their_region(host, region):
    found, problems = read("{file: a.key}", f"https://{host}")
    assert (found.aws.region, problems) == (region, [])


@pytest.mark.parametrize("host", ["bedrock.example.com", "bedrock-runtime.eu-central-1.amazonaws.com.example.com"])
def test_others_must_say_it(host):
    _, problems = read("{file: a.key}", f"https://{host}")
    assert any("credential.aws.region: missing" in problem for problem in problems)


@pytest.mark.parametrize(
    ("aws", "more", "what"),
    [
        ("{}", "", "credential.aws.file: missing"),
        ("{file: a.key, vault: {path: kv/x}}", "", "in a file or in the vault"),
        ("{file: a.key, region: Frankfurt}", "", "expected a region"),
        ("{file: a.key, profile: x}", "", "unknown field"),
        ("{vault: {path: sys/x}}", "", "holds no credentials"),
        ("{vault: {path: kv/x, field: y}}", "", "unknown field"),
        ("{vault: {}}", "", "vault.path: missing"),
        ("{file: a.key}", "    header: x-api-key\n", "unknown field"),
        ("{file: a.key}", "    file: b.key\n", "unknown field"),
    ],
)
def test_what_means_nothing_is_refused(aws, more, what):
    _, problems = read(aws, more=more)
    assert any(what in problem for problem in problems), problems


def test_only_requests_to_bedrock_are_signed():
    _, problems = read("{file: a.key}", dialect="openai")
    assert any("dialect: bedrock" in problem for problem in problems)


def test_without_a_vault_nothing_lies_there():
    _, problems = read("{vault: {path: kv/x}}", vault=False)
    assert any("no `vault:` section" in problem for problem in problems)


@pytest.mark.parametrize("url", ["http://bedrock-runtime.eu-central-1.amazonaws.com", "https://169.254.169.254"])
def test_where_requests_may_go_is_judged_as_for_others(url):
    _, problems = read("{file: a.key, region: eu-west-1}", url)
    assert any("url" in problem for problem in problems)
