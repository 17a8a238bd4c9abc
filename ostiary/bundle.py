"""Loads a policy directory with the rules that this build knows, the same for authz and extproc."""

from pathlib import Path

from extproc.detectors.catalogue import RULES
from gateway.policy.load import load as load_with
from gateway.policy.model import Policy


def load(directory: Path) -> Policy:
    """The policy in `directory`.

    Raises:
        PolicyError: with all problems, each with file, line and column.
    """
    return load_with(directory, rules=[rule.id for rule in RULES])
