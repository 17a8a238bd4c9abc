"""Accounts of every country, compact and printed, and the codes that are none."""

import pytest

from extproc.detectors.pii.iban import IBAN, LENGTHS, checks
from extproc.guardrails.scanner import Scanner

SCANNER = Scanner([IBAN])

#: Examples of the SWIFT registry, and one made-up account for every country.
EXAMPLES = ("DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947", "FR1420041010050500013M02606",
            "MT84MALT011000012345MTLCAST001S", "LC55HEMM000100010012001200023015", "BE68539007547034",
            "RU0304452522540817810538091310419")  # fmt: skip


def made_up(country):
    account = country + "00" + "1" * (LENGTHS[country] - 4)
    rest = int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97
    return f"{country}{98 - rest:02}{account[4:]}"


ALL = (*EXAMPLES, *(made_up(country) for country in LENGTHS))


def printed(iban, gap=" "):
    return gap.join(iban[at : at + 4] for at in range(0, len(iban), 4))


def spans(text):
    return [text[finding.start : finding.end] for finding in SCANNER.scan(text)]


@pytest.mark.parametrize("iban", ALL)
@pytest.mark.parametrize("spell", [str, str.lower, printed, lambda iban: printed(iban, "\u00a0")])
def test_every_country_is_found_compact_and_printed(iban, spell):
    written = spell(iban)
    assert len(iban) == LENGTHS[iban[:2]]
    for left, right in [("", ""), ("IBAN: ", "."), ("(", ")"), ('"', '",'), ("iban=", "&x=1"), ("Konto ", " Bank")]:
        assert spans(f"{left}{written}{right}") == [written]


@pytest.mark.parametrize(
    "text",
    [
        "DE88370400440532013000", "DE8937040044053201300", "DE893704004405320130001", "XDE89370400440532013000",
        "de89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 001", "DE89 3704 0044 0532 0130", "DE89-3704-0044-0532-0130-00",
        "ZZ89370400440532013000", "DE89  3704  0044  0532  0130  00", "ISBN 9783161484100", "AT THE END OF THE DAY 1234",
        "be9d4a3c1f0e8b72", "d41d8cd98f00b204e9800998ecf8427e", "SE35 is a bus", "GB2024 REPORT 2024 DRAFT 12",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_iban_is_not_found(text):
    assert spans(text) == []


def test_any_one_changed_digit_fails_the_check():
    good = "DE89370400440532013000"
    for at in range(2, len(good)):
        bad = good[:at] + str((int(good[at]) + 1) % 10) + good[at + 1 :]
        assert not checks(bad)
