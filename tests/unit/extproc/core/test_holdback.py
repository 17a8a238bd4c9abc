"""The streaming invariant, what regions and blocks do to a text, and how far a tail swallows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.holdback import HoldBack, Swallow
from extproc.detectors.secrets import PRIVATE_KEY
from extproc.guardrails.guard import Tally
from gateway.policy.model import Action, Mode

EXAMPLES = settings(max_examples=400, deadline=None, derandomize=True)


@EXAMPLES
@given(st.data())
def test_any_chunking_gives_the_same_text_verdict_and_tally(data):
    text = data.draw(guarded.texts)
    guard = data.draw(guarded.guards())
    whole = guarded.stream(HoldBack, guard, [text])
    assert guarded.stream(HoldBack, guard, data.draw(guarded.cuts(text))) == whole


@EXAMPLES
@given(guarded.texts, guarded.guards())
def test_a_whole_text_is_guarded_as_a_streamed_one(text, guard):
    tally = Tally()
    applied = guard.apply(text, tally)
    streamed = guarded.stream(HoldBack, guard, list(text))
    assert (applied.text, applied.blocked, tally.counts) == (streamed.text, streamed.blocked, streamed.counts)


@pytest.mark.parametrize("plant", guarded.PLANTS)
def test_no_part_of_a_planted_secret_leaves(plant):
    seen = guarded.stream(HoldBack, guarded.redacting(), list(f"before {plant} after"))
    before, _, rest = seen.text.partition("[")
    left = before.removeprefix("before ")
    assert left in {"", "1 ", "postgres://", "https://"} or left == guarded.LABELS.match(plant).group()
    placeholder, _, after = rest.partition("]")
    assert f"[{placeholder}]" in {rule.placeholder for rule in guarded.RULES}
    assert after in {" after", "%eth0 after", "/orders after", "/x after", ""}


def test_text_without_findings_passes_unchanged_and_soon():
    held = HoldBack(guarded.redacting(), Tally())
    assert held.push("The quick brown fo") == "The quick brown "
    assert held.held == 2
    assert held.push("x jumps.") == "fox "
    assert held.push(" Over") == "jumps. "
    assert held.flush() == "Over"


def test_overlapping_findings_become_one_region_with_the_first_placeholder():
    seen = guarded.stream(HoldBack, guarded.redacting(), list("https://u:p@host.com/x"))
    assert seen.text == "https://[SECRET]/x"
    assert seen.counts == {"secrets.url_password": 1, "pii.email": 1}


def test_adjacent_findings_keep_their_own_placeholders():
    guard = guarded.guard({"pii.email": Action.REDACT, "secrets.aws_access_key": Action.REDACT})
    assert guarded.stream(HoldBack, guard, list(f"a@b.com,{guarded.AWS_KEY}")).text == "[EMAIL],[SECRET]"


def test_a_block_ends_the_channel_right_before_the_finding():
    guard = guarded.guard({"pii.email": Action.BLOCK, "pii.ipv4": Action.REDACT})
    seen = guarded.stream(HoldBack, guard, list("at 203.0.113.7 ask joe@example.com or 203.0.113.8"))
    assert seen.text == "at [IP] ask "
    assert seen.blocked == "pii.email"
    assert seen.counts == {"pii.ipv4": 1, "pii.email": 1}


def test_nothing_leaves_after_a_block():
    held = HoldBack(guarded.guard({"pii.email": Action.BLOCK}), Tally())
    held.push("joe@example.com ")
    assert held.blocked == "pii.email"
    assert (held.push("more text "), held.flush(), held.held) == ("", "", 0)


def test_a_block_inside_a_redacted_region_still_ends_the_channel():
    guard = guarded.guard({"secrets.private_key": Action.REDACT, "pii.email": Action.BLOCK})
    seen = guarded.stream(HoldBack, guard, list(f"key {guarded.PEM[:60]} joe"))
    assert seen.text == "key [SECRET]"
    head = guarded.PEM[:28]
    seen = guarded.stream(HoldBack, guard, list(f"key {head}(joe.doe)x joe")).text
    assert seen == "key [SECRET]"


def test_shadow_counts_and_changes_nothing():
    text = f"joe@example.com {guarded.PEM} x"
    shadow = guarded.guard({"pii.email": Action.BLOCK, "secrets.private_key": Action.REDACT}, Mode.SHADOW)
    seen = guarded.stream(HoldBack, shadow, list(text))
    assert (seen.text, seen.blocked) == (text, None)
    assert seen.counts == {"pii.email": 1, "secrets.private_key": 1}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\\n", '\\n" +\n  "', "\n> ", " "])
def test_a_private_key_is_swallowed_however_its_lines_are_written(newline):
    seen = guarded.stream(HoldBack, guarded.redacting(), list(f"k: {guarded.PEM.replace(chr(10), newline)}! ok"))
    assert seen.text == "k: [SECRET]! ok"


def test_a_key_without_an_end_is_swallowed_to_the_end_of_the_text():
    assert guarded.stream(HoldBack, guarded.redacting(), list(guarded.PEM[:200])).text == "[SECRET]"


def test_a_header_in_prose_costs_no_more_than_its_sentence():
    text = "It starts with -----BEGIN PRIVATE KEY----- and then base64. The rest is free."
    assert guarded.stream(HoldBack, guarded.redacting(), list(text)).text == "It starts with [SECRET]The rest is free."


def test_two_keys_in_a_row_are_two_places():
    seen = guarded.stream(HoldBack, guarded.redacting(), list(f"{guarded.PEM}!{guarded.PEM}"))
    assert seen.text == "[SECRET]![SECRET]"
    assert seen.counts["secrets.private_key"] == 2


def test_a_token_longer_than_the_window_is_swallowed_to_its_end():
    for token in (guarded.LONG_JWT, "sk-" + "Ab3dE5fG" * 400, "https://u:" + "p" * 400 + "@h/"):
        seen = guarded.stream(HoldBack, guarded.redacting(), list(f"x {token} y"))
        assert len(seen.text) < 40, seen.text
        assert seen.text.endswith(" y")


def test_a_tail_stops_at_its_cap():
    assert PRIVATE_KEY.tail is not None
    for step in (1, 7, 100_000):
        swallow = Swallow(PRIVATE_KEY.tail, 10)
        text = "A" * 20_000
        while swallow.open:
            swallow.feed(text[swallow.at - 10 : swallow.at - 10 + step])
        assert swallow.at == 10 + 16 * 1024


def test_a_run_that_never_ends_is_not_held_for_ever():
    held = HoldBack(guarded.redacting(), Tally())
    released = "".join(held.push("a" * 50) for _ in range(100))
    assert held.held <= 200
    assert released + held.flush() == "a" * 5000
