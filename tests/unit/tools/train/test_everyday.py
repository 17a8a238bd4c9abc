import re
from random import Random

from tools.train.everyday import everyday, fill


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    first, again, other = (list(everyday(seed, 2)) for seed in (1, 1, 2))
    assert first == again != other


def test_no_slot_is_left_open():
    assert not [text for text, _, _ in everyday(1, 1) if re.search(r"\{[a-z]+\}", text.replace('{"', ""))]


def test_every_kind_is_made():
    assert {kind for _, kind, _ in everyday(1, 1)} == {"everyday", "everyday-multilingual", "everyday-document"}


def test_texts_of_one_template_share_its_number():
    numbers = {}
    for text, _, number in everyday(1, 3):
        numbers.setdefault(number, []).append(text)
    assert max(len(texts) for texts in numbers.values()) == 3


def test_doubled_braces_are_single_ones():
    assert fill('{{"n": {n}}}', Random(1), {"n": ["7"]}) == '{"n": 7}'  # noqa: S311 - a choice of one
