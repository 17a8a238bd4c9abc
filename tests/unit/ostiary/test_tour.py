"""What `ostiary up` prints can be pasted, and its JSON line holds no secret."""

import json
import re
import shlex

import pytest

from ostiary import probe, tour
from ostiary.state import State

KEYS = {"acme": "osk_acme", "globex": "osk_globex"}


@pytest.fixture
def plan(tmp_path):
    return tour.Plan(State(tmp_path), 8443, 9464, 2, (4711, 4712), KEYS)


def test_the_curl_is_one_valid_command(plan):
    command = re.search(r"^  (curl .*?\}')$", tour.banner(plan), re.MULTILINE | re.DOTALL)[1]
    words = shlex.split(command)
    assert words[:3] == ["curl", "--cacert", str(plan.state.ca)]
    assert words[3] == "https://localhost:8443/v1/chat/completions"
    assert json.loads(words[-1])["model"] == "demo-echo"


def test_the_python_snippet_compiles(plan):
    snippet = re.search(r"python -c '\n(.*?)'", tour.banner(plan), re.DOTALL)[1]
    compile(re.sub(r"^  ", "", snippet, flags=re.MULTILINE), "snippet", "exec")


def test_the_facts_name_files_and_hold_no_key(plan):
    facts = json.dumps(plan.facts())
    assert not any(key in facts for key in KEYS.values())
    assert not any(key in repr(plan) for key in KEYS.values())


def answer(status, text):
    body = {"choices": [{"message": {"content": text}}], "usage": {}}
    return probe.Answer(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("governed", "stranger", "code"),
    [
        (answer(200, "My card is [CARD]"), answer(401, ""), 0),
        (answer(200, "My card is 4111 1111 1111 1111"), answer(401, ""), 1),  # nothing was redacted
        (answer(200, "My card is [CARD]"), answer(200, ""), 1),  # anybody may come in
        (answer(503, ""), answer(401, ""), 1),
    ],
)
def test_the_check_fails_when_anything_is_not_governed(plan, monkeypatch, governed, stranger, code):
    def ask(port, ca, key, path, body):
        return governed if key == "osk_acme" else stranger

    monkeypatch.setattr(probe, "ask", ask)
    said = []
    assert tour.check(plan, said.append) == code
    assert said
