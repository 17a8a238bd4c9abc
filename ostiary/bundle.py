"""Loads a policy directory with the rules that this build knows, the same for authz and extproc.

A policy with Rego is compiled on the way, by OPA's library in this process, and so are JSON Schemas and patterns.
"""

from pathlib import Path

from authz.opa import build
from extproc.detectors import patterns
from extproc.detectors.catalogue import POLICY_IDS
from extproc.guardrails import contracts
from gateway.policy.load import load as load_with
from gateway.policy.model import Policy


def load(directory: Path) -> Policy:
    """The policy in `directory`.

    Raises:
        PolicyError: with all problems, each with file, line and column.
    """
    return load_with(
        directory,
        rules=POLICY_IDS,
        compiled=build.check,
        schema_compiled=contracts.fault,
        pattern_compiled=patterns.fault,
    )
