"""Telephone numbers: international with a plus, North American by form, any other behind a word such as "tel"."""

import re
from collections.abc import Iterator
from functools import lru_cache
from string import digits
from typing import Final

import phonenumbers

from extproc.detectors.pii.formed import LABEL_BEFORE_CHARS
from extproc.guardrails.rule import Rule, Shape

_GAPS: Final = " \u00a0.-/()"
_LIMIT_CHARS: Final = 27  # 15 digits (E.164), a plus, ten separators, and one more to see that it ends
_START: Final = re.compile(r"(?<![0-9A-Za-z+])(?<![0-9][.-])[+(0-9]")
_INTERNATIONAL: Final = re.compile(rf"\+[0-9](?:[{re.escape(_GAPS)}]{{0,2}}[0-9]){{6,14}}(?![0-9A-Za-z])")
#: NANP: area code and exchange begin with 2 to 9. Some separator must be there: ten digits alone are any number.
_NORTH_AMERICAN: Final = re.compile(
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}(?![0-9A-Za-z])(?![.-][0-9])"
)
_LOCAL: Final = re.compile(rf"\(?[0-9](?:[{re.escape(_GAPS)}]{{0,2}}[0-9]){{5,14}}(?![0-9A-Za-z])(?![.-][0-9])")
#: Behind such a word too, what is a date or a round number is no telephone number: "call 1000000 times".
_NO_NUMBER: Final = re.compile(r"\(?(?:[1-9]0{5,}|(?:19|20)[0-9]{2}([-/.])[01][0-9](?:\1[0-3][0-9])?)")
_NOT_DIGITS: Final = re.compile("[^0-9]+")
_LABELS: Final = "tel|telephone|phone|mobile|cell|call|fax|telefon|tel.fono|t.l.phone|handy|whatsapp|mobil|fon"
_AHEAD: Final = re.compile(
    rf"(?<![0-9a-z])(?:{_LABELS})(?: ?(?:no|nr|number|me at|us at|on))?[ .:=\"'(-]{{1,4}}\Z", re.IGNORECASE
)


@lru_cache(maxsize=512)  # every calling code there is; asking the library each time would cost 200 microseconds
def _lengths(code: int) -> frozenset[int]:
    """Lengths of national numbers behind a calling code; empty when nobody has it."""
    found: set[int] = set()
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ()):
        metadata = (
            phonenumbers.PhoneMetadata.metadata_for_nongeo_region(code)
            if region == "001"
            else phonenumbers.PhoneMetadata.metadata_for_region(region)
        )
        if metadata is not None and metadata.general_desc is not None:
            found.update(metadata.general_desc.possible_length)
    return frozenset(found)


def _possible(value: str) -> bool:
    """Whether the country's plan has numbers of this length. Whether one was given out changes every month."""
    number = _NOT_DIGITS.sub("", value)
    for size in (1, 2, 3):  # calling codes are free of prefixes (ITU-T E.164)
        lengths = _lengths(int(number[:size]))
        if lengths:
            national = number[size:]
            # Many write the national prefix in brackets: +44 (0)20 ...
            return len(national) in lengths or (national[:1] == "0" and len(national) - 1 in lengths)
    return False


def _find(text: str, end: int) -> Iterator[tuple[int, int]]:
    """Each form where its own trigger ends: in it, at its end, or on its first digit. So a number tells itself."""
    for head in _START.finditer(text, max(0, end - _LIMIT_CHARS), end):
        start = head.start()
        stop = start + _LIMIT_CHARS
        match = _INTERNATIONAL.match(text, start, stop)
        if match is not None:
            if match.end() >= end and _possible(match.group()):
                yield match.span()
            continue
        match = _NORTH_AMERICAN.match(text, start, stop)
        if match is not None:
            if match.end() == end:
                yield match.span()
        elif start >= end - 2:  # the label's trigger has the first digit, and perhaps a bracket before it
            match = _LOCAL.match(text, start, stop)
            if match is None or _NO_NUMBER.fullmatch(match.group()):
                continue
            if _AHEAD.search(text[max(0, start - LABEL_BEFORE_CHARS) : start]):
                yield match.span()


PHONE: Final = Rule(
    id="pii.phone",
    placeholder="[PHONE]",
    triggers=(
        rb"\+[0-9](?:(?: |\xc2\xa0|[.()/-]){0,2}[0-9]){6}",
        rb"(?:^|[^0-9A-Za-z])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
        rb"(?i)(?:^|[^0-9a-z])(?:%b)(?: ?(?:no|nr|number|me at|us at|on))?[ .:=\"'(-]{1,4}[0-9]"
        % _LABELS.replace(".", ".{1,2}").encode(),
    ),
    find=_find,
    before_chars=LABEL_BEFORE_CHARS,
    shapes=(
        Shape(
            limit_chars=_LIMIT_CHARS,
            alphabet=digits + "+" + _GAPS,
            opens="+(" + digits,
            opening=re.compile(r"(?<![0-9A-Za-z+])(?:[+][0-9(]?|[(]?[0-9]|[(]\Z)"),
        ),
    ),
)
