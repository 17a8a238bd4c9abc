"""Gemini's event streams: guarded over every seam, ended once, told in events that the official SDK reads."""

import itertools
import json

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from contents import USAGE, answer, answered, body, candidate, event, events, heard, held, sent, words
from extproc.core.commands import Answer
from gateway.policy.model import Action, RuleSetting
from playbook import MAIL
from worlds import settings

CALL = {"functionCall": {"id": "c1", "name": "pay", "args": {"to": MAIL}}}
PIECES = ["Hi there. ", "Write to bob@exam", "ple.com or ", "wait. "]
CLEAN = "Hi there. Write to [EMAIL] or wait. "
BLOCKING = held(response=settings(Action.BLOCK))


@pytest.mark.parametrize("size", [0, 1, 7, 100_000])
def test_a_text_is_guarded_however_it_is_cut(size):
    out, play = sent(words(*PIECES), size=size)
    assert heard(out) == CLEAN
    last = events(out)[-1]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == USAGE
    assert sum("finishReason" in each for tree in events(out) for each in tree["candidates"]) == 1
    assert (play.record.outcome, play.record.usage.output_tokens) == ("completed", 4)
    for tree in events(out):
        types.GenerateContentResponse.model_validate(tree)


def test_a_reason_with_every_event_releases_nothing():
    stream = b"".join([event(candidate(piece, finish="STOP"), usageMetadata=USAGE) for piece in PIECES])
    out, _ = sent(stream)
    assert heard(out) == CLEAN


def test_every_event_of_a_candidate_says_something_and_what_stands_beside_waits_with_its_text():
    rated = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]
    pieces = ["bob@", "exam", "ple.com", " bye"]
    out, _ = sent(b"".join(event(candidate(piece, finish="STOP", safetyRatings=rated)) for piece in pieces))
    told = [each for tree in events(out) for each in tree["candidates"]]
    assert all(each["content"]["parts"] for each in told)
    assert told[0]["safetyRatings"] == rated
    assert heard(out) == "[EMAIL] bye"


def test_a_stream_that_breaks_off_has_no_reason():
    out, _ = sent(b"".join([event(candidate(piece)) for piece in PIECES]))
    assert heard(out) == CLEAN
    assert b"finishReason" not in out


@pytest.mark.parametrize("between", [CALL, {"text": "hm", "thought": True}])
def test_what_stands_between_two_texts_does_not_join_them(between):
    out, _ = sent(event(candidate("bob@exam")) + event(candidate(between)) + event(candidate("ple.com", finish="STOP")))
    assert heard(out) == "bob@exam\nple.com"
    assert MAIL.encode() not in out


def test_a_call_is_guarded_whole_and_keeps_its_signature():
    part = {**CALL, "thoughtSignature": "c2lnbmF0dXJl"}
    out, _ = sent(event(candidate("I pay bob", part, finish="STOP")))
    parts = [part for tree in events(out) for each in tree["candidates"] for part in each["content"]["parts"]]
    assert parts[:2] == [{"text": "I pay "}, {"text": "bob"}]
    assert parts[2] == {**part, "functionCall": {**part["functionCall"], "args": {"to": "[EMAIL]"}}}


def test_candidates_and_thoughts_are_channels_of_their_own():
    turns = [candidate({"text": "bob@exam", "thought": True}), candidate("ple.com ", index=1),
             candidate({"text": "ple.com ", "thought": True}), candidate("or bob@exam", index=1),
             candidate("ple.org ", index=1)]  # fmt: skip
    out, _ = sent(b"".join(map(event, turns)))
    assert heard(out, thought=True) == "[EMAIL] "
    assert heard(out, 1) == "ple.com or [EMAIL] "


def test_a_blocking_rule_ends_the_stream_with_an_error_that_the_sdk_raises():
    out, play = sent(words(*PIECES), BLOCKING)
    assert heard(out) == "Hi there. Write to "
    assert out.rpartition(b"\n\ndata: ")[2].startswith(b'{"error":{"code":403,')
    assert (play.record.outcome, play.record.code) == ("cut", "answer_blocked")


