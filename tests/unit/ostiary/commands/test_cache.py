"""`ostiary cache`: what is asked of control, and what is said about it."""

import json

import pytest

from ostiary import operator
from ostiary.cli import main


@pytest.fixture
def asked(monkeypatch):
    asked = []

    def ask(arguments, method, path, body=None):
        asked.append((method, path, body))
        tags = [*body["tags"], *(f"model:{name}" for name in body["models"])] or ["*"]
        return {"tenant": "acme", "tags": tags, "before_ms": 1}

    monkeypatch.setattr(operator, "ask", ask)
    return asked


def run(*arguments):
    return main(["cache", "invalidate", "acme", "--reason", "new prices", *arguments])


def test_everything(asked, capsys):
    assert run() == 0
    body = {"tags": [], "models": [], "reason": "new prices"}
    assert asked == [("POST", "/admin/v1/cache/acme/invalidate", body)]
    assert capsys.readouterr().out == "Thrown away for acme: everything that was asked for until now.\n"


def test_tags_and_models(asked, capsys):
    assert run("--tag", "faq", "--tag", "prices", "--model", "gpt") == 0
    assert asked[0][2] == {"tags": ["faq", "prices"], "models": ["gpt"], "reason": "new prices"}
    assert "what carries faq, prices, model:gpt that" in capsys.readouterr().out


def test_as_json(asked, capsys):
    assert run("--tag", "faq", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tags"] == ["faq"]


def test_a_reason_is_required(asked, capsys):
    with pytest.raises(SystemExit):
        main(["cache", "invalidate", "acme"])
    assert "--reason" in capsys.readouterr().err
    assert asked == []
