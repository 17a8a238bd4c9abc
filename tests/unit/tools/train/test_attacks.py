from tools.train.attacks import attacks
from tools.train.everyday import everyday

LANGUAGES = {"de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "zh", "ja", "ko", "ar", "hi"}


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    first, again, other = (list(attacks(seed, 2)) for seed in (1, 1, 2))
    assert first == again != other


def test_every_language_of_the_rules_is_spoken():
    kinds = {kind for _, kind in attacks(1, 1)}
    assert kinds == {"attack", "attack-planted", "attack-in-document", *(f"attack-{name}" for name in LANGUAGES)}


def test_no_text_is_both_attack_and_benign():
    assert not {text for text, _ in attacks(1, 20)} & {text for text, _, _ in everyday(1, 20)}
