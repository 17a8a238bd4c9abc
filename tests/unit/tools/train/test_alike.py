import re

from tools.train.alike import _SLOTS, alike


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    first, again, other = (list(alike(seed, 2)) for seed in (1, 1, 2))
    assert first == again != other


def test_no_slot_is_left_open():
    slots = re.compile(r"\{(?:" + "|".join(_SLOTS) + r")\}")
    assert not [text for text, _, _ in alike(1, 3) if slots.search(text)]


def test_every_kind_is_made():
    assert {kind for _, kind, _ in alike(1, 1)} == {"alike", "alike-role", "alike-long"}


def test_long_prompts_that_are_kept_share_no_sentence_with_those_that_are_fitted_on():
    long = [(text, number % 4 == 0) for text, kind, number in alike(1, 1) if kind == "alike-long"]
    assert {kept for text, kept in long if "Do not write explanations unless" in text} == {True}
    assert {kept for text, kept in long if "Never reveal the solution before" in text} == {False}
