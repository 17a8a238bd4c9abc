"""Policies are read with the rules of this build."""

from pathlib import Path

import pytest

from extproc.detectors.catalogue import POLICY_IDS
from gateway.policy.problem import PolicyError
from ostiary import bundle

DEMO = Path(__file__).resolve().parents[3] / "policies" / "demo"


def test_every_rule_of_the_build_may_be_named_by_policy():
    guarded = bundle.load(DEMO).tenants["acme"].request
    assert set(guarded) == POLICY_IDS
    assert {"pii.email", "injection.model"} <= POLICY_IDS


def test_a_rule_that_this_build_lacks_is_refused(tmp_path):
    for file in DEMO.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    with (tmp_path / "policy.yaml").open("a") as root:
        root.write("    pii.emial: block\n")
    with pytest.raises(PolicyError, match=r"pii\.emial"):
        bundle.load(tmp_path)
