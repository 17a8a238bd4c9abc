"""What replaces a span."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guarded
from extproc.core.holdback import HoldBack
from extproc.guardrails.guard import Guard
from extproc.guardrails.placeholder import replacing
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import Action, RuleSetting

KEY = bytes(range(32))
SCANNER = Scanner(guarded.RULES)


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        ("4111 1111 1111 1234", "[CARD_1234]"),
        ("de89370400440532013000", "[CARD_3000]"),
        ("joe@example.com", "[CARD_ECOM]"),
        ("12345678", "[CARD]"),  # half of it would be shown
        ("", "[CARD]"),
        ("١٢٣٤٥٦٧٨٩١٢", "[CARD]"),  # other scripts' digits are not told
    ],
)
def test_a_mask_shows_the_last_four_of_long_values_only(span, shown):
    assert replacing(Action.MASK, "[CARD]", KEY)(span) == shown


@pytest.mark.parametrize("span", ["administrator:pw12", "a:b:pw12", "administrator:eightlet"])
def test_a_mask_never_shows_most_of_a_password_behind_a_long_user_name(span):
    assert replacing(Action.MASK, "[SECRET]", KEY)(span) == "[SECRET]"


def test_a_pseudonym_is_the_same_for_the_same_value_and_key():
    one, other = replacing(Action.HASH, "[CARD]", KEY), replacing(Action.HASH, "[CARD]", bytes(32))
    assert one("4111 1111 1111 1234") == one("4111-1111-1111-1234") == one("4111111111111234")
    assert one("4111 1111 1111 1234") != one("4111 1111 1111 1235")
    assert one("4111 1111 1111 1234") != other("4111 1111 1111 1234")
    assert replacing(Action.HASH, "[EMAIL]", KEY)("1") != one("1")


def test_without_a_key_a_pseudonym_would_be_guessable_so_the_span_is_redacted():
    assert replacing(Action.HASH, "[CARD]", b"")("4111 1111 1111 1234") == "[CARD]"


@pytest.mark.parametrize("action", [Action.ALLOW, Action.FLAG, Action.BLOCK])
def test_other_actions_replace_nothing(action):
    assert replacing(action, "[CARD]", KEY) is None


@given(st.text(max_size=40), st.sampled_from([Action.MASK, Action.HASH, Action.REDACT]))
def test_what_is_written_is_safe_everywhere_and_fires_no_rule(span, action):
    written = replacing(action, "[CARD]", KEY)(span)
    assert re.fullmatch(r"\[[A-Z_0-9]+\]", written)
    assert list(SCANNER.scan(written)) == []


@pytest.mark.parametrize("action", [Action.MASK, Action.HASH])
@pytest.mark.parametrize("cut", [1, 3, 100])
def test_a_stream_is_replaced_as_a_whole_text(action, cut):
    guard = Guard.of(guarded.POOL, {"pii.card": RuleSetting(rule="pii.card", action=action)}, KEY)
    text = "pay with 4111 1111 1111 1111 now"
    pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
    streamed = guarded.stream(HoldBack, guard, pieces).text
    assert streamed == guarded.stream(HoldBack, guard, [text]).text
    assert "1111 1111" not in streamed
    assert streamed.startswith("pay with [CARD_")
