"""The picture is well-formed, whatever sources are called, and shows what was measured."""

from xml.etree import ElementTree as ET

from ostiary.chart import draw
from ostiary.evaluation import Report, SourceFigures, TypeFigures

SVG = "{http://www.w3.org/2000/svg}"


def report(name="mine", curve=((0.0, 0.0), (0.0, 0.8), (1.0, 1.0))):
    source = SourceFigures(name, 10, 10, 0.8, 0.1, 0.9, 0.7, 0.95)
    kinds = (
        TypeFigures(name, "EMAIL", ("pii.email",), 4, 1.0, 1.0, 0.5),
        TypeFigures(name, "NAME", (), 4, None, None, None),
    )
    return Report("inj-0", (source,), kinds, curve, (0.1, 0.8) if curve else None, 20, 0)


def drawn(*args, **more):
    return ET.fromstring(draw(report(*args, **more)))  # noqa: S314 - our own picture


def test_a_curve_a_point_and_bars_are_drawn():
    picture = drawn()
    assert len(picture.findall(f"{SVG}polyline")) == 1
    assert len(picture.findall(f"{SVG}circle")) == 1
    texts = [each.text for each in picture.findall(f"{SVG}text")]
    assert "0.800 / 0.100" in texts  # recall and false positives of the source
    assert "EMAIL (mine)" in texts
    assert not any("NAME" in text for text in texts)  # nothing was measured


def test_a_bar_is_as_long_as_its_share():
    widths = [float(each.get("width")) for each in drawn().findall(f"{SVG}rect") if each.get("height") == "9"]
    assert widths[0] / widths[1] == 0.8 / 0.5


def test_without_both_kinds_of_text_the_picture_says_so():
    picture = drawn(curve=())
    assert not picture.findall(f"{SVG}polyline")
    assert any("needs attacks" in each.text for each in picture.findall(f"{SVG}text"))


def test_names_cannot_break_the_picture():
    texts = [each.text for each in drawn("<script>\x1b&'\"" + "x" * 99).findall(f"{SVG}text")]
    assert any(text.startswith("<script>?&") and text.endswith("…") for text in texts)
