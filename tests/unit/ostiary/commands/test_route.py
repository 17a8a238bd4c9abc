"""`ostiary route explain`: for people and for programs, by exit code too."""

import json
import shutil

from ostiary.cli import main

CANARY = """
copied:
  {backends: [demo, away], select: sticky, weights: {demo: 95, away: 5}, lacks: {claude: [image]},
   mirror: {backend: claude, percent: 20}, upstream_model: {claude: claude-demo-echo}}
"""


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


def test_a_canary_is_shown_with_its_weight_and_a_mirror_with_its_share(tmp_path, capsys):
    policy = tmp_path / "policy"
    shutil.copytree("policies/demo", policy)
    with (policy / "models.yaml").open("a") as models:
        models.write(CANARY)
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "copied", "messages": [{"role": "user", "content": "x"}]}))
    asked = ["route", "explain", str(file), "--policy", str(policy), "--tenant", "acme"]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "mirror claude: 20 % of such requests are copied to it as claude-demo-echo (anthropic)" in shown
    assert "weight" in shown
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    file.write_text(json.dumps({"model": "copied", "messages": [{"role": "user", "content": [picture]}]}))
    assert main([*asked, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {each["backend"]: each["weight"] for each in shown["candidates"]} == {"demo": 95, "away": 5}
    assert shown["mirror"]["why"] == "it lacks image"


def test_a_score_is_shown_with_its_features(tmp_path, capsys):
    policy = tmp_path / "policy"
    shutil.copytree("policies/demo", policy)
    with (policy / "models.yaml").open("a") as models:
        models.write("\nhard: {backends: [demo, away], select: complexity, from_score: {away: 20}}\n")
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "hard", "messages": [{"role": "user", "content": "Prove it: ```x```"}]}))
    asked = ["route", "explain", str(file), "--policy", str(policy), "--tenant", "acme"]
    assert main(asked) == 0
    assert "score 50 = 30 code + 20 reasoning" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["score"], shown["features"]) == (50, {"code": 30, "reasoning": 20})
    assert [each["backend"] for each in shown["candidates"]] == ["away", "demo"]
