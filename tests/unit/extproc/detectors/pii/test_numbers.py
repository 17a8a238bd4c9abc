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
