from collections import Counter

from tools.evaluate.spans import characters, compared, labelled, row, rows, table, texts


def test_what_is_missed_costs_four_times_what_is_too_many():
    assert row("s", "w", Counter(right=1, missed=1))["f2"] == round(5 / 9, 3)
    assert row("s", "w", Counter(right=1, wrong=1))["f2"] == round(5 / 6, 3)
    assert row("s", "w", Counter())["f2"] == 0
    assert "| s | w | 0.500 |" in table([row("s", "w", Counter(right=1, missed=1))])


def test_places_are_counted_once_however_many_spans_cover_them():
    assert characters([(0, 3), (2, 4)]) == {0, 1, 2, 3}
    assert labelled([("A", 0, 2), ("B", 1, 3)], frozenset({"B"})) == {1, 2}
    assert compared({1, 2, 3}, {3, 4}) == Counter(right=1, missed=2, wrong=1)


def test_the_last_row_is_of_all_sources_together():
    counts = {"a": {"w": Counter(right=1)}, "b": {"w": Counter(missed=1, right=2)}}
    assert [(each["source"], each["characters"]) for each in rows(counts)] == [("a", 1), ("b", 3), ("all", 4)]


def test_lines_end_where_json_lines_do(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "Ann\u2028ran", "spans": [{"type": "PERSON", "start": 0, "end": 3}]}\n{"text": "x", "spans": []}\n',
        encoding="utf-8",
    )
    assert list(texts(path, 1)) == [("Ann\u2028ran", [("PERSON", 0, 3)]), ("x", [])]
    assert len(list(texts(path, 2))) == 1
