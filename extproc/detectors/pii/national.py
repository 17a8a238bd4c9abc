"""National identity numbers of many countries: form, then the check digits of python-stdnum; one rule for all."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Final

from stdnum.be import nn as be_nn
from stdnum.br import cpf as br_cpf
from stdnum.ca import sin as ca_sin
from stdnum.ch import ssn as ch_ahv
from stdnum.cl import rut as cl_rut
from stdnum.cn import ric as cn_ric
from stdnum.de import idnr as de_idnr
from stdnum.dk import cpr as dk_cpr
from stdnum.es import dni as es_dni
from stdnum.es import nie as es_nie
from stdnum.exceptions import ValidationError
from stdnum.fi import hetu as fi_hetu
from stdnum.fr import nir as fr_nir
from stdnum.il import idnr as il_idnr
from stdnum.in_ import aadhaar as in_aadhaar
from stdnum.in_ import pan as in_pan
from stdnum.it import codicefiscale as it_cf
from stdnum.kr import rrn as kr_rrn
from stdnum.mx import curp as mx_curp
from stdnum.nl import bsn as nl_bsn
from stdnum.no import fodselsnummer as no_fnr
from stdnum.pl import pesel as pl_pesel
from stdnum.pt import nif as pt_nif
from stdnum.ro import cnp as ro_cnp
from stdnum.se import personnummer as se_pnr
from stdnum.tr import tckimlik as tr_tckn
from stdnum.za import idnr as za_idnr

from extproc.detectors.pii.formed import LABEL_BEFORE_CHARS
from extproc.guardrails.rule import Rule, Shape

Valid = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Number:
    """One country's number. `labels`: words that must stand before it, for forms that any number may have."""

    name: str
    trigger: bytes  # what its first characters look like
    covers: range  # how many of its characters the trigger may match
    pattern: str
    valid: Valid
    labels: str = ""


def _yes(_value: str) -> bool:
    return True


def _sg(value: str) -> bool:
    """NRIC and FIN of Singapore: weights 2 7 6 5 4 3 2, another alphabet for foreigners."""
    total = sum(int(digit) * weight for digit, weight in zip(value[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    total += 4 if value[0] in "TG" else 0
    return value[8] == ("JZIHGFEDCBA" if value[0] in "ST" else "XWUTRQPNMLK")[total % 11]


def _cn(value: str) -> bool:
    """Date and check character, not the place: looking up one that never was is an error in python-stdnum."""
    try:
        cn_ric.get_birth_date(value)
    except ValidationError:
        return False
    return bool(cn_ric.calc_check_digit(value) == value[-1].upper())


#: The ones without labels have a form or a check digit that no other number is likely to have.
_NUMBERS: Final = (
    _Number("be", rb"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-", range(9, 10), r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", be_nn.is_valid),
    _Number("br", rb"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]", range(13, 14), r"\d{3}\.\d{3}\.\d{3}-\d{2}", br_cpf.is_valid),
    _Number(
        "ca",
        rb"[0-9]{3}[- ][0-9]{3}[- ][0-9]",
        range(9, 10),
        r"\d{3}([- ])\d{3}\1\d{3}",
        ca_sin.is_valid,
        "sin|nas|insurance",
    ),
    _Number("ch", rb"756\.[0-9]{4}\.", range(9, 10), r"756\.\d{4}\.\d{4}\.\d{2}", ch_ahv.is_valid),
    _Number(
        "cl",
        rb"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]",
        range(11, 13),
        r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]",
        cl_rut.is_valid,
    ),
    _Number(
        "cn",
        rb"[1-9][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]{4}",
        range(17, 18),
        r"[1-9]\d{5}(?:19|20)\d{9}[\dXx]",
        _cn,
    ),
    _Number(
        "de",
        rb"[1-9][0-9]{10}",
        range(11, 12),
        r"[1-9]\d{10}",
        de_idnr.is_valid,
        "steuer-?id|idnr|tin|identifikationsnummer",
    ),
    _Number("dk", rb"[0-3][0-9][01][0-9]{3}-[0-9]", range(8, 9), r"[0-3]\d[01]\d{3}-\d{4}", dk_cpr.is_valid, "cpr"),
    _Number("es", rb"[0-9]{8}-?[A-Z]", range(9, 11), r"\d{8}-?[A-HJ-NP-TV-Z]", es_dni.is_valid),
    _Number("es_nie", rb"[XYZ]-?[0-9]{7}", range(8, 10), r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", es_nie.is_valid),
    _Number(
        "fi",
        rb"[0-3][0-9][01][0-9]{3}[-+A][0-9]",
        range(8, 9),
        r"[0-3]\d[01]\d{3}[-+A]\d{3}[\dA-FHJ-NPR-Y]",
        fi_hetu.is_valid,
    ),
    _Number(
        "fr",
        rb"[12] ?[0-9]{2} ?[01][0-9] ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]",
        range(14, 21),
        r"[12] ?\d{2} ?[01]\d ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
        fr_nir.is_valid,
    ),
    _Number(
        "gb",
        rb"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]",
        range(7, 11),
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]( ?)\d{2}\1\d{2}\1\d{2}\1[A-D]",
        _yes,
    ),
    _Number("il", rb"[0-9]{9}", range(9, 10), r"\d{9}", il_idnr.is_valid, "teudat zehut|israeli id|tz"),
    _Number("in", rb"[2-9][0-9]{3} [0-9]{4} [0-9]{4}", range(14, 15), r"[2-9]\d{3} \d{4} \d{4}", in_aadhaar.is_valid),
    _Number(
        "in_pan",
        rb"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}",
        range(9, 10),
        r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]",
        in_pan.is_valid,
    ),
    _Number(
        "it",
        rb"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z]",
        range(12, 13),
        r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]",
        it_cf.is_valid,
    ),
    _Number(
        "kr", rb"[0-9]{2}[01][0-9][0-3][0-9]-[1-4]", range(8, 9), r"\d{2}[01]\d[0-3]\d-[1-4]\d{6}", kr_rrn.is_valid
    ),
    _Number(
        "mx", rb"[A-Z]{4}[0-9]{6}[HMX][A-Z]", range(12, 13), r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d", mx_curp.is_valid
    ),
    _Number("nl", rb"[0-9]{9}", range(9, 10), r"\d{9}", nl_bsn.is_valid, "bsn|burgerservicenummer|sofinummer"),
    _Number("no", rb"[0-9]{11}", range(11, 12), r"\d{11}", no_fnr.is_valid, "f.?dselsnummer|personnummer|fnr"),
    _Number("pl", rb"[0-9]{11}", range(11, 12), r"\d{11}", pl_pesel.is_valid, "pesel"),
    _Number("pt", rb"[1-9][0-9]{8}", range(9, 10), r"[1-9]\d{8}", pt_nif.is_valid, "nif|contribuinte"),
    _Number("ro", rb"[1-9][0-9]{12}", range(13, 14), r"[1-9]\d{12}", ro_cnp.is_valid, "cnp"),
    _Number(
        "se",
        rb"[0-9]{6}(?:[0-9]{2})?[-+][0-9]",
        range(8, 11),
        r"(?:19|20)?\d{2}[01]\d[0-3]\d[-+]\d{4}",
        se_pnr.is_valid,
    ),
    _Number("sg", rb"[STFG][0-9]{7}", range(8, 9), r"[STFG]\d{7}[A-Z]", _sg),
    _Number("tr", rb"[1-9][0-9]{10}", range(11, 12), r"[1-9]\d{10}", tr_tckn.is_valid, "t.?c.? ?kimlik|tckn|kimlik"),
    _Number(
        "za", rb"[0-9]{13}", range(13, 14), r"\d{2}[01]\d[0-3]\d{8}", za_idnr.is_valid, "id|south african id|identity"
    ),
)
#: Countries, for the documentation.
COUNTRIES: Final = tuple(sorted({number.name[:2] for number in _NUMBERS}))

_LIMIT_CHARS: Final = 23  # fifteen digits in seven groups, and one more to see that it ends
_JOINT: Final = r"[^0-9A-Za-z]{1,4}(?:(?:no|nr|number|nummer|id)[^0-9A-Za-z]{1,4})?"


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![0-9][.-])(?:{pattern})(?![0-9A-Za-z])(?!-[0-9])", re.ASCII)


