"""Check digits of the labelled numbers; their examples in prose are run by the test of docs/detectors.md."""

import pytest

from extproc.detectors.pii.numbers import NUMBERS
from extproc.guardrails.scanner import Scanner

SCANNER = Scanner(NUMBERS)


def rules(text):
    return {finding.rule for finding in SCANNER.scan(text)}


@pytest.mark.parametrize(
    ("right", "rule"),
    [
        ("1HGBH41JXMN109186", "pii.vin"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "pii.bitcoin"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "pii.bitcoin_segwit"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "pii.bitcoin_segwit"),
        ("NHS 943 476 5919", "pii.uk_nhs"),
        ("IMEI 490154203237518", "pii.imei"),
    ],
)
def test_one_changed_digit_fails_the_check(right, rule):
    assert rule in rules(right)
    at = next(at for at in range(len(right) - 1, 0, -1) if right[at].isdigit())
    changed = right[:at] + str((int(right[at]) + 1) % 10) + right[at + 1 :]
    assert rule not in rules(changed)


@pytest.mark.parametrize(
    "text",
    [
        "The passport control took 90 minutes.", "Patient 12 was admitted.", "License: Apache-2.0", "License: MIT, BSD-3-Clause",
        "See policy section 4.", "account manager", "device driver 2.0", "tax year 2024", "Employee of the month",
        "SSN is required", "NPI: see below", "serial port COM3", "insurance premium rose by 12%",
    ],
)  # fmt: skip
def test_a_label_before_words_finds_nothing(text):
    assert rules(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "The policy 2030-climate-goal was adopted.", "patient 12-week study", "The patient 65-year-old recovered.",
        "employee 360-degree feedback", "staff 2000-strong", "staff 1990s", "chart 2024-Q1-revenue", 'device = "cuda-device-0001"',
        "Patient: 2024-01-15 admitted", "employee 2024", "tax 2023-2024 returns", "vat 20000000 in revenue",
        "compte: 2000000 de vues", "Use Swift PROGRAMMING and Swift CONCURRENCY.", "dl 1234567-files", "SWIFT: STANDARD",
    ],
)  # fmt: skip
def test_words_dates_and_round_amounts_are_no_numbers_behind_a_label(text):
    assert rules(text) == set()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Führerschein Nr: B072RRE2I55", "pii.driver_licence"),
        ("fuehrerschein: B072RRE2I55", "pii.driver_licence"),
        ("device: aebe52e7-cafe-beef-dead-e57283966239", "pii.device_id"),
        ("mrn: mrn-1720632", "pii.medical_record"),
        ("BIC: COBADEFFXXX", "pii.bic"),
    ],
)
def test_a_number_between_letters_is_still_one(text, rule):
    assert rules(text) == {rule}
