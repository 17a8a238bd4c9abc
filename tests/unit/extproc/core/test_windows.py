"""Windows of answers: the streaming invariant, what waits, what leaves before a verdict, what one place is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.core.windows import HELD_CHARS, STEP_CHARS, WINDOW_CHARS, Windowed
from extproc.guardrails.guard import Tally
from gateway.policy.model import Action

EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)
BAD, ODD = "detonate", "gossip"
PROSE = "The quick brown fox jumps over the lazy dog, and then it rests. "


class Words:
    """A lookout that fires on words: `content.weapons` on BAD, `topic.odd` on ODD, and on their meeting in one window."""

    def __init__(self, *stops):
        self._stops = frozenset(stops)
        self.holds = bool(stops)
        self.windows = []

    def stops(self, rule):
        return rule in self._stops

    def fired(self, text):
        self.windows.append(text)
        found = [rule for rule, word in (("content.weapons", BAD), ("topic.odd", ODD)) if word in text]
        return (*found, "injection.model") if len(found) == 2 else tuple(found)


def stream(lookout, pieces, guard=None, *, source=False, watch=True):
    tally, guard = Tally(), guard or guarded.redacting()
    inner = EscapedHoldBack(guard, tally) if source else HoldBack(guard, tally)
    channel = Windowed(inner, lookout, tally, source=source)
    released = []
    for piece in pieces:
        released.append(channel.push(piece))
        bound = HELD_CHARS - 1 if lookout.holds else 0
        assert not watch or channel.held <= bound + guard.scanner.limit_chars + 1
    released.append(channel.flush())
    assert channel.held == 0
    return guarded.Outcome("".join(released), channel.blocked, tally.counts)


long_texts = st.lists(
    st.one_of(guarded.words, st.sampled_from([PROSE, BAD, ODD, "x" * 70, " ", "\n", PROSE * 3])), max_size=40
).map("".join)
lookouts = st.sampled_from([(), ("content.weapons",), ("topic.odd", "injection.model")])


@EXAMPLES
@given(st.data())
def test_any_chunking_gives_the_same_text_verdict_tally_and_windows(data):
    text, stops, guard = data.draw(long_texts), data.draw(lookouts), data.draw(guarded.guards())
    whole, pieces = Words(*stops), Words(*stops)
    expected = stream(whole, [text], guard, watch=False)
    assert stream(pieces, data.draw(guarded.cuts(text)), guard) == expected
    assert pieces.windows == whole.windows


@EXAMPLES
@given(st.data())
def test_any_chunking_of_json_source_gives_the_same(data):
    source = json.dumps({"said": data.draw(long_texts)}, ensure_ascii=data.draw(st.booleans()))
    stops, guard = data.draw(lookouts), data.draw(guarded.guards())
    whole, pieces = Words(*stops), Words(*stops)
    expected = stream(whole, [source], guard, source=True, watch=False)
    assert stream(pieces, data.draw(guarded.cuts(source)), guard, source=True) == expected
    assert pieces.windows == whole.windows


@EXAMPLES
@given(long_texts, guarded.guards())
def test_rules_that_only_count_change_nothing_of_what_leaves(text, guard):
    plain = guarded.stream(HoldBack, guard, [text])
    seen = stream(Words(), [text], guard, watch=False)
    assert (seen.text, seen.blocked) == (plain.text, plain.blocked)


def test_rules_that_only_count_hold_nothing():
    guard = guarded.guard({"pii.email": Action.REDACT})
    channel = Windowed(HoldBack(guard, Tally()), Words(), Tally())
    assert "".join(channel.push(letter) for letter in PROSE * 9) == PROSE * 9


@pytest.mark.parametrize("before", [0, 1, 100, 127, 128, 300, 1000])
def test_nothing_of_the_words_that_end_an_answer_leaves(before):
    text = (PROSE * 20)[:before] + f" {BAD} " + PROSE * 10
    seen = stream(Words("content.weapons"), list(text))
    assert seen.blocked == "content.weapons"
    assert text.startswith(seen.text)
    assert before - HELD_CHARS - STEP_CHARS <= len(seen.text) <= before
    assert seen.counts == {"content.weapons": 1}


def test_text_leaves_once_what_follows_it_was_judged():
    channel = Windowed(HoldBack(guarded.redacting(), Tally()), Words("content.weapons"), Tally())
    text = PROSE * 10
    assert channel.push(text[: HELD_CHARS - 1]) == ""
    assert len(channel.push(text[HELD_CHARS - 1 : HELD_CHARS])) > STEP_CHARS - 20
    assert channel.held <= HELD_CHARS


def test_the_end_of_a_text_is_judged_and_leaves():
    assert stream(Words("topic.odd"), [PROSE]).text == PROSE
    assert stream(Words("topic.odd"), [PROSE, ODD]).blocked == "topic.odd"


def test_a_word_is_judged_whole():
    lookout = Words()
    stream(lookout, [PROSE * 20])
    for window in lookout.windows:
        assert set(window.split()) <= set(PROSE.split())
        assert len(window) <= WINDOW_CHARS


def test_characters_without_white_space_are_judged_too():
    lookout = Words()
    stream(lookout, ["あ" * 1000])
    assert [len(window) for window in lookout.windows] == [128, 256, 384, 384, 384, 384, 384, 384]


def test_one_place_in_many_windows_is_counted_once_and_two_places_twice():
    far = PROSE * 12
    assert stream(Words(), [f"{BAD} {far}"]).counts == {"content.weapons": 1}
    assert stream(Words(), [f"{BAD} {far} {BAD} {far}"]).counts == {"content.weapons": 2}


def test_an_earlier_finding_of_another_rule_ends_the_answer_first():
    guard = guarded.guard({"pii.email": Action.BLOCK})
    text = f"{PROSE * 3}ask joe@example.com {PROSE * 12}{BAD} {PROSE}"
    for stops in ((), ("content.weapons",)):
        seen = stream(Words(*stops), [text], guard, watch=False)
        assert seen.blocked == "pii.email"
        assert seen.text == f"{PROSE * 3}ask "


def test_escapes_hide_nothing():
    source = '{"x": "\\u0064et\\u006fnate"}'
    assert stream(Words("content.weapons"), list(source), source=True).blocked == "content.weapons"


def test_nothing_leaves_after_a_verdict():
    channel = Windowed(HoldBack(guarded.redacting(), Tally()), Words("content.weapons"), Tally())
    channel.push(f"{BAD} {PROSE * 4}")
    assert channel.blocked == "content.weapons"
    assert (channel.push("more"), channel.flush(), channel.held) == ("", "", 0)
