"""docs/operations.md against the code: every setting with its default and bounds, every error code with its plan."""

import dataclasses
import re
from pathlib import Path

import pytest

from gateway.errors import PLAN, Kind
from gateway.settings import _PARSERS, PREFIX, Settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    lines = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("|---"))
    body = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        body.append([cell.strip() for cell in line[1:].rstrip("|").split(" | ")])
    return body


SETTINGS = {cells[0].strip("`"): cells for cells in rows("Settings")}
CODES = {cells[0].strip("`"): cells for cells in rows("Error codes")}


def test_every_setting_is_told_once_and_no_other():
    told = [cells[0] for cells in rows("Settings")]
    assert told == [f"`{PREFIX}{one.name.upper()}`" for one in dataclasses.fields(Settings)]


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_a_setting_has_the_default_that_is_told(field):
    default = field.default
    if field.name == "workers":
        expected = "one per core"  # a function of the machine
    elif default is None or (default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING):
        expected = "none"
    elif field.name == "socket_mode":
        expected = f"`{default:o}`"
    else:
        expected = f"`{default}`"
    assert SETTINGS[PREFIX + field.name.upper()][1] == expected


@pytest.mark.parametrize("name", _PARSERS)
def test_a_setting_accepts_what_is_told(name):
    """The parsers say their bounds when they refuse; the page must name the same."""
    with pytest.raises(ValueError, match=r"\w") as refusal:
        _PARSERS[name]("\0")
    words = str(refusal.value)
    bounds = re.search(r"from (\S+ to \S+)$", words) or re.search(r"not one of: (.+)$", words)
    accepts = SETTINGS[PREFIX + name.upper()][2]
    assert accepts == bounds[1] if bounds else accepts


def test_every_error_code_is_told_once_and_no_other():
    assert [cells[0] for cells in rows("Error codes")] == [f"`{kind.value}`" for kind in Kind]


@pytest.mark.parametrize("kind", Kind)
def test_an_error_code_is_told_with_its_status_and_advice(kind):
    _, status, retry, caller, operator = CODES[kind.value]
    assert (int(status), retry) == (PLAN[kind].http, PLAN[kind].retry.value)
    assert caller
    assert operator
