import pytest

pytest.importorskip("sklearn", reason="evaluation has the environment of training: requirements/train.in")

from extproc.detectors.content.classes import CLASSES, SEXUAL
from tools.evaluate.content import page


def row(**more):
    return {
        "source": "a", "class": "any", "n": 9, "auc": 0.9, "auc_own": None, "recall": 0.5, "fired": 0.4, "false": 0.01
    } | more  # fmt: skip


def test_the_mean_is_over_sources_and_experimental_classes_say_so():
    text = page([row(), row(source="b", auc=0.7, auc_own=0.5), row(**{"class": SEXUAL})])
    assert "| AUC of any class against everyday questions | 0.800 | 0.80 |" in text
    assert "own harmless texts where it has them | 0.700 |" in text
    assert f"| a | {SEXUAL} (experimental) | 9 |" in text
    assert SEXUAL in CLASSES
