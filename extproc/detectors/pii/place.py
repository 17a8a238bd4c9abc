"""Where and when somebody lives or was born: street addresses, coordinates, dates of birth behind their label."""

import re
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Final

from extproc.detectors.pii.formed import LABEL_BEFORE_CHARS
from extproc.guardrails.rule import Rule, Shape

_KINDS: Final = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Drive|Dr|Lane|Ln|Court|Ct|Place|Pl|Way|Terrace|Ter|Circle|Cir"
    "|Highway|Hwy|Parkway|Pkwy|Square|Sq|Close|Crescent|Gardens|Grove|Row|Mews"
)
_STREET_CHARS: Final = 100
#: "12B N Main Street", then perhaps a unit, a town, a state and a ZIP or British postcode.
_STREET: Final = re.compile(
    rf"[0-9]{{1,5}}[A-Za-z]?(?: [NSEW]\.?)?(?: [A-Z][a-z'.]{{1,15}}){{1,3}} (?:{_KINDS})\b\.?"
    r"(?:,? (?:Apt|Suite|Unit|Flat|#)\.? ?[0-9A-Za-z]{1,6})?"
    r"(?:, [A-Z][a-z]{1,15}(?: [A-Z][a-z]{1,15}){0,2}"
    r"(?:,? [A-Z]{2} [0-9]{5}(?:-[0-9]{4})?|,? [A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2})?)?"
)
#: A number, then words with capitals: where this may still become an address, its beginning waits.
_STREET_OPENING: Final = re.compile(
    r"(?<![0-9A-Za-z.,:/$#-])[0-9]{1,5}(?:\Z|[A-Za-z]?(?:\Z| (?:\Z|[A-Z][a-z'.]{0,15}(?:\Z|[ ,]))))"
)


def _find_street(text: str, end: int) -> Iterator[tuple[int, int]]:
    """The trigger ends on the capital of the first word: the number is right before it."""
    for start in range(max(0, end - 11), end):
        if not text[start].isdigit() or (start and (text[start - 1].isalnum() or text[start - 1] in ".,:/$#-")):
            continue
        match = _STREET.match(text, start, start + _STREET_CHARS)
        if match is not None:
            yield match.span()


STREET: Final = Rule(
    id="pii.street_address",
    placeholder="[ADDRESS]",
    triggers=(rb"(?:^|[^0-9A-Za-z.,:/$#-])[0-9]{1,5}[A-Za-z]?(?: [NSEW]\.?)? [A-Z]",),
    find=_find_street,
    before_chars=1,
    shapes=(
        Shape(
            limit_chars=_STREET_CHARS, alphabet=ascii_letters + digits + " ,.'#-", opens=digits, opening=_STREET_OPENING
        ),
    ),
)

_DEGREES: Final = (
    r"[0-9]{1,3}(?:\.[0-9]{1,8})?°(?: ?[0-9]{1,2}(?:\.[0-9]{1,4})?[\u2032'])?(?: ?[0-9]{1,2}(?:\.[0-9]{1,4})?[\u2033])?"
)
_GEO: Final = re.compile(
    rf"{_DEGREES} ?[NS],? {{0,2}}{_DEGREES} ?[EW]"
    r"|-?[0-9]{1,2}\.[0-9]{4,8}, ?-?[0-9]{1,3}\.[0-9]{4,8}(?![0-9.])(?!, ?-?[0-9]{1,3}\.[0-9]{4})"
)
_GEO_CHARS: Final = 56
_GEO_TRIGGER_CHARS: Final = 30  # 12 of the degrees, a degree sign, 16 up to the letter and the letter
#: The number before, in a row of three or more: a vector, not a place.
_ROW: Final = re.compile(r"\.[0-9]{4,8}, ?\Z")
_ROW_CHARS: Final = 11


def _find_geo(text: str, end: int) -> Iterator[tuple[int, int]]:
    for start in range(max(0, end - _GEO_TRIGGER_CHARS), end):
        if start and (text[start - 1].isalnum() or text[start - 1] in ".-"):
            continue
        match = _GEO.match(text, start, start + _GEO_CHARS)
        if match is None or match.end() + 1 < end or not _on_earth(match.group()):
            continue
        if "°" in match.group() or _ROW.search(text[max(0, start - _ROW_CHARS) : start]) is None:
            yield match.span()


