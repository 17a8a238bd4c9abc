"""What pages take from the code is current: the states of an exchange, the table of rules."""

import pytest

from tools import pages


@pytest.mark.parametrize("page", pages.SECTIONS)
def test_the_page_is_current(page):
    """Cure: python -m tools.pages."""
    text = (pages.ROOT / page).read_text(encoding="utf-8")
    assert text == pages.written(page, text)
