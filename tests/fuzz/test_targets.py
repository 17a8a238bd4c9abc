"""Each fuzz target for a bounded number of cases; run the scripts themselves for as long as you like."""

import importlib.util
from pathlib import Path

import pytest

import fuzzing

TARGETS = sorted(Path(__file__).parent.glob("*_fuzz.py"))
CASES = 400  # a second or two each
SEED = 20261121  # fixed: a failure here is a failure everywhere


@pytest.mark.parametrize("target", TARGETS, ids=lambda path: path.stem)
def test_the_invariant_holds(target):
    spec = importlib.util.spec_from_file_location(target.stem, target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "Invariant:" in module.__doc__
    assert fuzzing.run(module.case, SEED, cases=CASES) == CASES