def _on_earth(value: str) -> bool:
    """Within bounds, and not within a degree of 0, 0: that is open sea, and numbers below one are everywhere."""
    if "°" in value:
        return True
    latitude, longitude = (abs(float(part)) for part in value.split(","))
    return latitude <= 90 and longitude <= 180 and max(latitude, longitude) >= 1  # degrees


GEO: Final = Rule(
    id="pii.coordinates",
    placeholder="[COORDINATES]",
    triggers=(
        rb"(?:^|[^0-9A-Za-z.-])-?[0-9]{1,2}\.[0-9]{4,8}, ?-?[0-9]",
        rb"(?:^|[^0-9A-Za-z.-])[0-9]{1,3}(?:\.[0-9]{1,8})?\xc2\xb0[^a-zA-Z]{0,16}[NS]",
    ),
    find=_find_geo,
    before_chars=_ROW_CHARS,
    shapes=(
        Shape(
            limit_chars=_GEO_CHARS,
            alphabet=digits + ".,- °\u2032'\u2033NSEW",
            opens=digits + "-",
            opening=re.compile(r"(?<![0-9A-Za-z.-])-?(?:\Z|[0-9]{1,3}(?:\Z|[.°]))"),
        ),
    ),
)

_MONTHS: Final = (
    "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    "|Nov(?:ember)?|Dec(?:ember)?|Januar|Februar|M.rz|Mai|Juni|Juli|Oktober|Dezember"
)
_DATE: Final = re.compile(
    r"(?:(?:19|20)[0-9]{2}([-/.])[01]?[0-9]\1[0-3]?[0-9]|[0-3]?[0-9]([-/.])[0-3]?[0-9]\2(?:19|20)?[0-9]{2}"
    rf"|(?:{_MONTHS})\.? [0-3]?[0-9](?:st|nd|rd|th)?,? (?:19|20)[0-9]{{2}}"
    rf"|[0-3]?[0-9]\.? (?:{_MONTHS})\.?,? (?:19|20)[0-9]{{2}}"
    r"|(?:19|20)[0-9]{2} ?年 ?[01]?[0-9] ?月 ?[0-3]?[0-9] ?日)(?![0-9A-Za-z])"
)
_DATE_CHARS: Final = 22
_BORN: Final = (
    "dob|date of birth|birth ?date|birthday|birth|born|d\\.o\\.b|date_of_birth|geboren|geburtsdatum|geb"
    "|fecha de nacimiento|nacimiento|date de naissance|n.e? le|naissance|data di nascita|nascita|nascimento"
    "|geboortedatum"
)
_BORN_AHEAD: Final = re.compile(
    rf"(?<![0-9a-z])(?:{_BORN})(?: ?(?:is|was|on|am|el|le|the)){{0,2}}[][ .:=\"'`(<>*|_\n\t-]{{1,6}}\Z", re.IGNORECASE
)
_BORN_BEFORE_CHARS: Final = LABEL_BEFORE_CHARS


def _find_birth(text: str, end: int) -> Iterator[tuple[int, int]]:
    start = end - 1
    match = _DATE.match(text, start, start + _DATE_CHARS)
    if match is not None and _BORN_AHEAD.search(text[max(0, start - _BORN_BEFORE_CHARS) : start]):
        yield match.span()


BIRTH: Final = Rule(
    id="pii.birth_date",
    placeholder="[DATE_OF_BIRTH]",
    triggers=(
        rb"(?i)(?:^|[^0-9a-z])(?:%b)(?: ?(?:is|was|on|am|el|le|the)){0,2}[][ .:=\"'`(<>*|_\n\t-]{1,6}[0-9jfmasond]"
        % _BORN.replace("n.e?", "n.{1,2}e?").encode(),
    ),
    find=_find_birth,
    before_chars=_BORN_BEFORE_CHARS,
    shapes=(
        Shape(
            limit_chars=_DATE_CHARS,
            alphabet=digits + ascii_letters + "-/., 年月日",
            opens=digits + "JFMASOND",
            opening=re.compile(
                r"(?<![0-9A-Za-z])(?:[0-9]{1,2}\.?(?:\Z| (?:\Z|[JFMASOND]))|[0-9]{1,4}(?:\Z|[-/. 年])"
                r"|(?:Jan|Feb|Mar|Apr|May|Mai|Jun|Jul|Aug|Sep|Oct|Nov|Dec)|[JFMASOND][a-z]{0,2}\Z)"
            ),
        ),
    ),
)
PLACES: Final[tuple[Rule, ...]] = (STREET, GEO, BIRTH)
