"""advisers.yaml: who is asked, under which names its findings are rules, and what would be a hole."""

import pytest

from gateway.policy.load import load
from gateway.policy.model import Action, Adviser, Credential, Mode
from gateway.policy.problem import PolicyError

FILES = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": "acme: {models: '*', routes: '*'}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
}


def read(directory, text, **more):
    files = FILES | {"advisers.yaml": text} | {f"{name}.yaml": body for name, body in more.items()}
    for name, body in files.items():
        (directory / name).write_text(body)
    return load(directory, rules=["pii.email"])


def problems(directory, text, **more):
    with pytest.raises(PolicyError) as refused:
        read(directory, text, **more)
    return [str(problem) for problem in refused.value.problems]


def test_engines_and_services_have_defaults_of_their_own(tmp_path):
    read_as = read(
        tmp_path,
        "judge: {engine: injection}\nnames: {engine: ner}\n"
        "lakera:\n  url: https://guard.example/v1\n  credential: {file: lakera.key}\n  ca_file: ca.pem\n"
        "  deadline_ms: 300\n  on_failure: pass\n",
    ).advisers
    assert read_as == {
        "judge": Adviser(name="judge", engine="injection", deadline_ms=100, on_failure="pass"),
        "names": Adviser(name="names", engine="ner", deadline_ms=250, on_failure="refuse"),
        "lakera": Adviser(
            name="lakera",
            url="https://guard.example/v1",
            credential=Credential(file="lakera.key"),
            ca_file="ca.pem",
            deadline_ms=300,
            on_failure="pass",
        ),
    }


def test_findings_of_a_declared_adviser_are_rules_for_requests_and_flag_until_named(tmp_path):
    tenant = read(tmp_path, "names: {engine: ner}\nlakera: {url: 'https://guard.example/'}\n").tenants["acme"]
    rules = {"pii.email", "pii.person", "pii.organization", "pii.location", "advice.lakera"}
    assert set(tenant.request) == rules
    assert set(tenant.response) == {"pii.email"}
    assert (tenant.request["advice.lakera"].action, tenant.request["advice.lakera"].mode) == (
        Action.FLAG,
        Mode.ENFORCE,
    )


def test_a_policy_may_say_what_becomes_of_findings_and_from_which_score(tmp_path):
    guards = "name: test\nguards: {request: {'pii.*': redact, advice.lakera: {action: block, threshold: 0.8}}}\n"
    found = read(tmp_path, "names: {engine: ner}\nlakera: {url: 'https://guard.example/'}\n", policy=guards)
    request = found.tenants["acme"].request
    assert request["pii.person"].action is Action.REDACT
    assert (request["advice.lakera"].action, request["advice.lakera"].threshold) == (Action.BLOCK, 0.8)


@pytest.mark.parametrize(
    ("text", "policy", "says"),
    [
        ("a: {}\n", "name: test\n", "an adviser has an `engine` or a `url`"),
        ("a: {engine: ner, url: 'https://guard.example/'}\n", "name: test\n", "an engine of ours has no url"),
        ("a: {engine: oracle}\n", "name: test\n", "oracle"),
        ("a: {url: 'http://guard.example/'}\n", "name: test\n", "url"),
        ("a: {engine: ner}\nb: {engine: ner}\n", "name: test\n", "same engine as"),
        ("a: {engine: ner, deadline_ms: 60000}\n", "name: test\n", "deadline_ms"),
        ("a: {engine: ner, on_failure: hope}\n", "name: test\n", "hope"),
        ("a: {engine: ner, wait: 3}\n", "name: test\n", "wait"),
        ("a: {engine: ner}\n", "name: test\nguards: {response: {pii.person: redact}}\n", "pii.person"),
        ("a: {engine: ner}\n", "name: test\nguards: {request: {advice.b: block}}\n", "advice.b"),
    ],
)
def test_what_would_be_a_hole_or_a_slip_is_refused(tmp_path, text, policy, says):
    assert any(says in problem for problem in problems(tmp_path, text, policy=policy))


def test_without_the_file_nobody_is_asked(tmp_path):
    for name, body in FILES.items():
        (tmp_path / name).write_text(body)
    assert load(tmp_path, rules=["pii.email"]).advisers == {}
