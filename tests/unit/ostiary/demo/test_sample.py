"""The demo texts hold what their models promise."""

from extproc.detectors.catalogue import RULES
from extproc.guardrails.guard import ScannerPool
from ostiary.demo import sample


def test_every_listed_model_says_something():
    assert all(sample.say(model, "asked", b"body") for model in sample.MODELS)


def test_echo_and_mirror_repeat():
    assert sample.say("demo-echo", "asked", b"body") == "asked"
    assert sample.say("demo-mirror", "asked", b"b\xffy") == "b\N{REPLACEMENT CHARACTER}y"


def test_pii_holds_something_for_every_kind_of_rule():
    """A rule that the demo does not show is a rule that a newcomer cannot see working."""
    scanner = ScannerPool(RULES)
    assert scanner is not None
    text = sample.PII
    assert "@" in text
    assert "4111 1111 1111 1111" in text
    assert "DE89 3704 0044 0532 0130 00" in text
    assert "2001:db8:" in text
    assert "AKIA" in text


def test_canaries_are_all_different():
    words = sample.CANARY.split()
    assert len(set(words)) == len(words) == 64
