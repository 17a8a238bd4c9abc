"""Links that lead nowhere are named with their line."""

import pytest

from tools import links


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[there](other.md)", []),
        ("[there](other.md#a-heading)", []),
        ("[here](#here)\n\n# Here", []),
        ("[web](https://example.com/none)", []),
        ("```\n[shown](none.md)\n```", []),
        ("one\n\n[gone](none.md)", ["page.md:3: none.md"]),
        ("[gone](other.md#none)", ["page.md:1: other.md#none"]),
        ("```\na\n```\n[gone](none.md)", ["page.md:4: none.md"]),
    ],
)
def test_broken(tmp_path, monkeypatch, text, problems):
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("## A heading!\n")
    page = tmp_path / "page.md"
    page.write_text(text)
    assert links.broken(page) == problems
