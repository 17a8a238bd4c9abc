import pytest

pytest.importorskip("sklearn", reason="training has its own environment: requirements/train.in")

from tools.train.injection import replaced

PAGE = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb"


def test_only_the_named_part_of_the_card_is_exchanged():
    assert replaced(PAGE, "x", "new") == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end: x -->\nb"


def test_a_card_without_the_part_is_refused():
    with pytest.raises(ValueError, match="no part"):
        replaced(PAGE, "y", "new")
