"""Restoring and rules together: any cut of a text comes to what the whole comes to, streamed or in a JSON answer."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from extproc.core.aliases import Aliases
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.core.restore import Restoring
from extproc.core.returned import give_back
from extproc.core.texts import lay
from extproc.guardrails.guard import Tally
from guarded import EXFILTRATING, NOISE, PLANTS, URL, guards, redacting

VALUES = ("bob@example.com", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "203.0.113.7", URL, 'x"y\\z')
PLACEHOLDERS = tuple(
    Aliases(lambda size: b"k" * size).put("pii.email", kind, value)
    for kind, value in zip(("[EMAIL]", "[CARD]", "[IBAN]", "[IP]", "[SECRET]", "[NATIONAL_ID]"), VALUES, strict=True)
)
WORDS = st.one_of(
    st.sampled_from(PLACEHOLDERS),
    st.sampled_from([each.lower() for each in PLACEHOLDERS] + [each[1:-1] for each in PLACEHOLDERS]),
    st.sampled_from([*PLANTS, EXFILTRATING]),
    st.sampled_from(NOISE),
    st.sampled_from([" ", " and ", "**", "`", "_", "\n", "1", "@", "x"]),
)
TEXTS = st.lists(WORDS, max_size=10).map("".join)
PLACES = st.lists(st.integers(0, 2000), max_size=20)


def restoring():
    aliases = Aliases(lambda size: b"k" * size)
    for placeholder, value in zip(PLACEHOLDERS, VALUES, strict=True):
        aliases.put("pii.email", f"[{placeholder[1:].partition('_T')[0]}]", value)
    return Restoring(aliases, frozenset({"mail"}))


def cut(text, places):
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:stop] for start, stop in pairwise(bounds)]


def pushed(channel, pieces):
    out = "".join([channel.push(piece) for piece in pieces]) + channel.flush()
    return out, channel.blocked


def told(guard, pieces, made):
    """What a channel releases, what blocked it, what was counted."""
    tally, back = Tally(), restoring()
    out = pushed(made(guard.giving_back(back), tally), pieces)
    return *out, tally.counts, back.aliases.restored, back.aliases.kept


def arguments(guard, tally):
    return EscapedHoldBack(guard, tally, tool="mail")


@hypothesis_settings(max_examples=150, deadline=None)
@given(guards(), TEXTS, PLACES)
def test_any_cut_of_a_text_comes_to_the_same_under_any_guard(guard, text, places):
    whole = told(guard, [text], HoldBack)
    released = told(guard, cut(text, places), HoldBack)
    assert released == whole or (whole[1] is not None and released[:3] == whole[:3])


@hypothesis_settings(max_examples=50, deadline=None)
@given(guards(), TEXTS)
def test_single_characters_come_to_the_same(guard, text):
    whole, single = told(guard, [text], HoldBack), told(guard, list(text), HoldBack)
    assert single[:3] == whole[:3]


@hypothesis_settings(max_examples=100, deadline=None)
@given(guards(), TEXTS, PLACES, st.booleans())
def test_any_cut_of_arguments_comes_to_the_same_under_any_guard(guard, text, places, ascii_only):
    source = json.dumps({"a": text, "b": [text, 7]}, ensure_ascii=ascii_only)
    whole = told(guard, [source], arguments)
    assert told(guard, cut(source, places), arguments)[:3] == whole[:3]
    if whole[1] is None:
        json.loads(whole[0])


@hypothesis_settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_a_json_answer_reads_as_the_stream_does(text):
    guard = redacting()
    stream = told(guard, list(text), HoldBack)
    answer, back, tally = {"choices": [{"message": {"content": text}}]}, restoring(), Tally()
    laid = lay(answer, guard, tally, give_back(answer, back))
    assert (answer["choices"][0]["message"]["content"], laid.blocked, tally.counts) == stream[:3]


@hypothesis_settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_json_arguments_read_as_the_stream_does(text):
    guard = redacting()
    source = json.dumps({"a": text})
    stream = told(guard, list(source), arguments)
    function = {"name": "mail", "arguments": source}
    answer, back, tally = {"choices": [{"message": {"tool_calls": [{"function": function}]}}]}, restoring(), Tally()
    laid = lay(answer, guard, tally, give_back(answer, back))
    assert (function["arguments"], laid.blocked, tally.counts) == stream[:3]


def test_only_what_came_back_is_exempt():
    guard, mail = redacting(), PLACEHOLDERS[0]
    for said, reads in (
        (f"_{mail}_", "_bob@example.com_"),
        (f"eve.{mail[1:-1]}", "[EMAIL]"),  # another address, of which the value is a part
        (f"{mail} eve@example.com", "bob@example.com [EMAIL]"),
        (f"{PLACEHOLDERS[1]} 4111 1111 1111 1111", "4111 1111 1111 1111 [CARD]"),
        (PLACEHOLDERS[4], URL.partition("://")[0] + "://[SECRET]@db.example.com/orders"),
    ):
        assert told(guard, [said], HoldBack)[0] == reads
