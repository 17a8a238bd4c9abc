"""Numbers that name a person, an account or a device, known by form, check digit or label."""

import hashlib
import re
from string import ascii_lowercase, ascii_uppercase, digits, hexdigits
from typing import Final

from phonenumbers import SUPPORTED_REGIONS

from extproc.detectors.pii.card import luhn
from extproc.detectors.pii.formed import ALNUM, formed, labelled
from extproc.guardrails.rule import Rule

_MIN_DIGITS: Final = 4  # fewer are a page, a year's half or a room


def _has_digits(value: str) -> bool:
    """A word behind a label ("passport: pending") is no number."""
    return sum(char.isdigit() for char in value) >= _MIN_DIGITS


#: "65-year-old", "2030-climate-goal": behind the number, words.
_WORDS_BEHIND: Final = re.compile(r"-[a-z]{2,}(?:-|\Z)")
_DATE: Final = re.compile(
    r"(?:19|20)[0-9]{2}(?:[-/](?:[0-9]{1,2}|(?:19|20)[0-9]{2})(?:[-/][0-9]{1,2}(?:T[0-9]{2,6})?)?)?s?"
)
_ROUND: Final = re.compile(r"[1-9]0{5,}")  # an amount


def _is_number(value: str) -> bool:
    """Neither words, nor a year or date, nor a round amount ("employee 2024-report", "patient 2024-01-15")."""
    return not (_WORDS_BEHIND.search(value) or _DATE.fullmatch(value) or _ROUND.fullmatch(value))


#: An identifier as issuers write them: an optional prefix of letters, then digits and letters, some with hyphens.
_ID: Final = r"(?:[A-Za-z]{1,5}-)?[A-Za-z]{0,3}[0-9][0-9A-Za-z-]{3,17}(?<!-)"
_ID_CHARS: Final = 28

#: Areas 000 and 666 and groups of zeros were never given out; 9xx are taxpayers' (Social Security Administration).
SSN: Final = formed(
    "pii.us_ssn",
    "[SSN]",
    trigger=rb"[0-9]{3}[- ][0-9]{2}[- ][0-9]",
    trigger_chars=8,
    pattern=r"(?!000|666|9)[0-9]{3}([- ])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?!-)",
    limit_chars=13,
    alphabet=digits + "- ",
    opens="012345678",
    opening=re.compile(r"(?<![0-9A-Za-z])[0-8](?:\Z|[0-9](?:\Z|[0-9](?:\Z|[- ](?:\Z|[0-9]))))"),
)
#: Groups that the Internal Revenue Service has used (IRM 3.21.263).
ITIN: Final = formed(
    "pii.us_itin",
    "[ITIN]",
    trigger=rb"9[0-9]{2}[- ][5-9][0-9][- ][0-9]",
    trigger_chars=8,
    pattern=r"9[0-9]{2}([- ])(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])\1[0-9]{4}(?!-)",
    limit_chars=13,
    alphabet=digits + "- ",
    opens="9",
    opening=re.compile(r"(?<![0-9A-Za-z])9(?:\Z|[0-9](?:\Z|[0-9](?:\Z|[- ](?:\Z|[0-9]))))"),
)
SSN_LABELLED: Final = labelled(
    "pii.us_ssn_plain",
    "[SSN]",
    labels=("ssn", "social security", "social security number", "seguro social"),
    # Behind its label any nine digits count: people also mistype, and a wrong digit tells as much.
    pattern=r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}",
    limit_chars=12,
    alphabet=digits + "- ",
    opens=digits,
    opening=re.compile(r"(?<![0-9A-Za-z])[0-9](?:\Z|[0-9](?:\Z|[0-9]))"),
)
PASSPORT: Final = labelled(
    "pii.passport",
    "[PASSPORT]",
    labels=("passport", "pasaporte", "passeport", "reisepass", "passaporto", "paspoort"),
    pattern=r"[A-Za-z0-9]{6,10}",
    limit_chars=12,
    alphabet=ALNUM,
    accept=_has_digits,
)
DRIVER_LICENCE: Final = labelled(
    "pii.driver_licence",
    "[DRIVER_LICENCE]",
    labels=(
        *("driver license", "drivers license", "driver's license", "driver licence", "drivers licence", "dl"),
        *("driver's licence", "driving license", "driving licence", "license", "licence", "f(?:ü|ue)hrerschein"),
    ),
    pattern=r"(?:DL-)?[A-Za-z0-9][A-Za-z0-9-]{4,18}(?<!-)",
    limit_chars=24,
    accept=lambda value: (
        _has_digits(value) and _is_number(value) and not value.lower().startswith(("bsd", "gpl", "lgpl", "cc-", "mit"))
    ),
)
#: DVLA: surname, decade, month (50 more for women), day, year, initials, check characters.
UK_DRIVER_LICENCE: Final = formed(
    "pii.uk_driver_licence",
    "[DRIVER_LICENCE]",
    trigger=rb"[A-Z]{2,5}9{0,3}[0-9][0156][0-9][0-3][0-9]",
    trigger_chars=10,
    pattern=r"(?=[A-Z]{2,5}9{0,3}[0-9])[A-Z9]{5}[0-9][0156][0-9][0-3][0-9]{2}[A-Z9]{2}[0-9A-Z][A-Z]{2}",
    limit_chars=17,
    alphabet=ascii_uppercase + digits,
    opens=ascii_uppercase,
)
MEDICAL_RECORD: Final = labelled(
    "pii.medical_record",
    "[MEDICAL_RECORD]",
    labels=("mrn", "medical record", "patient", "patient id", "national health", "health", "hospital", "chart"),
    pattern=_ID,
    limit_chars=_ID_CHARS,
    accept=_is_number,
)
HEALTH_INSURANCE: Final = labelled(
    "pii.health_insurance",
    "[HEALTH_INSURANCE]",
    labels=(
        "insurance",
        "insurance_id",
        "member",
        "policy",
        "medicare",
        "medicaid",
        "subscriber",
        "krankenversicherung",
    ),
    pattern=r"(?:[A-Za-z]{1,5}-)?[A-Za-z]{0,3}[0-9][0-9A-Za-z-]{5,17}(?<!-)",
    limit_chars=_ID_CHARS,
    accept=_is_number,
)
NPI: Final = labelled(
    "pii.us_npi",
    "[NPI]",
    labels=("npi", "national provider"),
    pattern=r"[0-9]{10}",
    limit_chars=12,
    alphabet=digits,
    opens=digits,
)
DEA: Final = labelled(
    "pii.us_dea", "[DEA]", labels=("dea", "dea registration"), pattern=r"[A-Za-z][A-Za-z9][0-9]{7}", limit_chars=11
)


