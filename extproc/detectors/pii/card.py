"""Payment card numbers: issuer range, length and Luhn check digit (ISO/IEC 7812-1), plain or in printed groups."""

import re
from collections.abc import Iterator
from string import digits
from typing import Final

from extproc.guardrails.rule import Rule

_GAPS: Final = " \u00a0-"  # a non-breaking space is what typesetting puts between groups
_DIGITS_MIN: Final = 12
_DIGITS_MAX: Final = 19
_GTIN_LENGTHS: Final = (12, 13)  # UPC-A and EAN-13 bar codes share the ranges of Maestro and of the oldest Visa cards
_START: Final = re.compile(r"(?<![0-9])[1-689][0-9]{3}")
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
_DOUBLED: Final = str.maketrans("0123456789", "0246813579")  # 2 x digit, digits of the product added


def luhn(number: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others."""
    return (sum(map(int, number[-1::-2])) + sum(map(int, number[-2::-2].translate(_DOUBLED)))) % 10 == 0


def _gtin(number: str) -> bool:
    return (sum(map(int, number[-1::-2])) + 3 * sum(map(int, number[-2::-2]))) % 10 == 0


def _is_card(number: str) -> bool:
    for size in (4, 3, 2, 1):
        lengths = _LENGTHS.get(number[:size])
        if lengths is not None:
            break
    else:
        return False
    if len(number) not in lengths or not luhn(number):
        return False
    return not (len(number) in _GTIN_LENGTHS and _gtin(number))


def _find(text: str, end: int) -> Iterator[tuple[int, int]]:
    """The trigger ends on the twelfth digit, so the start is at most eleven digits and gaps before."""
    for start in _START.finditer(text, max(0, end - 2 * _DIGITS_MIN), end - _DIGITS_MIN + 4):
        first = start.start()
        body = _BODY.match(text, first, first + CARD.limit_chars)
        if body is None or _NOT_BEFORE.search(text[max(0, first - 2) : first]):
            continue
        last = body.end()
        ends = [gap.start() for gap in _GAP.finditer(text, first, last)]
        if not text[last : last + 1].isdigit():
            ends.append(last)
        for stop in reversed(ends):
            number = _GAP.sub("", text[first:stop])
            if len(number) < _DIGITS_MIN:
                break
            if len(number) <= _DIGITS_MAX and _is_card(number):
                yield first, stop
                break


CARD: Final = Rule(
    id="pii.card",
    placeholder="[CARD]",
    triggers=(rb"(?:^|[^0-9])[1-689][0-9]{3}(?:(?: |-|\xc2\xa0)?[0-9]){8}",),
    find=_find,
    limit_chars=_DIGITS_MAX + 4,  # nineteen digits in at most five groups
    before_chars=2,
    alphabet=digits + _GAPS,
    opens="12345689",
)
