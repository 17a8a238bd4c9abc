"""Payment card numbers: issuer range, length and Luhn check digit (ISO/IEC 7812-1), plain or in printed groups."""

import re
from collections.abc import Iterator
from string import digits
from typing import Final

from extproc.guardrails.rule import Rule, Shape

_GAPS: Final = " \u00a0-"  # a non-breaking space is what typesetting puts between groups
_PREFIX_DIGITS: Final = 4
_DIGITS_MIN: Final = 12
_DIGITS_MAX: Final = 19
_LIMIT_CHARS: Final = _DIGITS_MAX + 4  # at most five groups
_GTIN_LENGTHS: Final = (12, 13)  # UPC-A and EAN-13 bar codes share the ranges of Maestro and of the oldest Visa cards
#: A cheap superset of `_RANGES`, so that years and other small numbers wake nobody.
_PREFIX: Final = "(?:4[0-9]{3}|5[0-8][0-9]{2}|2[2-7][0-9]{2}|2131|1800|3[0-9]{3}|6[0-9]{3}|81[0-9]{2})"
_START: Final = re.compile(rf"(?<![0-9]){_PREFIX}")
#: Printed layouts: every group but the last has four digits or more (4-4-4-4, 4-6-5, 6-13). Looser ones would make
#: cards of any table of numbers.
_BODY: Final = re.compile(rf"[0-9]{{4,19}}(?:[{_GAPS}][0-9]{{4,15}})*(?:[{_GAPS}][0-9]{{1,3}})?")
_NOT_BEFORE: Final = re.compile(r"(?:\+|[0-9]\.)\Z")  # a phone number; the digits of a fraction
_GAP: Final = re.compile(rf"[{_GAPS}]")

#: (first prefix, last prefix, allowed lengths), by the public issuer tables as of 2025.
_RANGES: Final = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard, 2-series
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", (16, 17, 18, 19)),  # Discover
    ("644", "649", (16, 17, 18, 19)),
    ("65", "65", (16, 17, 18, 19)),
    ("300", "305", (14, 15, 16, 17, 18, 19)),  # Diners Club
    ("3095", "3095", (14, 15, 16, 17, 18, 19)),
    ("36", "36", (14, 15, 16, 17, 18, 19)),
    ("38", "39", (14, 15, 16, 17, 18, 19)),
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("2131", "2131", (15,)),
    ("1800", "1800", (15,)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "81", (16, 17, 18, 19)),
    ("50", "50", tuple(range(12, 20))),  # Maestro
    ("56", "58", tuple(range(12, 20))),
    ("6304", "6304", tuple(range(12, 20))),
    ("6390", "6390", tuple(range(12, 20))),
    ("67", "67", tuple(range(12, 20))),
)


def _by_prefix() -> dict[str, frozenset[int]]:
    table: dict[str, frozenset[int]] = {}
    for first, last, lengths in _RANGES:
        for prefix in range(int(first), int(last) + 1):
            table[str(prefix)] = frozenset(lengths)
    return table


_LENGTHS: Final = _by_prefix()
_LUHN_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))  # digit sums of 2 x digit
_TRIPLED: Final = bytes.maketrans(b"0123456789", bytes(range(0, 30, 3)))
_ZERO: Final = ord("0")


def _checks(number: str, weighted: bytes) -> bool:
    """Whether the digits add up to a multiple of ten when every second one, from the right, is weighted."""
    data = number.encode()
    plain = data[-1::-2]
    return (sum(plain) - _ZERO * len(plain) + sum(data[-2::-2].translate(weighted))) % 10 == 0


def luhn(number: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others."""
    return _checks(number, _LUHN_DOUBLED)


def _lengths(prefix: str) -> frozenset[int]:
    """The lengths that cards with these first four digits have."""
    for size in (1, 2, 3, 4):
        lengths = _LENGTHS.get(prefix[:size])
        if lengths is not None:
            return lengths
    return frozenset()


def _find(text: str, end: int) -> Iterator[tuple[int, int]]:
    """The trigger ends on the twelfth digit, so the start is at most eleven digits and gaps before."""
    for start in _START.finditer(text, max(0, end - 2 * _DIGITS_MIN), end - _DIGITS_MIN + _PREFIX_DIGITS):
        first = start.start()
        lengths = _lengths(start.group())
        if not lengths or _NOT_BEFORE.search(text, max(0, first - 2), first):
            continue
        if len(_GAP.sub("", text[first:end])) != _DIGITS_MIN:
            continue  # another trigger's start
        body = _BODY.match(text, first, first + _LIMIT_CHARS)
        if body is None:
            continue
        last = body.end()
        ends = [gap.start() for gap in _GAP.finditer(text, first, last)]
        if not text[last : last + 1].isdigit():
            ends.append(last)
        for stop in reversed(ends):
            number = _GAP.sub("", text[first:stop])
            if len(number) < _DIGITS_MIN:
                break
            gtin = len(number) in _GTIN_LENGTHS and _checks(number, _TRIPLED)
            if len(number) in lengths and luhn(number) and not gtin:
                yield first, stop
                break


CARD: Final = Rule(
    id="pii.card",
    placeholder="[CARD]",
    triggers=(rb"(?:^|[^0-9])%b(?:(?: |-|\xc2\xa0)?[0-9]){8}" % _PREFIX.encode(),),
    find=_find,
    before_chars=2,
    shapes=(Shape(limit_chars=_LIMIT_CHARS, alphabet=digits + _GAPS, opens="1234568"),),
)
