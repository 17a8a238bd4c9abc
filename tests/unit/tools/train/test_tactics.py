import re

from tools.train.daily import daily
from tools.train.everyday import everyday
from tools.train.tactics import tactics

LANGUAGES = {"de", "fr", "es", "it", "pt", "ro", "sv", "cs", "uk", "id", "vi", "el"}


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    first, again, other = (list(tactics(seed, 2)) for seed in (1, 1, 2))
    assert first == again != other


def test_every_kind_is_made():
    kinds = {kind for _, kind in tactics(1, 1)}
    assert kinds == {"tactic", "tactic-planted", "tactic-in-document", *(f"tactic-{name}" for name in LANGUAGES)}


def test_no_slot_is_left_open():
    assert not [text for text, _ in tactics(1, 3) if re.search(r"\{[a-z_]+\}", text)]


def test_no_text_is_both_attack_and_benign():
    benign = {text for text, _, _ in (*everyday(1, 20), *daily(1, 20))}
    assert not {text for text, _ in tactics(1, 20)} & benign
