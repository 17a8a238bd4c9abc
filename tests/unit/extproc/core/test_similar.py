"""Which requests have one question, and what is left of them without it."""

import pytest

from extproc.core.similar import parted

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


def user(content="why?"):
    return {"role": "user", "content": content}


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("path", "tree"),
    [
        (CHAT, {"model": "m", "messages": [user()]}),
        (CHAT, {"model": "m", "messages": [SYSTEM, {"role": "developer", "content": "x"}, user()]}),
        (CHAT, {"model": "m", "messages": [user([{"type": "text", "text": "why?"}])]}),
        (MESSAGES, {"model": "m", "system": "Be brief.", "messages": [user()]}),
        (RESPONSES, {"model": "m", "input": "why?"}),
        (RESPONSES, {"model": "m", "input": [user([{"type": "input_text", "text": "why?"}])]}),
    ],
)
def test_one_question_is_found_and_taken_out(path, tree):
    rest, text = parted(path, tree, 300)
    assert text == "why?"
    assert "why?" not in str(rest)
    assert parted(path, rest, 300) is None
    assert {**rest, **{name: tree[name] for name in ("messages", "input") if name in tree}} == tree


def test_all_but_the_question_stays():
    rest, _ = parted(CHAT, {"messages": [SYSTEM, user()], "seed": 7}, 300)
    others = [
        {"messages": [SYSTEM, user()], "seed": 8},
        {"messages": [user()], "seed": 7},
        {"messages": [{**SYSTEM, "content": "Be long."}, user()], "seed": 7},
        {"messages": [{**SYSTEM, "role": "developer"}, user()], "seed": 7},
        {"messages": [SYSTEM, {**user(), "name": "ada"}], "seed": 7},
        {"messages": [SYSTEM, user([{"type": "text", "text": "why?"}])], "seed": 7},
    ]
    assert all(parted(CHAT, other, 300)[0] != rest for other in others)
    assert parted(CHAT, {"messages": [SYSTEM, user("how?")], "seed": 7}, 300) == (rest, "how?")


@pytest.mark.parametrize(
    ("path", "tree"),
    [
        (CHAT, {"messages": [user(), {"role": "assistant", "content": "x"}, user()]}),
        (CHAT, {"messages": [user(), user()]}),
        (CHAT, {"messages": [user(), SYSTEM]}),
        (CHAT, {"messages": [{"role": "assistant", "content": "x"}]}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": "why?"}),
        (CHAT, {"messages": ["why?"]}),
        (CHAT, {"messages": [user(None)]}),
        (CHAT, {"messages": [user(["why?"])]}),
        (CHAT, {"messages": [user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])]}),
        (CHAT, {"messages": [user([{"type": "image_url", "image_url": {"url": "x"}}])]}),
        (CHAT, {"messages": [user([{"type": "text", "text": 5}])]}),
        (CHAT, {"messages": [user("  \n")]}),
        (CHAT, {"messages": [user("x" * 301)]}),
        (CHAT, {}),
        (MESSAGES, {"messages": [user([{"type": "tool_result", "content": "x"}])]}),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": "x"}]}),
        (RESPONSES, {"messages": [user()]}),
        ("/v1/embeddings", {"input": "why?"}),
        ("/v1/completions", {"prompt": "why?"}),
    ],
)
def test_anything_else_has_none(path, tree):
    assert parted(path, tree, 300) is None