def test_a_rule_that_speaks_instead_ends_the_stream_well():
    rules = {**settings(), "pii.email": RuleSetting(rule="pii.email", action=Action.REPLACE, text="Not for you.")}
    out, play = sent(words(*PIECES), held(response=rules))
    assert heard(out).endswith("Not for you.")
    assert events(out)[-1]["candidates"][0]["finishReason"] == "SAFETY"
    assert play.record.outcome == "cut"


@pytest.mark.parametrize(
    "bad",
    [b"data: {bro\n\n", b"data: []\n\n", b"data: {}\n\n", b"data: [DONE]\n\n", b'data: {"surprise":"x"}\n\n',
     event(candidate(7)), event(candidate({"text": 7})), event({"content": "x"}), event({"content": {"parts": {}}}),
     event(candidate("x", index=-1)), event(candidate("x", index="0")), event(candidate({"text": "x", **CALL})),
     event(candidate({"functionCall": {"name": "f", "args": "x"}})), event(candidate({"functionCall": {"args": {}}})),
     event(candidate({"functionCall": {"name": "f", "partialArgs": [{"stringValue": MAIL}]}})),
     event(candidate({"functionCall": {"name": "f", "willContinue": True}})),
     event(candidate({"text": "x", "thoughtSignature": 7})), event({"finishReason": ["x"], "index": 0}),
     b"".join(event(candidate("x", index=index)) for index in range(65))],
)  # fmt: skip
def test_what_cannot_be_guarded_cuts_the_stream(bad):
    out, play = sent(event(candidate("fine. ")) + bad)
    assert events(out)[-1]["error"]["status"] == "INTERNAL"
    assert MAIL.encode() not in out
    assert (play.record.outcome, play.record.code) == ("cut", "backend_answer_invalid")


def test_a_part_of_an_unknown_kind_is_for_policy_to_let_pass():
    part = {"executableCode": {"language": "PYTHON", "code": f"mail('{MAIL}')"}}
    out, play = sent(event(candidate("fine. ")) + event(candidate(part)))
    assert b"mail(" not in out
    assert play.record.code == "backend_answer_invalid"
    rules = {**settings(), "output.unknown": RuleSetting(rule="output.unknown", action=Action.FLAG)}
    out, _ = sent(event(candidate("fine. ")) + event(candidate(part)), held(response=rules))
    assert b"[EMAIL]" in out
    assert MAIL.encode() not in out


