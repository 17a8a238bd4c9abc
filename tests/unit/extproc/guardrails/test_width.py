"""Digits and letters in other widths and scripts are read as their ASCII twins, in their places."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.holdback import HoldBack
from extproc.detectors.catalogue import RULE_IDS
from extproc.guardrails.width import narrow

SCANNER = guarded.POOL.scanner(RULE_IDS)
FULL = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
ARABIC = {ord("0") + digit: 0x660 + digit for digit in range(10)}
BOLD = {ord("0") + digit: 0x1D7CE + digit for digit in range(10)} | {ord("a") + at: 0x1D41A + at for at in range(26)}
FORMS = {"full-width": FULL, "arabic": ARABIC, "bold": BOLD}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text", ["card 4111 1111 1111 1111.", "SSN 219-09-9999.", "DOB: 1964-12-09.", "+49 30 1234567."]
)
def test_a_value_in_another_form_is_found_where_it_stands(text, form):
    wide = text.translate(FORMS[form])
    assert wide != text
    assert SCANNER.scan(wide) == SCANNER.scan(text)
    assert SCANNER.scan(text)


def test_an_address_in_full_width_letters_is_redacted_with_all_of_it():
    text = "to joe@example.com now".translate(FULL)
    assert guarded.stream(HoldBack, guarded.redacting(), list(text)).text == "to\u3000[EMAIL]\u3000now".translate(
        {ord(char): FULL[ord(char)] for char in "tonow"}
    )


def test_a_token_of_full_width_letters_is_swallowed_to_its_end():
    text = f"key {guarded.ANTHROPIC_KEY} end"
    seen = guarded.stream(HoldBack, guarded.redacting(), [text.translate(FULL)])
    assert seen.text == "[SECRET]".join(part.translate(FULL) for part in ("key ", " end"))


@settings(max_examples=200, deadline=None)
@given(guarded.texts, st.sampled_from(sorted(FORMS)))
def test_a_wide_text_has_the_findings_of_its_narrow_twin_however_it_is_cut(text, form):
    wide = text.translate(FORMS[form])
    assert SCANNER.scan(wide) == SCANNER.scan(narrow(wide))
    assert SCANNER.undecided_from(wide) == SCANNER.undecided_from(narrow(wide))
    whole = guarded.stream(HoldBack, guarded.redacting(), [wide])
    assert guarded.stream(HoldBack, guarded.redacting(), list(wide)) == whole


@given(st.text())
def test_every_character_keeps_its_place_and_only_twins_change(text):
    low = narrow(text)
    assert len(low) == len(text)
    for was, now in zip(text, low, strict=True):
        assert was == now or unicodedata.normalize("NFKC", was) == now or unicodedata.decimal(was) == int(now)


@pytest.mark.parametrize("text", ["plain", "m\u00b2 \u2460 \ufb01 \u00bd", "\u7af6\u5408", "caf\u00e9", "\U0001f600"])
def test_what_has_no_twin_is_the_same_text(text):
    assert narrow(text) == text
