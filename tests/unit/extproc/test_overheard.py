"""Tokens out of answers that nobody reads: of every dialect, cut anywhere, and none out of what is no answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import provider
from extproc.overheard import Overheard
from messaging import block, end, start, stop, text

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
GEMINI = {"candidates": [], "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14}}
RESPONSES = {"type": "response.completed", "response": {"usage": {"input_tokens": 8, "output_tokens": 2}}}


def heard(data, *, streams, size=0):
    one = Overheard(streams=streams)
    for at in range(0, len(data), size or max(len(data), 1)):
        one.feed(data[at : at + (size or len(data))])
    assert one.size_bytes == len(data)
    return one


@pytest.mark.parametrize(
    ("tree", "path", "dialect", "told"),
    [
        (provider.chat(), CHAT, "openai", (7, 5)),
        ({"usage": {"input_tokens": 9, "output_tokens": 4}}, MESSAGES, "anthropic", (9, 4)),
        (GEMINI, CHAT, "gemini", (11, 3)),
        ({"usage": {"input_tokens": 8, "output_tokens": 2}}, "/v1/responses", "openai", (8, 2)),
        ({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, "/v1/embeddings", "openai", (3, 0)),
        ({"choices": []}, CHAT, "openai", None),
        ([1], CHAT, "openai", None),
    ],
)
def test_whole_answers(tree, path, dialect, told):
    assert heard(json.dumps(tree).encode(), streams=False).tokens(path, dialect) == told


def filler(count):
    return b"".join(provider.event(provider.delta("some words")) for _ in range(count))


@given(st.integers(1, 400), st.integers(0, 400))
def test_streams_tell_their_tokens_however_long_they_are_and_wherever_they_are_cut(size, words):
    middle = filler(words)
    chat = middle + provider.stream(["Hello"])
    assert heard(chat, streams=True, size=size * 97).tokens(CHAT, "openai") == (7, 5)
    claude = start() + block() + text("x" * 200) * words + stop() + end()
    assert heard(claude, streams=True, size=size * 97).tokens(MESSAGES, "anthropic") == (9, 4)


def test_responses_and_gemini_as_streams():
    for tree, path, dialect, told in (
        (RESPONSES, "/v1/responses", "openai", (8, 2)), (GEMINI, CHAT, "gemini", (11, 3)),
    ):  # fmt: skip
        assert heard(b"data: " + json.dumps(tree).encode() + b"\n\n", streams=True).tokens(path, dialect) == told


@pytest.mark.parametrize("data", [b"", b"<html>usage</html>", b"data: {usage\n", b'data: [1, "usage"]\n', b"\x00" * 99])  # fmt: skip
@pytest.mark.parametrize("streams", [False, True])
def test_what_is_no_answer_tells_nothing(data, streams):
    assert heard(data, streams=streams).tokens(CHAT, "openai") is None


def test_little_is_kept_of_much():
    one = Overheard(streams=True)
    for _ in range(200):
        one.feed(b"x" * 65_536)
    assert len(one._start) + len(one._end) <= 32 * 1024
    whole = Overheard(streams=False)
    whole.feed(b'{"usage":{"prompt_tokens":1},"pad":"' + b"x" * (3 << 20) + b'"}')
    assert len(whole._start) == 1 << 20
    assert whole.tokens(CHAT, "openai") is None
