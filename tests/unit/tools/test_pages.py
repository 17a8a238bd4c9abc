"""Generated sections: put between their markers, and nothing else of a page is touched."""

import pytest

from tools import pages

PAGE = "before\n<!-- generated: x -->\nold\n<!-- end: x -->\nafter\n"


def test_a_section_replaces_what_stood_between_its_markers():
    assert pages.put(PAGE, "x", "new") == "before\n<!-- generated: x -->\n\nnew\n\n<!-- end: x -->\nafter\n"


def test_putting_twice_changes_nothing():
    once = pages.put(PAGE, "x", "new")
    assert pages.put(once, "x", "new") == once


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- generated: x -->\n",
        "<!-- end: x -->\n<!-- generated: x -->\n",
        PAGE + PAGE,
    ],
)
def test_a_page_with_broken_markers_is_refused(text):
    with pytest.raises(pages.MarkerError):
        pages.put(text, "x", "new")


def test_stale_pages_are_named_and_written(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "SECTIONS", {"page.md": {"x": lambda: "new"}})
    assert pages.main(["--check"]) == 1
    assert "page.md" in capsys.readouterr().out
    assert "old" in page.read_text()
    assert pages.main([]) == 0
    assert "new" in page.read_text()
    assert pages.main(["--check"]) == 0
