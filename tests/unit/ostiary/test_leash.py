"""The leash as a program. That children end with their parent is shown in test_supervisor.py."""

import os
import subprocess
import sys
from pathlib import Path

LEASH = Path(__file__).resolve().parents[3] / "ostiary" / "leash.py"


def leashed(parent, *command):
    asked = [sys.executable, "-I", "-S", str(LEASH), str(parent), "15", *command]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


def test_it_becomes_the_program():
    done = leashed(os.getpid(), "sh", "-c", "echo $0 $1; umask", "a b", "c")
    assert (done.returncode, done.stdout) == (0, "a b c\n0077\n")


def test_it_refuses_when_the_parent_is_already_gone():
    assert leashed(1, "true").returncode == 1


def test_a_program_that_is_not_there_is_a_sentence():
    done = leashed(os.getpid(), "/nonexistent")
    assert done.returncode == 1
    assert done.stderr == "cannot start /nonexistent: No such file or directory\n"