def _by_covered() -> dict[int, list[tuple[re.Pattern[str], Valid, re.Pattern[str] | None]]]:
    """Forms by how far behind their start a trigger of theirs may end: of all forms, a place has few to try."""
    table: dict[int, list[tuple[re.Pattern[str], Valid, re.Pattern[str] | None]]] = {}
    for number in _NUMBERS:
        labels = rf"(?<![0-9a-z])(?:{number.labels}){_JOINT}\Z"
        ahead = re.compile(labels, re.IGNORECASE) if number.labels else None
        for covered in number.covers:
            table.setdefault(covered, []).append((_form(number.pattern), number.valid, ahead))
    return table


_BY_COVERED: Final = tuple(_by_covered().items())
_WORD: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Z]")


def _find(text: str, end: int) -> Iterator[tuple[int, int]]:
    """The trigger ends inside the number. Of a number that ends before it, another trigger tells, or none."""
    for covered, numbers in _BY_COVERED:
        start = end - covered
        if start < 0 or _WORD.match(text, start) is None:
            continue
        for form, valid, ahead in numbers:
            match = form.match(text, start, start + _LIMIT_CHARS)
            if match is None or match.end() + 1 < end:
                continue
            if ahead is not None and ahead.search(text[max(0, start - LABEL_BEFORE_CHARS) : start]) is None:
                continue
            if valid(match.group()):
                yield match.span()


def _trigger(number: _Number) -> bytes:
    """A form that many numbers have is looked at only behind its label."""
    if number.labels:
        joint = rb"[^0-9A-Za-z]{1,4}(?:(?:no|nr|number|nummer|id)[^0-9A-Za-z]{1,4})?"
        return rb"(?i)(?:^|[^0-9a-z])(?:%b)%b%b" % (
            number.labels.replace(".?", ".{0,2}").encode(),
            joint,
            number.trigger,
        )
    return rb"(?:^|[^0-9A-Za-z])" + number.trigger


NATIONAL: Final = Rule(
    id="pii.national_id",
    placeholder="[NATIONAL_ID]",
    triggers=tuple(map(_trigger, _NUMBERS)),
    find=_find,
    before_chars=LABEL_BEFORE_CHARS,
    shapes=(
        Shape(
            limit_chars=_LIMIT_CHARS,
            alphabet=digits + ascii_letters + " .-+",
            opens=digits + ascii_letters,
            # Spaces only between digits, so that prose is not held back; two letters may begin a British number.
            opening=re.compile(
                r"(?<![0-9A-Za-z])(?:[0-9][0-9A-Za-z .+-]{0,22}\Z|[A-Z]{1,2}(?: ?(?:[0-9][0-9 ]{0,9}[A-D]?-?)?)?\Z"
                r"|[A-Z][0-9A-Z-]{0,22}\Z)"
            ),
        ),
    ),
)
