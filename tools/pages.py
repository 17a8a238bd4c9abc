"""Writes what the code knows into its pages, between markers; with `--check` names the pages that are behind.

A page has one pair of markers for each section: `<!-- generated: NAME -->` and `<!-- end: NAME -->`.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tools import diagram, golden_translate, rules

ROOT: Final = Path(__file__).resolve().parent.parent
#: Page -> name of the section -> what writes it.
SECTIONS: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = MappingProxyType(
    {
        "docs/request-life.md": {"states": diagram.section},
        "docs/detectors.md": {"rules": rules.section},
        "docs/translation.md": {"losses": golden_translate.section},
    },
)


class MarkerError(Exception):
    """A page that does not hold a section's markers exactly once, in order."""


def put(text: str, name: str, section: str) -> str:
    """`text` with `section` between the markers of `name`."""
    first, last = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    if text.count(first) != 1 or text.count(last) != 1 or text.index(first) > text.index(last):
        raise MarkerError(f"the markers of {name} must stand once each, the first one first")
    before, _, rest = text.partition(first)
    return f"{before}{first}\n{section}\n\n{last}{rest.partition(last)[2]}"


def written(page: str, text: str) -> str:
    """The page as it should be."""
    for name, write in SECTIONS[page].items():
        text = put(text, name, write())
    return text


def stale(root: Path) -> list[str]:
    """The pages that no longer say what the code does."""
    return [page for page in SECTIONS if (text := (root / page).read_text(encoding="utf-8")) != written(page, text)]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(prog="python -m tools.pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, end with 1 when a page is behind")
    arguments = parser.parse_args(argv)
    behind = stale(ROOT)
    if arguments.check:
        print("\n".join(f"{page}: run python -m tools.pages" for page in behind) or "every page is current")
        return 1 if behind else 0
    for page in behind:
        path = ROOT / page
        path.write_text(written(page, path.read_text(encoding="utf-8")), encoding="utf-8")
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
