import re

from tools.train.daily import daily


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    first, again, other = (list(daily(seed, 2)) for seed in (1, 1, 2))
    assert first == again != other


def test_no_slot_is_left_open():
    assert not [text for text, _, _ in daily(1, 3) if re.search(r"\{[a-z]+\}", text)]


def test_every_kind_is_made():
    assert {kind for _, kind, _ in daily(1, 1)} == {"daily", "daily-role", "daily-multilingual", "daily-document"}
