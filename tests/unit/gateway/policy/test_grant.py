"""The `google` and `azure` blocks of a backend's credential: what they accept, and how they tell mistakes."""

import pytest

from gateway.policy.endpoint import read_backend
from gateway.policy.field import Table
from gateway.policy.model import Grant, VaultSecret
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import parse

CLIENT = "11111111-2222-3333-4444-555555555555"
VAULT = "vault: {path: secret/data/llm/vertex, field: account}"
PLACE = VaultSecret(path="secret/data/llm/vertex", field="account")


def read(credential, *, vault=True):
    problems = Problems()
    text = f"demo:\n  url: https://a.example\n  credential: {{{credential}}}\n"
    entry = Table(parse(text, "backends.yaml", problems), (), problems)
    ((name, node),) = entry.entries()
    found = read_backend(name, Table(node, ("demo",), problems), problems, vault=vault).credential
    try:
        problems.stop_if_any()
    except PolicyError as refused:
        return found, "\n".join(str(problem) for problem in refused.problems)
    return found, ""


def test_googles_endpoint_and_scope_are_known():
    found, problems = read(f"google: {{account: {{{VAULT}}}}}")
    scope = "https://www.googleapis.com/auth/cloud-platform"
    url = "https://oauth2.googleapis.com/token"
    assert (found.grant, problems) == (
        Grant(kind="google", token_url=url, scope=scope, proof="account", vault=PLACE),
        "",
    )
    assert (found.header, found.prefix, found.file, found.vault) == ("authorization", "Bearer ", "", None)


@pytest.mark.parametrize("proof", ["secret", "certificate"])
def test_azures_endpoint_is_that_of_the_directory(proof):
    found, problems = read(f"azure: {{tenant: contoso.com, client: {CLIENT}, {proof}: {{file: azure.pem}}}}")
    assert (found.grant, problems) == (
        Grant(
            kind="azure",
            token_url="https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token",
            scope="https://cognitiveservices.azure.com/.default",
            client=CLIENT,
            proof=proof,
            file="azure.pem",
        ),
        "",
    )


def test_other_endpoints_scopes_and_roots_may_be_named():
    said = f"azure: {{client: {CLIENT}, secret: {{file: s}}, token_url: 'http://127.0.0.1:1/t', scope: a/.default, ca_file: c}}"
    found, problems = read(said)
    assert (found.grant.token_url, found.grant.scope, found.grant.ca_file) == (
        "http://127.0.0.1:1/t",
        "a/.default",
        "c",
    )
    assert problems == ""


WRONG = {
    "needs one of account": "google: {}",
    "needs one of secret, certificate": f"azure: {{tenant: t, client: {CLIENT}}}",
    "one of secret, certificate:": f"azure: {{tenant: t, client: {CLIENT}, secret: {{file: a}}, certificate: {{file: b}}}}",
    "a UUID": "azure: {tenant: t, client: gateway, secret: {file: a}}",
    "azure.tenant": f"azure: {{client: {CLIENT}, secret: {{file: a}}}}",
    "names the directory already": (
        f"azure: {{tenant: t, client: {CLIENT}, secret: {{file: a}}, token_url: 'https://a.example/t'}}"
    ),
    "in a file or in the vault": f"google: {{account: {{file: a, {VAULT}}}}}",
    "plaintext http": "google: {account: {file: a}, token_url: 'http://a.example/t'}",
    "not an address of a server": "google: {account: {file: a}, token_url: 'http://169.254.169.254/token'}",
    "more than one cloud": f"google: {{account: {{file: a}}}}, azure: {{client: {CLIENT}, secret: {{file: a}}}}",
    "google.key": "google: {account: {file: a}, key: b}",
    "credential.header": "google: {account: {file: a}}, header: x-api-key",
    "credential.file": "google: {account: {file: a}}, file: b",
}


@pytest.mark.parametrize("told", WRONG)
def test_a_mistake_is_told(told):
    assert told in read(WRONG[told])[1]


def test_without_a_vault_nothing_can_lie_there():
    assert "no `vault:` section" in read(f"google: {{account: {{{VAULT}}}}}", vault=False)[1]
