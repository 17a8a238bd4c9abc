"""A tenant's `answers.max_chars` on responses: cut where it is full, in valid events that agree with each other."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Action, RuleSetting
from playbook import MAIL, Play, answer_head, head
from responding import (
    PATH,
    Script,
    assembled,
    body,
    call,
    custom,
    events,
    message,
    of_the_sdk,
    part,
    reasoning,
    response,
    sequence,
    streamed,
)
from worlds import policy, settings

DIRTY = ["Write to bob", "@example.com, pay ", "DE89 3704 0044 0532", " 0130 00 at ease. "]
CLEAN = "Write to [EMAIL], pay [IBAN] at ease. "  # as each of the four texts of messages leaves
SOURCE = ['{"to":"bob@exam', 'ple.com"}']
FULL = {"reason": "max_output_tokens"}


def held(most, action=Action.REDACT, **rules):
    made = {**settings(**rules), "output.length": RuleSetting(rule="output.length", action=action)}
    built = policy(response=made)
    return replace(built, tenants={"acme": replace(built.tenants["acme"], max_answer_chars=most)})


def whole(tree, most, **more):
    """A JSON answer as clients get it, and the exchange."""
    play = Play(held(most, **more))
    play.give(head(PATH), RequestBody(body(), end_of_stream=True))
    play.give(answer_head(), ResponseChunk(json.dumps(tree).encode(), end_of_stream=True))
    return json.loads(play.sent()), play


def told(raw, most, cuts=(), **more):
    """The events of a stream as clients get them, and the exchange. It takes no more bytes than it wants."""
    play = streamed(raw, held(most, **more), cuts)
    return events(play.sent()), play


def said(output):
    """What the messages of an output say."""
    parts = [each for item in output if item["type"] == "message" for each in item["content"]]
    return "".join(each.get("text", each.get("refusal")) for each in parts)


def agrees(seen):
    """The last event is made of the items as they ended, and they of the deltas."""
    items = sequence(seen)
    output = seen[-1]["response"]["output"]
    assert output == [items[at] for at in sorted(items)]
    deltas = assembled(seen)
    repeated = {}
    for at, item in enumerate(output):
        for index, each in enumerate(item.get("content") or ()):
            repeated[at, each["type"], index] = each.get("text", each.get("refusal"))
        for index, each in enumerate(item.get("summary") or ()):
            repeated[at, "reasoning_summary_text", index] = each["text"]
        for field, kind in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
            if field in item:
                repeated[at, kind, 0] = item[field]
    assert {place: text for place, text in repeated.items() if text} == deltas
    return output


def everything():
    """A stream with each kind of item and text, the messages in two items of two parts."""
    script = Script().begin()
    script.item(reasoning(["".join(DIRTY)], ["".join(DIRTY)]), ("summary_text", 0, DIRTY), ("reasoning_text", 0, DIRTY))
    twice = message(part("".join(DIRTY)), part("".join(DIRTY), "refusal"))
    script.item(twice, ("output_text", 0, DIRTY), ("refusal", 1, DIRTY))
    script.item(call("".join(SOURCE)), ("arguments", 0, SOURCE))
    script.item(custom("".join(DIRTY)), ("input", 0, DIRTY))
    last = message(part("".join(DIRTY)), part("".join(DIRTY)), id_="msg_2")
    script.item(last, ("output_text", 0, DIRTY), ("output_text", 1, DIRTY))
    return script.end()


EVERYTHING = everything().raw
ALL = CLEAN * 4
assert said(told(EVERYTHING, None)[0][-1]["response"]["output"]) == ALL  # also builds the scanner, no example's time


@given(st.integers(1, len(ALL) + 2), st.lists(st.integers(1, len(EVERYTHING) - 1), max_size=9, unique=True).map(sorted))
def test_a_stream_is_cut_there_for_any_cut_of_its_bytes(most, cuts):
    seen, play = told(EVERYTHING, most, cuts)
    output = agrees(seen)
    assert said(output) == ALL[:most]
    final = seen[-1]["response"]
    if most >= len(ALL):
        assert (seen[-1]["type"], final["status"]) == ("response.completed", "completed")
        return
    assert (seen[-1]["type"], final["status"], final["incomplete_details"]) == (
        "response.incomplete", "incomplete", FULL,
    )  # fmt: skip
    assert (final["id"], final["model"]) == ("resp_1", "m")
    assert output[-1]["status"] == "incomplete"
    assert (play.record.outcome, play.record.reason, play.record.code) == ("cut", "output.length", "")
    assert [each.count for each in play.record.found if each.rule == "output.length"] == [1]
    assert play.commands[-1].end_of_stream
    assert seen == told(EVERYTHING, most)[0]


@given(st.integers(1, len(ALL) + 2))
def test_a_whole_answer_says_what_the_stream_says(most):
    tree = response(*everything().items)
    got, play = whole(tree, most)
    seen, _ = told(EVERYTHING, most)
    assert said(got["output"]) == ALL[:most]
    assert [item["type"] for item in got["output"]] == [item["type"] for item in seen[-1]["response"]["output"]]
    last = got["output"][-1]
    if most < len(ALL):
        assert (got["status"], got["incomplete_details"], last["status"]) == ("incomplete", FULL, "incomplete")
        assert last["content"] == seen[-1]["response"]["output"][-1]["content"]
        assert ("output.length", "redact") in {(each.rule, each.action) for each in play.record.found}
    else:
        assert (got["status"], got["incomplete_details"]) == ("completed", None)
    Response.model_validate(got)


@given(st.integers(1, len(ALL) - 1))
def test_the_official_sdk_takes_every_event(most):
    seen, _ = told(EVERYTHING, most)
    fired = of_the_sdk(seen)
    assert [event.sequence_number for event in fired] == list(range(len(seen)))
    final = fired[-1].response
    assert (final.status, final.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    heard = "".join(event.delta for event in fired if event.type == "response.output_text.delta")
    assert final.output_text == heard


WHERE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
TEXT = "One two three four. "


def announced():
    begun = message(part(TEXT), status="in_progress")
    script = Script().begin().say("response.output_item.added", output_index=0, item=begun)
    script.items.append(message(part(TEXT)))
    return script.close(0).end()


def in_the_part():
    script = Script().begin()
    at = script.open(message(part(TEXT)))
    return script.say("response.content_part.added", **WHERE, part=part(TEXT)).close(at).end()


def in_the_end_of_the_text():
    script = Script().begin()
    at = script.open(message(part(TEXT)))
    script.say("response.content_part.added", **WHERE, part=part(""))
    return script.say("response.output_text.done", **WHERE, text=TEXT, logprobs=[]).close(at).end()


def in_the_end_of_the_item():
    script = Script().begin()
    return script.close(script.open(message(part("One "), part(TEXT[4:], "refusal")))).end()


def in_an_item_that_only_ends():
    script = Script().begin()
    script.items.append(message(part(TEXT)))
    return script.close(0).end()


def in_the_last_event():
    script = Script().begin().item(reasoning(["Thought. "]), ("summary_text", 0, ["Thought. "]))
    script.items += [message(part("One ")), message(part(TEXT[4:]), id_="msg_2"), call("{}")]
    return script.end()


def in_the_last_event_of_an_open_item():
    script = Script().begin()
    script.open(message(part("One "), part(TEXT[4:])))
    return script.text(0, "One ").end()


PLACES = [announced, in_the_part, in_the_end_of_the_text, in_the_end_of_the_item, in_an_item_that_only_ends,
          in_the_last_event, in_the_last_event_of_an_open_item]  # fmt: skip


@pytest.mark.parametrize("most", [1, 3, 4, 5, 19])
@pytest.mark.parametrize("script", PLACES)
def test_a_text_that_is_not_told_in_deltas_is_cut_as_well(script, most):
    raw = script().raw
    seen, play = told(raw, most)
    assert said(agrees(seen)) == TEXT[:most]
    assert seen[-1]["type"] == "response.incomplete"
    assert play.record.outcome == "cut"
    assert TEXT[: most + 1] not in play.sent().decode()
    of_the_sdk(seen)


@pytest.mark.parametrize("script", PLACES)
def test_what_just_fits_leaves_as_it_would_without_a_bound(script):
    raw = script().raw
    assert told(raw, len(TEXT))[0] == told(raw, None)[0]


def test_items_side_by_side_all_end_and_no_call_is_told_as_done():
    script = Script().begin()
    talk = script.open(message(part(TEXT)))
    pay = script.open(call("".join(SOURCE)))
    script.say("response.content_part.added", **WHERE, part=part(""))
    script.say("response.output_text.delta", **WHERE, delta="One ", logprobs=[])
    at = {"item_id": "fc_1", "output_index": pay}
    script.say("response.function_call_arguments.delta", **at, delta='{"to":')
    script.say("response.output_text.delta", **WHERE, delta="two three four. ", logprobs=[])
    script.say("response.function_call_arguments.done", **at, arguments='{"to":1}')
    seen, _ = told(script.close(talk).end().raw, 6)
    assert [item["status"] for item in agrees(seen)] == ["incomplete", "incomplete"]
    assert "response.function_call_arguments.done" not in {event["type"] for event in seen}


@pytest.mark.parametrize("size", [1, 40, 10_000])
@pytest.mark.parametrize("action", [Action.BLOCK, Action.REPLACE])
def test_what_a_rule_would_end_behind_the_cut_was_never_told(size, action):
    script = Script().begin()
    script.item(message(part(f"{TEXT} {MAIL} ")), ("output_text", 0, [TEXT, f" {MAIL}", " "]))
    raw = script.end().raw
    seen, play = told(raw, 6, tuple(range(size, len(raw), size)), pii_email=action)
    assert said(agrees(seen)) == TEXT[:6]
    assert (seen[-1]["type"], play.record.outcome, play.record.reason) == (
        "response.incomplete", "cut", "output.length",
    )  # fmt: skip


@pytest.mark.parametrize("action", [Action.BLOCK, Action.REPLACE])
def test_a_rule_that_ends_the_answer_before_the_cut_has_the_last_word(action):
    script = Script().begin().item(message(part(f"{MAIL} {TEXT}")), ("output_text", 0, [f"{MAIL} ", TEXT]))
    _, play = told(script.end().raw, 12, pii_email=action)
    assert MAIL[:6] not in play.sent().decode()
    assert (play.record.code, play.record.reason) == ("answer_blocked", "pii.email")
    assert not any(each.rule == "output.length" for each in play.record.found)


def test_a_flag_only_counts():
    seen, play = told(EVERYTHING, 6, action=Action.FLAG)
    assert said(agrees(seen)) == ALL
    assert [(each.count, each.action) for each in play.record.found if each.rule == "output.length"] == [(1, "flag")]


def test_a_whole_answer_keeps_nothing_of_what_was_cut():
    annotations = [
        {"type": "url_citation", "url": "https://a.example", "title": "four", "start_index": 9, "end_index": 12}
    ]
    tree = response(message(part(TEXT, annotations=annotations), part("more")), call("{}"), output_text=TEXT)
    got, _ = whole(tree, 7)
    assert got["output"] == [message(part("One two"), status="incomplete")]
    assert "output_text" not in got
    assert "four" not in json.dumps(got)
