"""The `api_versions` block: what a tenant takes, what policy.yaml says for all, and what is refused."""

import pytest

from gateway.policy.load import load
from gateway.policy.problem import PolicyError

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
TENANT = "acme:\n  models: [gpt]\n  routes: ['*']\n"
FILES = {
    "policy.yaml": "name: test\n",
    "backends.yaml": "demo:\n  url: http://127.0.0.1:8091\n",
    "models.yaml": "gpt: demo\n",
}


def read(directory, own="", over=""):
    texts = FILES | {
        "tenants.yaml": TENANT + (f"  api_versions: {own}\n" if own else ""),
        "policy.yaml": "name: test\n" + (f"api_versions: {over}\n" if over else ""),
    }
    for name, text in texts.items():
        (directory / name).write_text(text)
    return load(directory, rules={"pii.email"})


def taken(*arguments):
    return dict(read(*arguments).tenants["acme"].api_versions)


def test_who_names_none_takes_every_version_and_keeps_the_policys_name(tmp_path):
    assert taken(tmp_path) == {}
    plain = read(tmp_path).version
    assert read(tmp_path, f"{{{CHAT}: 2025-11}}").version != plain
    assert read(tmp_path, "{}").version == plain


def test_a_tenants_own_line_counts_before_that_of_all(tmp_path):
    over = f"{{{CHAT}: 2025-11, {MESSAGES}: [2023-06-01]}}"
    assert taken(tmp_path, "", over) == {CHAT: ("2025-11",), MESSAGES: ("2023-06-01",)}
    assert taken(tmp_path, f"{{{CHAT}: 2026-11}}", over) == {CHAT: ("2026-11",), MESSAGES: ("2023-06-01",)}


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (f"{{{CHAT}: 2026-10}}", "unknown version"),
        (f"{{{CHAT}: newest}}", "expected a version such as 2026-11"),
        (f"{{{CHAT}: []}}", "names no version"),
        (f"{{{CHAT}: [2025-11, 2026-11]}}", "requests do not say which they are written for: name one"),
        ("{chat: 2026-11}", "unknown endpoint"),
        ("{/v1/models: 2026-11}", "unknown endpoint"),
        ("2026-11", "expected fields"),
    ],
)
def test_what_no_endpoint_has_is_an_error_with_its_place(tmp_path, block, complaint):
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, block)
    (told,) = [str(problem) for problem in caught.value.problems]
    assert complaint in told
    assert "acme.api_versions" in told
