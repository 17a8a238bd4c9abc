"""A process that keeps its memory to itself: what the kernel says of it afterwards. In a process of its own."""

import os
import subprocess
import sys

import pytest

_ASK = """
import ctypes, os, resource
from ostiary import undumpable
undumpable.apply()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), os.stat("/proc/self/environ").st_uid)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux")
def test_it_is_not_dumpable_and_writes_no_core():
    told = subprocess.run(
        [sys.executable, "-c", _ASK],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["0", "0", "0", "0"]  # PR_GET_DUMPABLE, both limits, and /proc is root's
