"""`ostiary route explain`: for people and for programs, by exit code too."""

import json

from ostiary.cli import main


def test_the_command_tells_people_and_programs(tmp_path, capsys):
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "demo-failover", "messages": [{"role": "user", "content": "x"}], "seed": 1}))
    asked = ["route", "explain", str(file), "--policy", "policies/demo", "--tenant", "acme"]
    assert main(asked) == 0
    assert "would drop seed" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["backend"] for each in shown["candidates"]] == ["away", "claude"]


def test_what_would_be_refused_is_told_by_the_exit_code(tmp_path, capsys):
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "claude-demo", "input": "x"}))
    asked = ["route", "explain", str(file), "--policy", "policies/demo", "--tenant", "acme", "--path", "/v1/embeddings"]
    assert main(asked) == 3
    assert "REFUSED 400" in capsys.readouterr().out


def test_a_tenant_that_is_not_there_is_a_problem_that_names_those_that_are(tmp_path, capsys):
    file = tmp_path / "request.json"
    file.write_text("{}")
    assert main(["route", "explain", str(file), "--policy", "policies/demo", "--tenant", "nobody"]) == 1
    assert "globex" in capsys.readouterr().err
