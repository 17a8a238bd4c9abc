"""An evaluation as one SVG picture: the curve of all sources, and a bar for each. Draws, and measures nothing."""

from collections.abc import Iterable
from html import escape
from typing import Final

from ostiary.evaluation import TARGET_FPR, Report, SourceFigures, TypeFigures

_SIDE: Final = 320  # pixels of the curve's square
_LEFT, _TOP = 60, 50
_BARS: Final = _LEFT + _SIDE + 210  # where bars begin: names stand before them
_LONG: Final = 260  # of a bar that means 1
_ROW: Final = 20
_GOOD, _BAD, _GREY = "#1b7f5c", "#c23b22", "#888"  # told apart in grey too: bars differ in height as well
_NAME_CHARS: Final = 28
_FONT: Final = 'font-family="sans-serif" font-size="12"'


def draw(report: Report) -> str:
    """The whole picture."""
    bars = [*_source_bars(report.sources), *_type_bars(report.types)]
    height = max(_TOP + _SIDE + 60, _TOP + _ROW * len(bars) + 40)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_BARS + _LONG + 80}" height="{height}" {_FONT}>',
        '<rect width="100%" height="100%" fill="white"/>',
        *_curve(report),
        _text(_BARS, _TOP - 20, "recall (upper, green) and false positives (lower, red); F2 of personal data"),
        *(part for row, bar in enumerate(bars) for part in _bar(_TOP + row * _ROW, *bar)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _curve(report: Report) -> Iterable[str]:
    yield f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="{_GREY}"/>'
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _place((tick, tick))
        yield _text(x, _TOP + _SIDE + 16, f"{tick:g}", "middle")
        yield _text(_LEFT - 6, y + 4, f"{tick:g}", "end")
    yield _text(_LEFT + _SIDE / 2, _TOP + _SIDE + 36, "false-positive rate", "middle")
    yield _text(_LEFT, _TOP - 20, "recall of attacks, all sources")
    if not report.curve:
        yield _text(_LEFT + _SIDE / 2, _TOP + _SIDE / 2, "needs attacks and benign texts", "middle")
        return
    x, _ = _place((TARGET_FPR, 0))
    yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + _SIDE}" stroke="{_GREY}" stroke-dasharray="3"/>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(_place, report.curve))
    yield f'<polyline points="{points}" fill="none" stroke="{_GOOD}" stroke-width="2"/>'
    if report.shipped is not None:
        x, y = _place(report.shipped)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_BAD}"><title>shipped thresholds</title></circle>'


def _source_bars(sources: Iterable[SourceFigures]) -> Iterable[tuple[str, float | None, float | None]]:
    return ((each.source, each.recall, each.false_positives) for each in sources)


def _type_bars(types: Iterable[TypeFigures]) -> Iterable[tuple[str, float | None, float | None]]:
    return ((f"{each.type} ({each.source})", each.f2, None) for each in types if each.rules)


def _bar(y: float, name: str, good: float | None, bad: float | None) -> Iterable[str]:
    yield _text(_BARS - 6, y + 12, name if len(name) <= _NAME_CHARS else name[: _NAME_CHARS - 1] + "…", "end")
    told = []
    for value, colour, top, tall in ((good, _GOOD, 2, 9), (bad, _BAD, 11, 5)):
        if value is not None:
            wide = max(1.0, value * _LONG)
            yield f'<rect x="{_BARS}" y="{y + top:.0f}" width="{wide:.1f}" height="{tall}" fill="{colour}"/>'
            told.append(f"{value:.3f}")
    yield _text(_BARS + _LONG + 6, y + 12, " / ".join(told))


def _place(point: tuple[float, float]) -> tuple[float, float]:
    return _LEFT + point[0] * _SIDE, _TOP + (1 - point[1]) * _SIDE


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    clean = "".join(char if char.isprintable() else "?" for char in words)  # control characters are no XML
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(clean)}</text>'
