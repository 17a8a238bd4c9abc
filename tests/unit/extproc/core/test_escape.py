"""JSON source is judged as its decoded text and released as it was written, however it is cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.escape import EscapedHoldBack, decoded
from extproc.core.holdback import HoldBack
from extproc.guardrails.guard import Tally
from gateway.policy.model import Action

EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)
REDACTING = guarded.redacting()
scalars = st.one_of(guarded.texts, st.integers(), st.just(4111111111111111), st.floats(allow_nan=False), st.none())
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(guarded.words, inner, max_size=3), max_leaves=8
)
#: Source that is no JSON at all, full of half escapes.
sources = st.lists(
    st.one_of(
        guarded.words, st.sampled_from(["\\", "\\u", "\\u00", "\\u0040", "\\ud83d", "\\ude00", '"', '\\"', "\0"])
    ),
    max_size=12,
).map("".join)


def escaped(text: str) -> str:
    """Every character as an escape: the hardest spelling that JSON allows."""
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


@EXAMPLES
@given(st.data())
def test_any_chunking_of_a_document_gives_the_same_outcome(data):
    source = json.dumps(data.draw(documents), ensure_ascii=data.draw(st.booleans()))
    guard = data.draw(guarded.guards())
    whole = guarded.stream(EscapedHoldBack, guard, [source])
    assert guarded.stream(EscapedHoldBack, guard, data.draw(guarded.cuts(source))) == whole


@EXAMPLES
@given(st.data())
def test_any_chunking_of_broken_source_gives_the_same_outcome(data):
    source = data.draw(sources)
    guard = data.draw(guarded.guards())
    whole = guarded.stream(EscapedHoldBack, guard, [source])
    assert guarded.stream(EscapedHoldBack, guard, data.draw(guarded.cuts(source))) == whole


@EXAMPLES
@given(documents, st.booleans())
def test_a_redacted_document_is_still_json_of_the_same_shape(document, ascii_only):
    seen = guarded.stream(EscapedHoldBack, REDACTING, list(json.dumps(document, ensure_ascii=ascii_only)))
    assert shape(json.loads(seen.text, object_pairs_hook=Pairs)) == shape(document)


class Pairs(list):
    """The pairs of an object: two redacted keys may be the same word now."""


def shape(value):
    if isinstance(value, Pairs):
        return "object", [shape(inner) for _, inner in value]
    if isinstance(value, dict):
        return "object", [shape(inner) for inner in value.values()]
    if isinstance(value, list):
        return "array", [shape(inner) for inner in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@EXAMPLES
@given(guarded.texts, st.sampled_from([json.dumps, lambda text: json.dumps(text, ensure_ascii=False), escaped]))
def test_a_string_is_guarded_as_its_decoded_text_would_be(text, spell):
    text = text.replace("\0", "")
    inside = spell(text)
    source = inside if inside.startswith('"') else f'"{inside}"'
    plain = guarded.stream(HoldBack, REDACTING, [text])
    seen = guarded.stream(EscapedHoldBack, REDACTING, list(source))
    assert json.loads(seen.text) == plain.text
    assert seen.counts == plain.counts


def test_source_without_findings_is_released_as_it_was_written():
    source = '{"a": "\\u00e9\\/\\n\\ud83d\\ude00 x", "b": [1.50, -0, true]}'
    assert guarded.stream(EscapedHoldBack, REDACTING, list(source)).text == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('{"to":"joe\\u0040example.com"}', '{"to":"[EMAIL]"}'),
        ('{"to":"joe\\u0040example\\u002ecom, hi"}', '{"to":"[EMAIL], hi"}'),
        ('{"joe@example.com":1}', '{"[EMAIL]":1}'),
        ('{"card":4111111111111111}', '{"card":0}'),
        ('{"card":"4111 1111 1111 1111"}', '{"card":"[CARD]"}'),
        ("[4111111111111111,-4111111111111111]", "[0,-0]"),
        ('{"url":"http:\\/\\/u:pw@h\\/x"}', '{"url":"http:\\/\\/[SECRET]@h\\/x"}'),
        ('{"a":"say \\"joe@example.com\\""}', '{"a":"say \\"[EMAIL]\\""}'),
        ('{"a":"joe@","b":"example.com"}', '{"a":"joe@","b":"example.com"}'),
    ],
)
def test_findings_are_seen_through_escapes_and_end_with_their_string(source, expected):
    assert guarded.stream(EscapedHoldBack, REDACTING, list(source)).text == expected


def test_an_open_private_key_ends_with_its_string():
    source = json.dumps({"key": guarded.PEM[:150], "next": "free"})
    seen = guarded.stream(EscapedHoldBack, REDACTING, list(source))
    assert json.loads(seen.text) == {"key": "[SECRET]", "next": "free"}


def test_a_block_ends_the_source_before_the_finding():
    guard = guarded.guard({"pii.email": Action.BLOCK})
    seen = guarded.stream(EscapedHoldBack, guard, list('{"a":"\\n joe@example.com"}'))
    assert (seen.text, seen.blocked) == ('{"a":"\\n ', "pii.email")


@pytest.mark.parametrize(
    "source", ['"\\', '"\\u', '"\\u00', '"\\ud83d', '"\\ud83d\\', '"\\ud83d\\ude', '"\\q"', '"\\udc00"']
)
def test_an_escape_that_never_completes_is_released_at_the_end(source):
    assert guarded.stream(EscapedHoldBack, REDACTING, list(source)).text == source


def test_half_an_escape_is_not_released():
    held = EscapedHoldBack(REDACTING, Tally())
    assert held.push('{"a": "joe\\u00') == '{"a": "'
    assert held.push("40example.com") == ""
    assert held.push('"}') + held.flush() == '[EMAIL]"}'


@EXAMPLES
@given(sources)
def test_decoded_source_shows_a_rule_whatever_the_channel_would_find(source):
    assert bool(REDACTING.scanner.scan(decoded(source))) == bool(
        guarded.stream(EscapedHoldBack, REDACTING, [source]).counts
    )
