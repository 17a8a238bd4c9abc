"""International bank account numbers: country, length and check digits (ISO 13616-1, ISO/IEC 7064 MOD 97-10)."""

import re
from collections.abc import Iterator
from string import ascii_letters, ascii_uppercase, digits
from types import MappingProxyType
from typing import Final

from extproc.guardrails.rule import Rule, Shape

#: Length by country, from the SWIFT IBAN registry (release 99) and the French overseas codes that banks use.
LENGTHS: Final = MappingProxyType(
    {
        "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27,
        "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28,
        "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
        "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
        "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21,
        "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
        "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
        "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25,
        "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
    },
)  # fmt: skip
_LONGEST: Final = max(LENGTHS.values())
_HEAD_CHARS: Final = 15  # the shortest IBAN (Norway); the trigger sees as many characters
_GAPS: Final = " \u00a0"
_START: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9]+")
#: Lower case only when compact: words and numbers of prose are lower case with spaces.
_PRINTED: Final = re.compile(rf"[A-Z]{{2}}[0-9]{{2}}(?:[{_GAPS}][A-Z0-9]{{4}})*(?:[{_GAPS}][A-Z0-9]{{1,3}})?")
_GAP: Final = re.compile(rf"[{_GAPS}]")
_NUMBERS: Final = {ord(letter): str(int(letter, 36)) for letter in ascii_letters}
_COUNTRIES: Final = "|".join(LENGTHS)


def checks(iban: str) -> bool:
    """Whether the check digits of a compact IBAN are right; letters count as 10 to 35."""
    return int((iban[4:] + iban[:4]).translate(_NUMBERS)) % 97 == 1


def _find(text: str, end: int) -> Iterator[tuple[int, int]]:
    for head in _START.finditer(text, max(0, end - _HEAD_CHARS - 4), end):
        start = head.start()
        length = LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            continue
        plain = _PLAIN.match(text, start, start + length + 1)
        if plain is not None and plain.end() - start == length:
            stop = start + length
            number = text[start:stop]
        else:
            stop = _printed_end(text, start, length)
            number = _GAP.sub("", text[start:stop])
        if stop and checks(number):
            yield start, stop


def _printed_end(text: str, start: int, length: int) -> int:
    """End of an IBAN of `length` characters in groups of four, or 0."""
    stop = start + length + (length - 1) // 4
    printed = _PRINTED.match(text, start, stop)
    if printed is None or printed.end() != stop or text[stop : stop + 1].isalnum():
        return 0
    return stop


IBAN: Final = Rule(
    id="pii.iban",
    placeholder="[IBAN]",
    triggers=(
        rb"(?i)(?:^|[^a-z0-9])(?:%b)[0-9]{2}[a-z0-9]{11}" % _COUNTRIES.encode(),
        rb"(?:^|[^A-Za-z0-9])(?:%b)[0-9]{2}(?:(?: |\xc2\xa0)[A-Z0-9]{4}){2}(?: |\xc2\xa0)[A-Z0-9]{3}"
        % _COUNTRIES.encode(),
    ),
    find=_find,
    before_chars=1,
    shapes=(
        # One more than the longest, so that a longer word is told from it.
        Shape(limit_chars=_LONGEST + 1, alphabet=ascii_letters + digits, opens=ascii_letters),
        Shape(
            limit_chars=_LONGEST + _LONGEST // 4,
            alphabet=ascii_uppercase + digits + _GAPS,
            opens=ascii_uppercase,
            opening=re.compile(r"(?<![A-Za-z0-9])[A-Z](?:\Z|[A-Z](?:\Z|[0-9](?:\Z|[0-9])))"),
        ),
    ),
)
