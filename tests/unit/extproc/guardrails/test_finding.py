"""A finding is a span and a rule; it cannot carry text into a log."""

import dataclasses

import pytest

from extproc.guardrails.finding import Finding


def test_a_finding_holds_a_span_and_never_text():
    fields = {field.name: field.type for field in dataclasses.fields(Finding)}
    assert fields == {"rule": str, "start": int, "end": int, "confidence": float}


def test_a_finding_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Finding("pii.email", 0, 3).start = 1
