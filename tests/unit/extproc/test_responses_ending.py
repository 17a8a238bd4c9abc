"""The action `replace` on Responses streams: a valid sequence of events, whose last one agrees with what was told."""

import json

import pytest

from extproc.core.events import ResponseChunk
from gateway.policy.model import Action, RuleSetting
from playbook import MAIL
from responding import (
    Script,
    assembled,
    call,
    custom,
    events,
    message,
    of_the_sdk,
    part,
    reasoning,
    response,
    sequence,
    streaming,
)
from worlds import policy, settings

SORRY = "I can't say that here."


def held():
    rules = settings(Action.ALLOW)
    return policy(response={**rules, "pii.email": RuleSetting(rule="pii.email", action=Action.REPLACE, text=SORRY)})


def told(raw, size=0):
    """What clients are told of a stream that a rule ends, fed whole or in pieces; and the exchange."""
    play = streaming(held())
    for at in range(0, len(raw), size or len(raw)):
        if not play.records:
            play.give(ResponseChunk(raw[at : at + (size or len(raw))], end_of_stream=False))
    if not play.records:
        play.give(ResponseChunk(b"", end_of_stream=True))
    return events(play.sent()), play


WORDS = ["First this. ", "Then write to bob", "@example.com and wait"]
SOURCE = ['{"note":"fine",', '"to":"bob@exam', 'ple.com","n":1}']


def stream(*items):
    script = Script().begin()
    for item in items:
        script.item(*item)
    return script.end().raw


CASES = {
    "text": ((message(part("".join(WORDS))), ("output_text", 0, WORDS)),),
    "refusal": ((message(part("".join(WORDS), "refusal")), ("refusal", 0, WORDS)),),
    "summary": ((reasoning(["".join(WORDS)]), ("summary_text", 0, WORDS)),),
    "reasoning": ((reasoning([], ["".join(WORDS)]), ("reasoning_text", 0, WORDS)),),
    "arguments": ((call("".join(SOURCE)), ("arguments", 0, SOURCE)),),
    "input": ((custom("".join(WORDS)), ("input", 0, WORDS)),),
    "second part": (
        (message(part("One. "), part("".join(WORDS))), ("output_text", 0, ["One. "]), ("output_text", 1, WORDS)),
    ),
    "second item": (
        (reasoning(["Thought. "]), ("summary_text", 0, ["Thought. "])),
        (message(part("Said. ")), ("output_text", 0, ["Said. "])),
        (call("".join(SOURCE)), ("arguments", 0, SOURCE)),
    ),
    "first word": ((message(part(MAIL)), ("output_text", 0, [MAIL, " there"])),),
}


@pytest.mark.parametrize("size", [0, 1, 7, 500])
@pytest.mark.parametrize("case", CASES)
def test_a_stream_ends_in_the_tenants_words(case, size):
    seen, play = told(stream(*CASES[case]), size)
    assert MAIL not in json.dumps(seen)
    items = sequence(seen)
    final = seen[-1]["response"]
    assert seen[-1]["type"] == "response.incomplete"
    assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert final["output"] == [items[at] for at in sorted(items)]
    assert final["output"][-1]["content"] == [part(SORRY)]
    if size:
        assert (final["id"], final["model"]) == ("resp_1", "m")
    assert [(found.rule, found.action) for found in play.record.found] == [("pii.email", "replace")]
    assert (play.record.outcome, play.record.code, play.record.reason) == ("cut", "answer_blocked", "pii.email")
    assert play.commands[-1].end_of_stream


@pytest.mark.parametrize("case", CASES)
def test_the_last_event_says_what_the_deltas_said(case):
    seen, _ = told(stream(*CASES[case]), 7)
    deltas = assembled(seen)
    for at, item in enumerate(seen[-1]["response"]["output"]):
        for holder, kinds in (
            ("content", ("output_text", "refusal", "reasoning_text")),
            ("summary", ("reasoning_summary_text",)),
        ):
            for index, each in enumerate(item.get(holder) or ()):
                whole = each.get("text", each.get("refusal"))
                assert [deltas[at, kind, index] for kind in kinds if (at, kind, index) in deltas] == [whole] * bool(
                    whole
                )
        for field, kind in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
            if field in item:
                assert deltas.get((at, kind, 0), "") == item[field]


@pytest.mark.parametrize("case", CASES)
def test_the_official_sdk_takes_every_event(case):
    seen, _ = told(stream(*CASES[case]), 7)
    fired = of_the_sdk(seen)
    assert [event.sequence_number for event in fired] == list(range(len(seen)))
    assert fired[-1].response.output_text.endswith(SORRY)
    snapshots = [event.snapshot for event in fired if event.type == "response.output_text.delta"]
    assert snapshots[-1] == SORRY


def test_words_before_the_finding_stay_and_a_call_that_was_cut_is_not_told_as_done():
    seen, _ = told(stream(*CASES["text"]), 7)
    assert seen[-1]["response"]["output"][0]["content"][0]["text"] == "First this. Then write to "
    assert seen[-1]["response"]["output"][0]["status"] == "incomplete"
    seen, _ = told(stream(*CASES["arguments"]), 7)
    (cut, _) = seen[-1]["response"]["output"]
    assert cut["status"] == "incomplete"
    assert cut["arguments"].startswith('{"note":"fine"')
    assert "response.function_call_arguments.done" not in {event["type"] for event in seen}


def test_a_stream_of_which_clients_saw_nothing_has_a_beginning():
    raw = Script().say("response.created", response=response(model=MAIL, status="in_progress")).raw
    seen, _ = told(raw)
    items = sequence(seen)
    assert seen[-1]["response"]["id"] == "replaced"
    assert list(items) == [0]


def test_an_item_of_which_only_the_end_is_told():
    script = Script().begin().item(message(part("Said. ")), ("output_text", 0, ["Said. "]))
    script.say("response.output_item.done", output_index=1, item=message(part(f"to {MAIL}"), id_="msg_2"))
    seen, _ = told(script.raw)
    assert list(sequence(seen)) == [0, 1]  # the second is the tenant's own
    script = Script().begin().item(message(part("Said. ")), ("output_text", 0, ["Said. "]))
    script.items.append(message(part(f"to {MAIL}"), id_="msg_2"))
    seen, _ = told(script.end().raw)
    assert list(sequence(seen)) == [0, 1]
    assert len(seen[-1]["response"]["output"]) == 2


def test_a_text_that_begins_in_the_announcement_of_its_item_is_not_told_twice():
    script = Script().begin()
    script.say("response.output_item.added", output_index=0, item=message(part("Begun. ")))
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    script.say("response.output_text.delta", **where, delta=f"to {MAIL} now")
    seen, _ = told(script.raw)
    assert seen[-1]["response"]["output"][0]["content"][0]["text"] == "Begun. to "
    assert "".join(event["delta"] for event in seen if event["type"].endswith("delta")) == f"to {SORRY}"


def test_shadow_and_a_clean_stream_are_left_alone():
    play = streaming(held())
    clean = stream((message(part("All is well. ")), ("output_text", 0, ["All is ", "well. "])))
    play.give(ResponseChunk(clean, end_of_stream=True))
    seen = events(play.sent())
    assert seen[-1]["type"] == "response.completed"
    assert SORRY not in json.dumps(seen)
