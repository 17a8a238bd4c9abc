from collections import Counter

from analysis.ner import PERSON
from tools.evaluate.entities import _row, _views, table


def test_characters_are_counted_whoever_found_them():
    spans = [("PERSON_NAME", 0, 3), ("EMAIL_ADDRESS", 10, 15), ("TIMESTAMP", 20, 24)]
    views = {what: (want, got) for what, want, got in _views(spans, [(PERSON, 0, 4)], [(10, 15)])}
    want, got = views["labels that we claim: patterns and names"]
    assert want == {0, 1, 2, *range(10, 15)}
    assert got == {0, 1, 2, 3, *range(10, 15)}
    assert len(views["every label: patterns"][0]) == 12
    assert views[PERSON] == ({0, 1, 2}, {0, 1, 2, 3})


def test_what_is_missed_costs_four_times_what_is_too_many():
    assert _row("s", "w", Counter(right=1, missed=1))["f2"] == round(5 / 9, 3)
    assert _row("s", "w", Counter(right=1, wrong=1))["f2"] == round(5 / 6, 3)
    assert _row("s", "w", Counter())["f2"] == 0
    assert "| s | w | 0.500 |" in table([_row("s", "w", Counter(right=1, missed=1))])
