"""Where in a vault a credential lies: a path below a mount, never the vault's own, never one that climbs."""

import pytest

from gateway.policy.endpoint import read_credential
from gateway.policy.field import Table
from gateway.policy.model import Credential, VaultSecret
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import parse


def read(text):
    problems = Problems()
    table = Table(parse(text, "backends.yaml", problems), ("demo", "credential"), problems)
    found = read_credential(table, problems, vault="", manager="")
    try:
        problems.stop_if_any()
    except PolicyError as refused:
        return found, [str(problem) for problem in refused.problems]
    return found, []


@pytest.mark.parametrize("path", ["secret/data/llm/openai", "database/creds/llm", "kv/x", "team_a/kv/data/a.b-c"])
def test_a_path_and_a_field_are_a_place(path):
    found, problems = read(f"vault: {{path: {path}, field: api-key}}\nheader: x-api-key")
    place = VaultSecret(path=path, field="api-key")
    assert (found, problems) == (Credential(vault=place, header="x-api-key", prefix=""), [])


@pytest.mark.parametrize(
    "path",
    ["/secret/data/x", "secret", "secret//x", "secret/../sys/x", "secret/data/x?list=true", "a b/c", "secret/data/x/"],
)
def test_what_is_no_path_is_refused(path):
    _, problems = read(f"vault: {{path: '{path}', field: key}}")
    assert any("vault.path: expected a path" in problem for problem in problems)


@pytest.mark.parametrize("path", ["sys/raw/x", "auth/token/lookup-self", "identity/entity/id/x"])
def test_the_vaults_own_paths_hold_no_credentials(path):
    _, problems = read(f"vault: {{path: {path}, field: key}}")
    assert any("holds no credentials" in problem for problem in problems)


def test_a_file_and_a_place_exclude_each_other():
    _, problems = read("vault: {path: kv/x, field: key}\nfile: a.key")
    assert any("a file or in the vault" in problem for problem in problems)


def test_a_field_is_required_and_nothing_else_is_known():
    _, problems = read("vault: {path: kv/x, version: 3}")
    assert [("missing" in problem, "unknown field" in problem) for problem in problems] == [
        (True, False),
        (False, True),
    ]