def _nhs(value: str) -> bool:
    """Modulus 11 of the NHS Data Dictionary."""
    number = [int(char) for char in value if char.isdigit()]
    check = 11 - sum(digit * weight for digit, weight in zip(number, range(10, 1, -1), strict=False)) % 11
    return check % 11 == number[-1]


NHS: Final = labelled(
    "pii.uk_nhs",
    "[NHS_NUMBER]",
    labels=("nhs", "nhs number"),
    pattern=r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}",
    limit_chars=14,
    alphabet=digits + " -",
    opens=digits,
    accept=_nhs,
    opening=re.compile(r"(?<![0-9A-Za-z])[0-9](?:\Z|[0-9](?:\Z|[0-9]))"),
)
BANK_ACCOUNT: Final = labelled(
    "pii.bank_account",
    "[BANK_ACCOUNT]",
    labels=("account", "bank account", "acct", "a/c", "konto", "kontonummer", "cuenta", "compte"),
    pattern=r"[0-9]{6,17}",
    limit_chars=19,
    alphabet=digits,
    opens=digits,
    accept=_is_number,
)
ROUTING: Final = labelled(
    "pii.us_routing",
    "[ROUTING_NUMBER]",
    labels=("routing", "aba", "rtn", "aba routing"),
    pattern=r"[0-9]{9}",
    limit_chars=11,
    alphabet=digits,
    opens=digits,
)


def _bic(value: str) -> bool:
    """ISO 9362: the fifth and sixth letters are a country. "Swift PROGRAMMING" has none."""
    return value[4:6] in SUPPORTED_REGIONS


BIC: Final = labelled(
    "pii.bic",
    "[BIC]",
    labels=("bic", "swift", "swift/bic", "bic/swift"),
    pattern=r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?",
    limit_chars=12,
    alphabet=ascii_uppercase + digits,
    opens=ascii_uppercase,
    accept=_bic,
)
TAX_ID: Final = labelled(
    "pii.tax_id",
    "[TAX_ID]",
    labels=(
        "ein",
        "tax",
        "tax id",
        "tin",
        "vat",
        "employer identification",
        "ust-idnr",
        "siret",
        "siren",
        "steuernummer",
    ),
    pattern=r"(?:[A-Z]{2})?[0-9][0-9/-]{6,14}(?<![/-])",
    limit_chars=20,
    alphabet=ascii_uppercase + digits + "/-",
    opens=ascii_uppercase + digits,
    accept=_is_number,
)
EMPLOYEE: Final = labelled(
    "pii.employee_id",
    "[EMPLOYEE_ID]",
    labels=("employee", "employee_id", "empid", "staff", "personnel", "personalnummer"),
    pattern=_ID,
    limit_chars=_ID_CHARS,
    accept=_is_number,
)


def _imei(value: str) -> bool:
    return luhn(re.sub("[^0-9]", "", value))


