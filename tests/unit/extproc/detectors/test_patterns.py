"""A tenant's regular expressions on answers: found at any cut, replaced or blocked, in every dialect, in linear time."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import messaging
import responding
from extproc.core.escape import EscapedHoldBack
from extproc.core.events import ResponseChunk
from extproc.core.holdback import HoldBack
from extproc.detectors.patterns import Patterns, fault
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.scanner import Scanner
from gateway.errors import GatewayError
from gateway.policy.model import Action, RuleSetting
from playbook import Play, answer_head, completion, delta, texts
from worlds import policy, settings

SOURCES = {"tickets": "TKT-[0-9]{3,5}", "plans": r"(?i)project (?:falcon|eagle)\b", "names": "é{2,3}x", "open": "[^a]b"}
PATTERNS = Patterns(SOURCES)


def guard(action=Action.REDACT, sources=SOURCES):
    found = Patterns(sources)
    rules = {rule.id: RuleSetting(rule=rule.id, action=action) for rule in found.rules}
    return Guard(Scanner(()).banning(found), rules)


def spans(text, rule="tickets"):
    return [text[each.start : each.end] for each in PATTERNS.scan(text, 99) if each.rule == f"banned.{rule}"]


def test_matches_are_told_with_their_longest_end():
    assert spans("see TKT-12345, TKT-123 and TKT-12") == ["TKT-12345", "TKT-123"]
    assert spans("PROJECT Falcon, project eagles", "plans") == ["PROJECT Falcon"]
    assert spans("ééé ééx éééx", "names") == ["ééx", "éééx"]


def test_offsets_are_of_characters_whatever_stands_before():
    assert spans("né\ud800 \U0001f600 TKT-1234") == ["TKT-1234"]


def test_a_text_waits_only_while_a_match_may_still_grow():
    open_at = Patterns({"x": "TKT-[0-9]{3,5}"}).undecided_from
    assert open_at("words and wor") == 13
    assert open_at("words TK") == 6
    assert open_at("words TKT-123") == 6
    assert open_at("TKT-123 ") == 8


def test_more_places_than_may_be_looked_at_are_told():
    assert len(PATTERNS.scan("TKT-123 " * 50, 20)) > 20
    with pytest.raises(GatewayError):
        Scanner(()).banning(Patterns({"x": "a"})).scan("a" * 60_000)


def test_what_the_engine_cannot_run_is_told():
    assert fault("TKT-[0-9]{6}") is None
    assert fault(".{1,64}") == "too large for the engine"
    assert "needs a most" in str(fault("a*"))


PIECES = st.lists(
    st.sampled_from(["TKT-", "12", "3", "45678", " ", "project ", "Falcon", "eagle", "s", "é", "éx", "ab", "b", ",", "\n"]), max_size=9
)  # fmt: skip


@given(st.data(), PIECES, st.sampled_from([Action.REDACT, Action.MASK, Action.BLOCK, Action.FLAG]))
def test_the_streaming_invariant(data, pieces, action):
    text = "".join(pieces)
    held, tally = guard(action), Tally()
    whole = held.apply(text, tally)
    channel, streamed, out, at = HoldBack(held, other := Tally()), "", "", 0
    while at < len(text):
        size = data.draw(st.integers(1, 7))
        streamed += text[at : at + size]
        out += channel.push(text[at : at + size])
        at += size
    out += channel.flush()
    assert (out, channel.blocked, other.counts) == (whole.text, whole.blocked, tally.counts)


@given(PIECES)
def test_json_that_a_tool_is_called_with_stays_json(pieces):
    source = json.dumps({"to": "".join(pieces), "n": [12, 345, True], "TKT-123": None})
    channel = EscapedHoldBack(
        guard(sources={"t": "TKT-[0-9]{3,5}", "n": "[0-9 ,]{2,9}", "w": r"[\w, ]{3,20}"}), Tally()
    )
    out = "".join([channel.push(char) for char in source]) + channel.flush()
    json.loads(out)


def held(action=Action.REDACT):
    base = messaging.held(
        response={**settings(Action.ALLOW), "banned.tickets": RuleSetting(rule="banned.tickets", action=action)}
    )
    tenant = replace(base.tenants["acme"], patterns={"tickets": SOURCES["tickets"]})
    return replace(base, tenants={"acme": tenant})


@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_stream_of_chat(step):
    play = Play(held())
    play.asked(stream=True)
    play.give(answer_head(kind="text/event-stream"))
    for at in range(0, 30, step):
        play.give(ResponseChunk(delta("See ticket TKT-1234, then wait"[at : at + step]), end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert texts(play.sent()) == "See ticket [REMOVED], then wait"
    assert [(each.rule, each.count) for each in play.record.found] == [("banned.tickets", 1)]


def test_other_dialects_and_whole_answers():
    stream = [
        messaging.start(),
        messaging.block(),
        messaging.text("TKT-1"),
        messaging.text("23 "),
        messaging.stop(),
        messaging.end(),
    ]
    sent, _ = messaging.sent(b"".join(stream), held())
    assert messaging.assembled(sent)[0]["text"] == "[REMOVED] "
    item = responding.message(responding.part("TKT-1234 "))
    script = responding.Script().begin().item(item, ("output_text", 0, ["TKT-", "1234 "])).end()
    told = responding.events(responding.streamed(script.raw, held()).sent())
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "[REMOVED] "
    play = Play(held(Action.BLOCK))
    play.asked()
    play.give(answer_head(), ResponseChunk(completion("of TKT-1234"), end_of_stream=True))
    assert play.refused() == (403, "answer_blocked")


def test_requests_are_not_looked_at():
    play = Play(held(Action.BLOCK))
    assert play.asked(text="of TKT-1234")
    assert not play.records


def test_a_tenant_without_patterns_has_none():
    play = Play(policy())
    play.asked()
    play.give(answer_head(), ResponseChunk(completion("TKT-1234"), end_of_stream=True))
    assert b"TKT-1234" in play.sent()
