"""Numbers, durations, percentages and enum values as protobuf JSON spells them; None for anything else."""

import math
import re
from typing import Final

from control.edge.lint.node import Kind, Node

_DURATION: Final = re.compile(r"(-?\d{1,12}(?:\.\d{1,9})?)s")  # google.protobuf.Duration in JSON
_INTEGER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,20}|[1-9]\d{0,18}")
_DIGITS_MAX: Final = 40  # longer than any number that a field can hold
_ENUM_DIGITS_MAX: Final = 2  # no enum that is read here has a hundred values
_PARTS: Final = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


def seconds(node: Node) -> float | None:
    """A duration such as `1.5s`."""
    match = _DURATION.fullmatch(node.text)
    return float(match[1]) if match else None


def number(node: Node) -> float | None:
    """A number; Envoy's YAML reader also takes hexadecimal, and octal with a leading zero."""
    text = node.text
    if node.kind is not Kind.SCALAR or len(text) > _DIGITS_MAX:
        return None
    if _INTEGER.fullmatch(text):
        base = 16 if text[:2].lower() == "0x" else 8 if text[0] == "0" else 10
        return float(int(text, base))
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def fraction(node: Node) -> float | None:
    """A RuntimeFractionalPercent's or FractionalPercent's share of 0 to 1."""
    percent = node.get("default_value") or node
    value = number(percent.get("numerator"))
    parts = _PARTS.get(choice(percent.get("denominator"), *_PARTS))
    if parts is None or percent.kind is not Kind.MAPPING:
        return None
    return (value or 0) / parts


def choice(node: Node, *names: str) -> str:
    """An enum value by name; `names` in the order of their numbers. Absent is the first; case is ignored."""
    text = node.text.upper()
    if not node:
        return names[0]
    if text.isascii() and text.isdigit() and len(text) <= _ENUM_DIGITS_MAX:
        return names[int(text)] if int(text) < len(names) else text
    return text
