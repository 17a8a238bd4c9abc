from tools.evaluate.presidio import views


def seen(spans, found):
    return {what: (want, got) for what, want, got in views(spans, found)}


def test_names_are_apart_from_patterns():
    found = seen([("PERSON_NAME", 0, 3), ("EMAIL_ADDRESS", 5, 8)], [("PERSON", 0, 3), ("EMAIL_ADDRESS", 5, 8)])
    assert found["every label: patterns"] == ({0, 1, 2, 5, 6, 7}, {5, 6, 7})
    assert found["every label: patterns and names"][1] == {0, 1, 2, 5, 6, 7}
    assert found["PERSON"] == ({0, 1, 2}, {0, 1, 2})


def test_what_only_one_of_us_looks_for_is_neither_wanted_nor_wrong():
    spans = [("TIMESTAMP", 0, 2), ("API_KEY", 4, 6), ("IBAN", 8, 9)]
    want, got = seen(spans, [("DATE_TIME", 0, 2), ("US_BANK_NUMBER", 4, 6), ("IBAN_CODE", 8, 9)])[
        "labels that both claim: patterns and names"
    ]
    assert want == got == {8}


def test_dates_count_as_found_only_where_they_are_asked_for():
    found = seen([("DATE_OF_BIRTH", 0, 2)], [("DATE_TIME", 0, 2), ("US_SSN", 4, 5)])
    assert found["labels that both claim: patterns and names"][1] == {0, 1, 4}
    assert found["labels that both claim: patterns and names, no dates"][1] == {4}
