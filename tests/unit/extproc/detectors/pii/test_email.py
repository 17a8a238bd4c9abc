"""Addresses as people write them, and what only has an at sign."""

import pytest

from extproc.detectors.pii.email import EMAIL
from extproc.guardrails.scanner import Scanner

SCANNER = Scanner([EMAIL])


def spans(text):
    return [text[finding.start : finding.end] for finding in SCANNER.scan(text)]


@pytest.mark.parametrize(
    "address",
    [
        "joe@example.com", "JOE.BLOGGS@EXAMPLE.COM", "j.o_e+tag-1%x@mail.example.co.uk", "1234@example.org",
        "jörg@müller.de", "o'brien@example.com", "a@b-c.museum", "_x@example.io", "x@xn--mller-kva.example", "a@1.example.com",
        "l" * 64 + "@example.com", "x@" + "d" * 63 + ".example",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", ""),
        (" ", " "),
        ("<", ">"),
        ('"', '",'),
        ("(", ")."),
        ("mailto:", "?subject=x"),
        ("'", "'"),
        ("=", "&"),
        ("。", "。"),
    ],
)
def test_an_address_is_found_whatever_stands_around_it(address, left, right):
    assert spans(f"{left}{address}{right}") == [address]


@pytest.mark.parametrize(
    "text",
    [
        "@property", "user@", "@example.com", "a @ b.com", "joe@localhost", "x@y", "git@github", "pip install a@1.2",
        "@media (max-width: 3.5em)", "foo@bar@baz", "joe@-example.com", "joe@example..com", "50@.5", "a@b.1", "@a.b.c",
        "numpy@2.1.3", "user@host:path", "e@1.5",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_address_is_not_found(text):
    assert spans(text) == []


def test_a_full_stop_behind_an_address_is_the_sentences():
    assert spans("Write to joe@example.com. Thanks.") == ["joe@example.com"]


def test_marks_before_an_address_are_not_its_own():
    assert spans("see...joe@example.com") == ["see...joe@example.com"]
    assert spans("- -joe@example.com") == ["joe@example.com"]
    assert spans("{'mail':'joe@example.com'}") == ["joe@example.com"]


def test_of_an_endless_local_part_the_last_64_characters_count():
    assert spans("a" * 100 + "@example.com") == ["a" * 64 + "@example.com"]