@pytest.mark.parametrize("field", [b"event: %s", b"id: %s", b"retry: %s", b": %s", b"%s: x", b"%s"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_no_other_line_of_an_event_leaves_whatever_ends_it(field, end):
    line = field % MAIL.encode()
    data = b"data: " + json.dumps({"candidates": [candidate("clean. ")]}).encode()
    out, _ = sent(end.join([line, data, line, b"", b""]))
    assert b"example" not in out
    assert heard(out) == "clean. "


def test_what_a_reader_could_read_otherwise_does_not_leave():
    twice = b'data: {"candidates":[{"content":{"parts":[{"text":"%s","text":"x. "}]}}]}\n\n' % MAIL.encode()
    assert b"example" not in sent(twice)[0]


def test_an_error_of_the_provider_ends_the_stream_guarded():
    late = event(error={"code": 503, "message": f"busy {MAIL}", "status": "UNAVAILABLE"})
    out, _ = sent(event(candidate("half a wo")) + late + event(candidate("more")))
    assert out.endswith(b"\n\n")
    assert b'data: {"error":{"code":503,"message":"busy [EMAIL]"' in out
    assert b"more" not in out


def test_a_blocked_prompt_is_told():
    out, _ = sent(
        event(promptFeedback={"blockReason": "SAFETY", "blockReasonMessage": f"no {MAIL}"}, usageMetadata=USAGE)
    )
    assert events(out)[0]["promptFeedback"] == {"blockReason": "SAFETY", "blockReasonMessage": "no [EMAIL]"}


# --- the table of positions: every place that the official package knows ------------------------------------------
PLACES = {
    "": types.GenerateContentResponse, "candidates.0": types.Candidate, "candidates.0.content": types.Content,
    "candidates.0.content.parts.0": types.Part, "candidates.0.content.parts.0.functionCall": types.FunctionCall,
    "candidates.0.citationMetadata": types.CitationMetadata, "candidates.0.citationMetadata.citations.0": types.Citation,
    "candidates.0.groundingMetadata": types.GroundingMetadata, "candidates.0.logprobsResult": types.LogprobsResult,
    "candidates.0.safetyRatings.0": types.SafetyRating, "candidates.0.urlContextMetadata": types.UrlContextMetadata,
    "promptFeedback": types.GenerateContentResponsePromptFeedback,
    "usageMetadata": types.GenerateContentResponseUsageMetadata,
}  # fmt: skip
CELLS = [(where, each.alias or name) for where, model in PLACES.items() for name, each in model.model_fields.items()]
CELLS += [(where, "surprise") for where in PLACES]
VALUES = [MAIL, [MAIL], {"a": MAIL}, {MAIL: 1}]


def _with(where, name, value):
    tree = json.loads(json.dumps(answer(candidate("fine. "))))
    node = tree
    for step in filter(None, where.split(".")):
        if isinstance(node, list):
            node = node[0]
        else:
            node = node.setdefault(
                step, {} if not where.endswith(".0") or step not in {"citations", "safetyRatings"} else [{}]
            )
    if isinstance(node, list):
        node = node[0]
    node[name] = value
    return tree


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize(("where", "name"), CELLS, ids=lambda each: each or "top")
def test_no_place_of_an_answer_carries_text_past_the_guard(where, name, passes):
    unknown = {"output.unknown": RuleSetting(rule="output.unknown", action=Action.FLAG)} if passes else {}
    world = held(response={**settings(), **unknown})
    for value in VALUES:
        tree = _with(where, name, value)
        out, play = sent(event(candidate("fine. ")) + b"data: " + json.dumps(tree).encode() + b"\n\n", world)
        assert b"bob@example" not in out + _refusals(play)
        whole = answered(tree, world)
        assert b"bob@example" not in whole.sent() + _refusals(whole)


def _refusals(play):
    return b"".join(each.rendered.body for each in play.commands if isinstance(each, Answer))


#: Where words come in pieces: kind of the text.
@pytest.mark.parametrize("thought", [True, False])
@pytest.mark.parametrize("at", range(1, len(MAIL)))
def test_no_seam_of_a_text_lets_an_address_through(thought, at):
    pieces = [{"text": piece, **({"thought": True} if thought else {})} for piece in (MAIL[:at], MAIL[at:], " bye")]
    out, _ = sent(b"".join(event(candidate(piece)) for piece in pieces))
    assert heard(out, thought=thought) == "[EMAIL] bye"


SCALARS = st.none() | st.booleans() | st.integers(-1, 2) | st.just(MAIL) | st.sampled_from(["", "x", "STOP", "model"])
KEYS = ["candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "index",
        "finishReason", "error", "promptFeedback", "usageMetadata", "inlineData", "data", "mimeType", MAIL]  # fmt: skip
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)
PARTS = st.dictionaries(st.sampled_from(KEYS[3:9]), TREES, max_size=3)


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4), max_size=3), st.lists(PARTS, max_size=3))
def test_whatever_shape_events_have_no_address_leaves(late, parts):
    told = [event(candidate("fine. ")), *[event(candidate(part)) for part in parts]]
    told += [b"data: " + json.dumps(tree).encode() + b"\n\n" for tree in late]
    out, _ = sent(b"".join(told))
    assert MAIL.encode() not in out


@given(
    st.lists(st.sampled_from(["bob@exam", "ple.com", " and ", "4111 1111 ", "1111 1111", "\n"]), max_size=8), st.data()
)
def test_every_way_of_cutting_the_same_text_says_the_same(pieces, data):
    whole = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    cut = [whole[a:b] for a, b in itertools.pairwise([0, *cuts, len(whole)])]
    assert heard(sent(words(*cut))[0]) == heard(sent(words(whole))[0])


def test_a_stream_is_asked_for_by_the_path_alone():
    out, play = sent(words("fine"), request=body(generationConfig={"candidateCount": 1}))
    assert heard(out) == "fine"
    assert play.record.path.endswith(":streamGenerateContent")
