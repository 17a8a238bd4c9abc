"""Card numbers of every issuer in every print, and the numbers that are none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.detectors.pii.card import CARD, luhn
from extproc.guardrails.scanner import Scanner

SCANNER = Scanner([CARD])

#: Published test numbers of the payment processors, and made-up ones with right check digits.
NUMBERS = {
    "visa": "4111111111111111", "visa 19": "4000000000000000006", "visa 13": "4222222222222",
    "mastercard": "5555555555554444", "mastercard 2": "2223003122003222", "mastercard 2 high": "2720990000000007",
    "amex": "378282246310005", "amex 34": "343434343434343", "discover": "6011111111111117", "discover 65": "6500000000000002",
    "diners": "30569309025904", "diners 36": "36227206271667", "diners 38": "38520000023237",
    "jcb": "3530111333300000", "jcb 2131": "213100000000001", "jcb 1800": "180000000000002",
    "unionpay": "6200000000000005", "unionpay 19": "6205500000000000004", "unionpay 81": "8171999900000018",
    "maestro": "6759649826438453", "maestro 12": "501800000009", "maestro 58": "5893000000000009",
}  # fmt: skip


def spans(text):
    return [text[finding.start : finding.end] for finding in SCANNER.scan(text)]


def test_the_numbers_of_this_table_have_right_check_digits():
    assert [name for name, number in NUMBERS.items() if not luhn(number)] == []


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    ("left", "right"),
    [("", ""), (" ", " "), ("no. ", ". Thanks"), ('"', '"'), ("card:", ",exp"), ("x", "x"), ("#", "/12")],
)
def test_every_issuer_is_found_whatever_stands_around(name, left, right):
    assert spans(f"{left}{NUMBERS[name]}{right}") == [NUMBERS[name]]


@pytest.mark.parametrize(
    "printed",
    [
        "4111 1111 1111 1111", "4111-1111-1111-1111", "4111\u00a01111\u00a01111\u00a01111", "4111-1111 1111-1111",
        "3782 822463 10005", "3782-822463-10005", "3056 930902 5904", "6205 5000 0000 0000 004", "62055 00000 00000 0004",
        "6759 6498 2643 8453", "5018 0000 0009", "41111111 11111111",
    ],
)  # fmt: skip
def test_printed_groups_are_found(printed):
    assert spans(f"Card {printed}, thanks") == [printed]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("10 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("2024 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("12. 4111111111111111", "4111111111111111"),
        ("4111 1111 1111 1111 123", "4111 1111 1111 1111"),
        ("4111 1111 1111 1111 12 27", "4111 1111 1111 1111"),
        ("4111 1111 1111 1111 5500", "4111 1111 1111 1111"),
        ("1-4111-1111-1111-1111-2", "4111-1111-1111-1111"),
        ("4111111111111111 4", "4111111111111111"),
        ("4111111111111111.", "4111111111111111"),
    ],
)
def test_a_card_is_told_from_the_numbers_beside_it(text, expected):
    assert spans(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112", "1234567890123456", "0000000000000000", "9999999999999995", "order 4111 1111 1111 1110",
        "41111111111111111111", "04111111111111111", "41111111111111112222", "0.4111111111111111", "3.4111111111111111",
        "+573001234567", "1700000000000", "1732190000000000", "20240115103000", "978-3-16-148410-0",
        "4006381333931", "5012345678900", "036000291452", "2001 2002 2003 2004", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "4  1  1  1  1  1  1  1", "4111  1111  1111  1111", "4111.1111.1111.1111", "550e8400-e29b-41d4-a716-446655440000",
        "v4.11.11.11", "192.168.100.200", "4111 1111 1111", "60 11 11 11 11 11 11 17", "10000000000000000000000", "1e400",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_card_is_not_found(text):
    assert spans(text) == []


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text("0123456789", min_size=2, max_size=30))
def test_the_check_digit_is_luhns(number):
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    assert luhn(number) is (total % 10 == 0)
