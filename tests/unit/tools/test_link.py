"""The checkout becomes runnable, and a virtual environment it must be."""

import os
import subprocess
import sys
import venv
from pathlib import Path

from tools import link

ROOT = Path(__file__).resolve().parents[3]


def test_a_fresh_environment_runs_the_checkout(tmp_path):
    venv.create(tmp_path / "v", with_pip=False)
    python = tmp_path / "v" / "bin" / "python"
    subprocess.run([python, "-m", "tools.link"], cwd=ROOT, check=True)
    done = subprocess.run(
        [tmp_path / "v" / "bin" / "ostiary", "version"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("ostiary ")


def test_the_systems_python_is_left_alone(monkeypatch, capsys):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert link.main() == 1
    assert "virtual environment" in capsys.readouterr().err


def test_paths_that_a_first_line_cannot_hold_get_a_shell():
    assert link._launcher("/a/python").startswith("#!/a/python\n")
    assert link._launcher("/a b/python").startswith("#!/bin/sh\nexec '/a b/python' -m ostiary")
