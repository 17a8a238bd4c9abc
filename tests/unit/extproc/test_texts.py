"""Every string is a position: planted anywhere in a tree, a value is found, and nothing else changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.texts import lay, leaves
from extproc.guardrails.guard import Tally
from extproc.guardrails.scanner import HITS_MAX
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action, Mode
from worlds import FakeWorld, policy, settings

MAIL = "bob@example.com"
WORLD = FakeWorld()


def guard(**kw):
    held = policy(request=settings(**kw))
    return WORLD.guard(held, held.tenants["acme"], "request")


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc xyz", max_size=6) | st.just(f"see {MAIL}."),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["k", "content", "z", MAIL]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["k", "content"]), TREES, max_size=4))
def test_a_planted_value_is_found_wherever_it_stands(tree):
    planted = json.dumps(tree).count(MAIL) > 0
    before = json.dumps(tree)
    laid = lay(tree, guard(), Tally())
    assert MAIL not in json.dumps(tree)
    assert laid.changed is planted
    if not planted:
        assert json.dumps(tree) == before


def test_json_source_inside_strings_is_opened_and_stays_json():
    source = json.dumps({"to": MAIL, "deep": json.dumps({"cc": MAIL})}).replace("@", "\\u0040")
    tree = {"messages": [{"tool_calls": [{"function": {"name": "send", "arguments": source}}]}]}
    lay(tree, guard(), Tally())
    arguments = tree["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments)["to"] == "[EMAIL]"


LONG = "sk-" + "a" * 600  # a key to the rules, and base64url


@pytest.mark.parametrize(
    "tree",
    [
        {"data": [{"embedding": LONG}]},
        {"data": [{"embedding": [0.25, 1, -3.5]}]},
        {"data": [{"b64_json": LONG}]},
        {"image_url": {"url": f"data:image/png;base64,{LONG}"}},
        {"image_url": f"data:video/mp4;base64,{LONG}=="},
    ],
)
def test_vectors_and_pictures_are_left_alone(tree):
    before = json.dumps(tree)
    assert not lay(tree, guard(), Tally()).changed
    assert json.dumps(tree) == before


TOKEN = "sk-" + "a1" * 24 + "/" + "A" * 600  # a key in what is base64 through and through
OWN = [
    {"embedding": TOKEN},
    {"deep": [{"b64_json": TOKEN}]},
    {"type": "base64", "media_type": "image/png", "data": TOKEN},
    {"mimeType": "image/png", "data": TOKEN},
    {"input": {"image_url": f"data:image/png;base64,{TOKEN}"}},
    {"functionResponse": {"response": {"embedding": TOKEN}}},
]


@pytest.mark.parametrize("taken", OWN)
@pytest.mark.parametrize(
    "put",
    [
        lambda own: {"content": [{"type": "tool_use", "name": "f", "input": own}]},
        lambda own: {"parts": [{"functionCall": {"name": "f", "args": own}}]},
        lambda own: {"parts": [{"functionResponse": {"name": "f", "response": own}}]},
        lambda own: {"tool_calls": [{"function": {"name": "f", "arguments": json.dumps(own)}}]},
    ],
    ids=["anthropic", "gemini", "gemini's answer", "openai"],
)
def test_what_a_tool_takes_or_answers_is_no_picture_whatever_its_fields_are_called(taken, put):
    tree = put(json.loads(json.dumps(taken)))
    assert lay(tree, guard(), Tally()).changed
    assert "a1a1" not in json.dumps(tree)
    assert any(text.endswith(TOKEN) for text in leaves(put(taken)))


@pytest.mark.parametrize(
    "tree",
    [
        {"parts": [{"functionResponse": {"name": "f", "parts": [{"inlineData": OWN[3]}], "response": {}}}]},
        {"content": [{"type": "tool_result", "content": [{"type": "image", "source": OWN[2]}]}]},
        {"type": "response.completed", "response": {"output": [{"type": "reasoning", "encrypted_content": TOKEN}]}},
        {"input": [{"type": "reasoning", "encrypted_content": TOKEN}]},
    ],
)
def test_media_of_the_dialect_beside_what_a_tool_answers_is_left_alone(tree):
    before = json.dumps(tree)
    assert not lay(tree, guard(), Tally()).changed
    assert json.dumps(tree) == before
    assert TOKEN not in list(leaves(tree))


@pytest.mark.parametrize(
    "tree",
    [
        {"embedding": MAIL},
        {"embedding": [0.5, MAIL]},
        {"embedding": [{"note": MAIL}]},
        {"embedding": [[MAIL]]},
        {"b64_json": MAIL + "A" * 600},
        {"b64_json": f"\u00e9{MAIL}" + "A" * 600},
        {"b64_json": "sk-" + "a1" * 24},
        {"url": f"data:image/svg+xml,<text>{MAIL}</text>" + "A" * 600},
        {"url": f"data:image/svg+xml;utf8,{MAIL}" + "A" * 600},
        {"url": f"data:image/png;name={MAIL};base64," + "A" * 600},
        {"image_url": f"data:image/png;base64,{MAIL}" + "A" * 600},
        {"url": f"data:text/plain,{MAIL}"},
    ],
)
def test_a_name_alone_makes_no_text_a_picture(tree):
    assert lay(tree, guard(), Tally()).changed
    assert "example" not in json.dumps(tree)
    assert "a1a1" not in json.dumps(tree)


@pytest.mark.parametrize(
    "source",
    [
        '{"to":"bob\\u0040example.com',  # broken off, as at the end of the token limit
        '{"to":"bob\\u0040example.com","to":"x"}',
        '{"a":[{"to":"bob\\u0040example.com","to":"x"}]}',
        '"bob\\u0040example.com" and more',
        '{"to":"x","bob\\u0040example.com":1,"n":"\\',
    ],
)
def test_source_that_no_reader_or_each_reader_reads_otherwise_is_judged_by_its_every_escape(source):
    tree = {"function": {"arguments": source}}
    assert lay(tree, guard(), Tally()).changed
    assert "example" not in json.dumps(tree)


def test_the_places_of_all_texts_together_are_bounded():
    text = "a@b.co " * (HITS_MAX // 5)  # long enough to be scanned alone
    assert lay({"content": [text] * 4}, guard(), Tally()).changed
    with pytest.raises(GatewayError) as refusal:
        lay({"content": [text] * 6}, guard(), Tally())
    assert refusal.value.kind is Kind.JSON_TOO_COMPLEX


def test_the_escapes_of_all_arguments_together_are_bounded():
    calls = [{"function": {"arguments": "\\n" * 150_000}}]
    assert not lay({"tool_calls": calls * 2}, guard(), Tally()).changed
    with pytest.raises(GatewayError) as refusal:
        lay({"tool_calls": calls * 3}, guard(), Tally())
    assert refusal.value.kind is Kind.JSON_TOO_COMPLEX


def test_shadow_tells_but_does_not_touch():
    tally, tree = Tally(), {"content": MAIL}
    shadow = guard(action=Action.BLOCK, mode=Mode.SHADOW)
    laid = lay(tree, shadow, tally)
    assert (laid.changed, laid.blocked, tree) == (False, None, {"content": MAIL})
    (found,) = tally.found(shadow, "request")
    assert (found.rule, found.action, found.would) == ("pii.email", "allow", "block")
