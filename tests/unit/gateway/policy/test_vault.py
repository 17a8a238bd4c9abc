"""The `vault` section: every way to log in is read; what would weaken it or means nothing is refused with its place."""

import json

import pytest

from gateway.policy.load import load
from gateway.policy.model import Credential, Vault, VaultAuth, VaultSecret
from gateway.policy.problem import PolicyError

PLACE = {"path": "secret/data/llm/openai", "field": "key"}
APPROLE = {"approle": {"role_id_file": "role-id", "secret_id_file": "/run/secret-id"}}
LEAST = {"address": "https://vault.example.com:8200", "auth": APPROLE}


def write(directory, vault, credential=None, **files):
    root = {"name": "test"} | ({"vault": vault} if vault is not None else {})
    backend = {"url": "http://127.0.0.1:8091", "credential": credential or {"vault": PLACE}}
    content = {
        "policy": root,
        "tenants": {"acme": {"models": "*", "routes": "*"}},
        "backends": {"demo": backend},
        "models": {"gpt": "demo"},
        **files,
    }
    for name, value in content.items():
        (directory / f"{name}.yaml").write_text(json.dumps(value))
    return load(directory, rules=["pii.email"])


def problems(directory, vault, credential=None, **files):
    with pytest.raises(PolicyError) as refused:
        write(directory, vault, credential, **files)
    return [str(problem) for problem in refused.value.problems]


def test_the_least_section_has_the_defaults(tmp_path):
    read = write(tmp_path, LEAST)
    auth = VaultAuth(method="approle", mount="approle", role_id_file="role-id", secret_id_file="/run/secret-id")
    assert read.vault == Vault(address="https://vault.example.com:8200", auth=auth)
    assert read.backends["demo"].credential == Credential(vault=VaultSecret(**PLACE))
    assert (read.vault.refresh_s, read.vault.stale_s) == (30, 3600)


METHODS = {
    "token_file": ({"token_file": "t"}, VaultAuth(method="token_file", token_file="t")),
    "kubernetes": (
        {"kubernetes": {"role": "gw", "mount": "k8s/eu"}},
        VaultAuth(
            method="kubernetes",
            mount="k8s/eu",
            role="gw",
            jwt_file="/var/run/secrets/kubernetes.io/serviceaccount/token",
        ),
    ),
    "cert": (
        {"cert": {"cert_file": "c.pem", "key_file": "k.pem"}},
        VaultAuth(method="cert", mount="cert", cert_file="c.pem", key_file="k.pem"),
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_way_to_log_in_is_read(tmp_path, method):
    auth, expected = METHODS[method]
    assert write(tmp_path, LEAST | {"auth": auth}).vault.auth == expected


def test_everything_can_be_said(tmp_path):
    more = {"ca_file": "ca.pem", "namespace": "team/a", "refresh_s": 5, "stale_s": 60}
    read = write(tmp_path, LEAST | more).vault
    assert (read.ca_file, read.namespace, read.refresh_s, read.stale_s) == ("ca.pem", "team/a", 5, 60)


BAD = {
    "plaintext": ({"address": "http://vault.example.com"}, "vault.address"),
    "a query": ({"address": "https://vault.example.com/?x=1"}, "vault.address: has a query"),
    "metadata": ({"address": "https://169.254.169.254"}, "vault.address"),
    "no way in": ({"auth": {}}, "vault.auth: no way to log in"),
    "two ways in": ({"auth": APPROLE | {"token_file": "t"}}, "vault.auth: more than one way"),
    "half an approle": ({"auth": {"approle": {"role_id_file": "r"}}}, "vault.auth.approle.secret_id_file: missing"),
    "a secret in policy": ({"auth": {"approle": APPROLE["approle"] | {"secret_id": "x"}}}, "unknown field"),
    "a mount that climbs": ({"auth": {"approle": APPROLE["approle"] | {"mount": "../sys"}}}, "mount: expected"),
    "stale too soon": ({"stale_s": 5}, "vault.stale_s: shorter than refresh_s"),
    "misspelt": ({"adress": "x"}, "unknown field"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_make_sense_is_refused(tmp_path, case):
    change, told = BAD[case]
    assert any(told in problem for problem in problems(tmp_path, LEAST | change)), problems(tmp_path, LEAST | change)


def test_a_missing_way_in_is_told(tmp_path):
    assert any("vault.auth: missing" in problem for problem in problems(tmp_path, {"address": LEAST["address"]}))


def test_loopback_may_be_plain_and_then_has_no_certificates(tmp_path):
    plain = LEAST | {"address": "http://127.0.0.1:8200"}
    assert write(tmp_path, plain).vault.address == "http://127.0.0.1:8200"
    assert any("without https" in problem for problem in problems(tmp_path, plain | {"ca_file": "ca.pem"}))


def test_a_place_needs_the_section(tmp_path):
    assert problems(tmp_path, None)[0].endswith("policy.yaml has no `vault:` section")


def test_a_file_is_still_a_file_beside_the_section(tmp_path):
    assert write(tmp_path, LEAST, {"file": "k"}).backends["demo"].credential == Credential(file="k")


def test_one_section_that_cannot_be_read_is_one_problem(tmp_path):
    assert len(problems(tmp_path, "text")) == 1


def test_an_adviser_has_no_vault(tmp_path):
    adviser = {"out": {"url": "https://guard.example/", "credential": {"vault": PLACE}}}
    assert any("advisers lie in files" in problem for problem in problems(tmp_path, LEAST, advisers=adviser))
