"""The command: help that teaches, exit codes, one sentence instead of a stack trace."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ostiary import cli

ROOT = Path(__file__).resolve().parents[3]
PEPPERS = "v1: " + "ab" * 32 + "\n"


def run(capsys, *arguments):
    code = cli.main(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["up", "--help"], ["envoy", "lint", "--help"], ["keys", "new", "--help"]]
)
def test_help_ends_well(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0
    assert "usage: ostiary" in capsys.readouterr().out


def test_help_shows_examples_that_are_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    told = capsys.readouterr().out
    examples = re.findall(r"^  ostiary ([a-z-]+)", told, re.MULTILINE)
    listed = set(re.findall(r"^    ([a-z][a-z-]+)", told, re.MULTILINE))
    assert len(examples) >= 6
    assert set(examples) <= listed


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["up", "--port", "70000"], ["up", "--workers", "0"], ["envoy"]]
)
def test_wrong_usage_is_2(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    """A command that takes a second to say what it can do is not used."""
    program = "import sys, ostiary.cli\ntry: ostiary.cli.main(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    modules = done.stdout.rpartition("[")[2]
    assert not [name for name in ("grpc", "asyncio", "yaml", "structlog", "hyperscan") if f"'{name}'" in modules]


def test_version(capsys):
    assert run(capsys, "version")[:2] == (0, "ostiary 0.1.0\n")


def test_a_missing_file_is_a_sentence(capsys, tmp_path):
    code, _, told = run(capsys, "envoy", "lint", str(tmp_path / "none.yaml"))
    assert code == 1
    assert told == f"ostiary: No such file or directory ({tmp_path}/none.yaml)\n"


def test_an_unforeseen_failure_shows_no_stack_and_no_message(capsys, monkeypatch):
    def broken(_):
        raise RuntimeError("secret text")

    monkeypatch.setattr(cli, "_version", broken)
    code, _, told = run(capsys, "version")
    assert code == 1
    assert "unexpected RuntimeError" in told
    assert "Traceback" not in told
    assert "secret text" not in told


def test_debug_shows_the_stack_and_is_not_left_in_the_environment(capsys, monkeypatch):
    def broken(_):
        raise RuntimeError

    monkeypatch.setattr(cli, "_version", broken)
    monkeypatch.setenv("OSTIARY_DEBUG", "1")
    assert "Traceback" in run(capsys, "version")[2]
    assert "OSTIARY_DEBUG" not in os.environ


def test_settings_are_judged_all_at_once(capsys, monkeypatch):
    monkeypatch.setenv("OSTIARY_WORKERS", "many")
    monkeypatch.setenv("OSTIARY_NONSENSE", "1")
    code, _, told = run(capsys, "config", "check")
    assert code == 1
    assert "OSTIARY_WORKERS: " in told
    assert "OSTIARY_NONSENSE: " in told


def test_policy_check_names_models_without_a_price_where_money_is_limited(capsys, tmp_path):
    shutil.copytree(ROOT / "policies" / "demo", tmp_path, dirs_exist_ok=True)
    (tmp_path / "prices.yaml").write_text("book: {gpt-4o-mini: {input: 0.15, output: 0.6}}\n")
    (tmp_path / "tenants.yaml").write_text(
        "acme: {models: [gpt-4o-mini, demo-echo], routes: '*', budgets: {limits: {day: {money: 5, per: day}}}}\n"
    )
    code, told, _ = run(capsys, "policy", "check", str(tmp_path))
    assert code == 0
    assert told.endswith(
        "note: acme has a limit on money; these of its models have no price and are refused: demo-echo\n"
    )


def test_policy_check_names_the_version_or_every_problem(capsys, tmp_path):
    code, told, _ = run(capsys, "policy", "check", str(ROOT / "policies" / "demo"))
    assert code == 0
    assert re.match(r"p-[0-9a-f]{12} demo: 2 tenants", told)
    (tmp_path / "policy.yaml").write_text("nam: x\n")
    code, _, told = run(capsys, "policy", "check", str(tmp_path))
    assert code == 1
    assert "policy.yaml:1:1:" in told
    assert "tenants.yaml:1:1:" in told


def test_a_new_key_is_shown_once_and_its_record_holds_no_secret(capsys, tmp_path):
    peppers = tmp_path / "peppers"
    peppers.touch(0o600)
    peppers.write_text(PEPPERS)
    asked = ["keys", "new", "--tenant", "acme", "--principal", "ci", "--scope", "chat", "--peppers", str(peppers)]
    code, told, _ = run(capsys, *asked, "--policy", str(ROOT / "policies" / "demo"))
    assert code == 0
    (key,) = re.findall(r"osk_[a-z0-9]{12}_[A-Za-z0-9]{43}", told)
    assert told.count(key.rpartition("_")[2]) == 1
    record = told.partition("Paste it")[2]
    assert f"{key.split('_')[1]}:\n  tenant: acme\n  principal: ci\n  scopes:\n  - chat\n  digest: " in record


def test_a_key_for_a_tenant_that_is_not_there_names_the_near_one(capsys, tmp_path):
    peppers = tmp_path / "peppers"
    peppers.touch(0o600)
    peppers.write_text(PEPPERS)
    asked = ["keys", "new", "--tenant", "acm", "--principal", "ci", "--peppers", str(peppers)]
    code, told, advice = run(capsys, *asked, "--policy", str(ROOT / "policies" / "demo"))
    assert (code, told) == (1, "")
    assert 'did you mean "acme"?' in advice


def test_up_without_demo_needs_a_backend(capsys):
    code, _, told = run(capsys, "up", "--no-demo-upstream")
    assert code == 1
    assert "--backend" in told


def test_an_empty_key_file_is_a_sentence(capsys, tmp_path):
    (tmp_path / "key").touch()
    code, _, told = run(capsys, "demo-upstream", "--require-key", str(tmp_path / "key"))
    assert code == 1
    assert "is empty" in told


def test_a_reader_that_leaves_is_no_error():
    """`ostiary ... | head` closes the pipe: no complaint, no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-u", "-m", "ostiary.cli", "version"],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
