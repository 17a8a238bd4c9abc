"""The demo texts hold what their models promise."""

import pytest

from extproc.detectors.catalogue import RULES
from extproc.guardrails.scanner import Scanner
from ostiary.demo import sample


def test_every_listed_model_says_something():
    assert all(sample.say(model, "asked", b"body") for model in sample.MODELS)


def test_echo_and_mirror_repeat():
    assert sample.say("demo-echo", "asked", b"body") == "asked"
    assert sample.say("demo-mirror", "asked", b"b\xffy") == "b\N{REPLACEMENT CHARACTER}y"


@pytest.mark.parametrize("kind", ["pii.email", "pii.card", "pii.iban", "pii.ipv4", "pii.ipv6"])
def test_personal_data_of_every_kind_is_in_the_demo(kind):
    """A rule that the demo does not show is a rule that a newcomer cannot see working."""
    assert kind in {finding.rule for finding in Scanner(RULES).scan(sample.PII)}


def test_keys_are_in_the_demo():
    assert len({f.rule for f in Scanner(RULES).scan(sample.PII) if f.rule.startswith("secrets.")}) >= 2


def test_every_canary_is_something_that_a_guard_removes():
    assert len(Scanner(RULES).scan(sample.CANARY)) == 64


def test_canaries_are_all_different():
    words = sample.CANARY.split()
    assert len(set(words)) == len(words) == 64
