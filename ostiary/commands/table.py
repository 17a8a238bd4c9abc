"""Aligned columns and lines for a terminal. Colours only where somebody looks at them."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_COLOURS: Final = {"active": "\x1b[32m", "disabled": "\x1b[31m", "expired": "\x1b[33m"}
_GAP: Final = "  "


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]], *, colour: bool) -> str:
    """Rows below their heads, each column as wide as its widest cell."""
    clean = [[printable(cell) for cell in row] for row in rows]
    widths = [max([_width(head), *(_width(row[at]) for row in clean)]) for at, head in enumerate(heads)]
    lines = [_DIM + _line(heads, widths) + _PLAIN if colour else _line(heads, widths)]
    for row in clean:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        if colour:
            padded = [
                f"{_COLOURS[cell]}{shown}{_PLAIN}" if cell in _COLOURS else shown
                for cell, shown in zip(row, padded, strict=True)
            ]
        lines.append(_GAP.join(padded).rstrip())
    return "\n".join(lines)


def fields(told: Mapping[str, str]) -> str:
    """One `name  value` line each; what has no value is left out."""
    width = max((len(name) for name in told), default=0)
    return "\n".join(f"{name:<{width}}{_GAP}{printable(value)}" for name, value in told.items() if value)


def printable(text: str) -> str:
    """One line without control characters: nobody's name for a key moves an operator's cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal: letters of East Asia take two, marks that are put on others none (UAX #11)."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)
