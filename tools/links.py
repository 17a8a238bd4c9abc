"""Names every relative link of the documentation that leads nowhere. Asks no network."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_LINK: Final = re.compile(r"\[[^\]\n]*\]\(([^()\s]+)\)")
_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def broken(page: Path) -> list[str]:
    """`page:line: target` for each link to a file, or heading, that is not there."""
    text = page.read_text(encoding="utf-8")
    prose = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)  # code may show links; lines must still count
    found = []
    for match in _LINK.finditer(prose):
        target, _, heading = match[1].partition("#")
        if ":" in target:
            continue  # a scheme
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (heading and file.suffix == ".md" and heading not in _headings(file)):
            line = prose.count("\n", 0, match.start()) + 1
            found.append(f"{page.relative_to(ROOT)}:{line}: {match[1]}")
    return found


def _headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them: lower case, spaces to hyphens, punctuation dropped."""
    lines = re.findall(r"^#+\s+(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def main() -> int:
    """Check every Markdown file that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, check=True).stdout
    problems = [line for name in listed.decode().split("\0") if name for line in broken(ROOT / name)]
    print("\n".join(problems) if problems else "every link leads somewhere")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