IMEI: Final = labelled(
    "pii.imei",
    "[DEVICE_ID]",
    labels=("imei", "imei1", "imei2", "meid"),
    pattern=r"[0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{6}[ -]?[0-9]",
    limit_chars=20,
    alphabet=digits + " -",
    opens=digits,
    accept=_imei,
    opening=re.compile(r"(?<![0-9A-Za-z])[0-9](?:\Z|[0-9])"),
)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def _device(value: str) -> bool:
    return _UUID.fullmatch(value) is not None or (_has_digits(value) and _is_number(value))


DEVICE: Final = labelled(
    "pii.device_id",
    "[DEVICE_ID]",
    labels=("device", "device_id", "idfa", "gaid", "aaid", "udid", "android_id", "serial", "advertising"),
    pattern=r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[A-Za-z-]{0,12}[0-9])[0-9A-Za-z-]{10,40}(?<!-)",
    limit_chars=42,
    accept=_device,
)
MAC: Final = formed(
    "pii.mac",
    "[MAC]",
    trigger=rb"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}",
    trigger_chars=11,
    pattern=r"(?<![:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![:-])",
    limit_chars=19,
    alphabet=hexdigits + ":-",
    opens=hexdigits,
)

_VIN_VALUES: Final = {
    **{str(digit): digit for digit in range(10)},
    **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
    **dict(zip("JKLMN", range(1, 6), strict=True)),
    "P": 7,
    "R": 9,
    **dict(zip("STUVWXYZ", range(2, 10), strict=True)),
}
_VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def _vin(value: str) -> bool:
    """The check digit of ISO 3779 as 49 CFR 565.15 computes it."""
    rest = sum(_VIN_VALUES[char] * weight for char, weight in zip(value, _VIN_WEIGHTS, strict=True)) % 11
    return value[8] == ("X" if rest == 10 else str(rest))


VIN: Final = formed(
    "pii.vin",
    "[VIN]",
    trigger=rb"[A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{4}[0-9]",
    trigger_chars=14,
    pattern=r"(?=[0-9]*[A-Z])[A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{4}[0-9]{4}",
    limit_chars=18,
    alphabet=ascii_uppercase + digits,
    opens=ascii_uppercase + digits,
    accept=_vin,
)

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUES: Final = {char: value for value, char in enumerate(_BASE58)}
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_VALUES: Final = {char: value for value, char in enumerate(_BECH32)}


def _base58check(value: str) -> bool:
    """25 bytes whose last four are a double SHA-256 of the others (Bitcoin developer reference, "Addresses")."""
    number = 0
    for char in value:
        number = number * 58 + _BASE58_VALUES[char]
    if number.bit_length() > 25 * 8:
        return False
    data = number.to_bytes(25)
    return hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:]


def _bech32(value: str) -> bool:
    """Checksum of BIP 173 or, from witness version 1 on, BIP 350."""
    check = 1
    expanded = [ord(char) >> 5 for char in "bc"] + [0] + [ord(char) & 31 for char in "bc"]
    for item in (*expanded, *(_BECH32_VALUES[char] for char in value[3:])):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ item
        for at, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if (top >> at) & 1 else 0
    return check in {1, 0x2BC830A3}


BITCOIN: Final = formed(
    "pii.bitcoin",
    "[CRYPTO_WALLET]",
    trigger=rb"[13][1-9A-HJ-NP-Za-km-z]{24}",
    trigger_chars=25,
    pattern=r"[13][1-9A-HJ-NP-Za-km-z]{25,34}",
    limit_chars=36,
    alphabet=ALNUM,
    opens="13",
    accept=_base58check,
)
BITCOIN_SEGWIT: Final = formed(
    "pii.bitcoin_segwit",
    "[CRYPTO_WALLET]",
    trigger=rb"bc1[02-9ac-hj-np-z]{20}",
    trigger_chars=23,
    pattern=r"bc1[02-9ac-hj-np-z]{39,59}",
    limit_chars=63,
    alphabet=ascii_lowercase + digits,
    opens="b",
    accept=_bech32,
    opening=re.compile(r"(?<![0-9A-Za-z])b(?:\Z|c(?:\Z|1))"),
)
ETHEREUM: Final = formed(
    "pii.ethereum",
    "[CRYPTO_WALLET]",
    trigger=rb"0x[0-9A-Fa-f]{38}",
    trigger_chars=40,
    pattern=r"0x[0-9A-Fa-f]{40}",
    limit_chars=43,
    alphabet=hexdigits + "x",
    opens="0",
    opening=re.compile(r"(?<![0-9A-Za-z])0(?:\Z|x)"),
)

NUMBERS: Final[tuple[Rule, ...]] = (
    *(SSN, ITIN, SSN_LABELLED, PASSPORT, DRIVER_LICENCE, UK_DRIVER_LICENCE, MEDICAL_RECORD, HEALTH_INSURANCE, NPI, DEA),
    *(NHS, BANK_ACCOUNT, ROUTING, BIC, TAX_ID, EMPLOYEE, IMEI, DEVICE, MAC, VIN, BITCOIN, BITCOIN_SEGWIT, ETHEREUM),
)
