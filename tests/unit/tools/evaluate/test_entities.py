from analysis.ner import PERSON
from tools.evaluate.entities import _views


def test_characters_are_counted_whoever_found_them():
    spans = [("PERSON_NAME", 0, 3), ("EMAIL_ADDRESS", 10, 15), ("TIMESTAMP", 20, 24), ("API_KEY", 30, 32)]
    views = {what: (want, got) for what, want, got in _views(spans, [(PERSON, 0, 4)], [(10, 15), (30, 32)])}
    want, got = views["labels that we claim: patterns and names"]
    assert want == {0, 1, 2, *range(10, 15), 30, 31}
    assert got == {0, 1, 2, 3, *range(10, 15), 30, 31}
    assert len(views["every label: patterns"][0]) == 14
    assert views["labels that Presidio claims too: patterns and names"] == (
        {0, 1, 2, *range(10, 15)},
        {0, 1, 2, 3, *range(10, 15)},
    )
    assert views[PERSON] == ({0, 1, 2}, {0, 1, 2, 3})
