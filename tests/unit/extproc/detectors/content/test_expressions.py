"""The table of terms: whole, sane, and linear."""

import re

from extproc.detectors.content.classes import CLASSES
from extproc.detectors.content.expressions import CONTEXT, CONTEXTS, EXPRESSIONS, FAIR, STRONG, WEAK


def test_every_class_has_terms_of_each_weight():
    for place in range(len(CLASSES)):
        assert {weight for places, weight, _ in EXPRESSIONS if place in places} == {STRONG, FAIR, WEAK}


def test_contexts_take_off_and_terms_add():
    assert all(weight > 0 for _, weight, _ in EXPRESSIONS)
    assert {weight for _, weight, _ in CONTEXTS} == {CONTEXT}
    assert CONTEXT < 0


def test_nothing_asks_for_capitals_looks_around_or_repeats_without_bound():
    for _, _, parts in (*EXPRESSIONS, *CONTEXTS):
        for source in parts:
            assert "(?=" not in source
            assert "(?!" not in source
            assert "(?<" not in source
            assert not re.search(r"\\[1-9]", source)
            assert not re.search(r"[^\\][*+]\)[*+]", source)
            assert not re.search(r"[A-Z]", re.sub(r"\\[A-Z]", "", source))
