"""Every string is a position: planted anywhere in a tree, a value is found, and nothing else changes."""

import json

from hypothesis import given
from hypothesis import strategies as st
from worlds import FakeWorld, policy, settings

from extproc.core.texts import lay
from extproc.guardrails.guard import Tally
from gateway.policy.model import Action, Mode

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


def test_vectors_and_pictures_are_left_alone():
    picture = "data:image/png;base64,AKIA" + "A" * 16
    tree = {"data": [{"embedding": "sk-" + "a" * 48}], "image_url": {"url": picture}}
    before = json.dumps(tree)
    assert not lay(tree, guard(), Tally()).changed
    assert json.dumps(tree) == before


def test_shadow_tells_but_does_not_touch():
    tally, tree = Tally(), {"content": MAIL}
    shadow = guard(action=Action.BLOCK, mode=Mode.SHADOW)
    laid = lay(tree, shadow, tally)
    assert (laid.changed, laid.blocked, tree) == (False, None, {"content": MAIL})
    (found,) = tally.found(shadow, "request")
    assert (found.rule, found.action, found.would) == ("pii.email", "allow", "block")
