"""Parts of Gemini's API: their files, calls, words and counts."""

import pytest

from extproc.detectors.injection.provenance import Provenance
from extproc.providers.door import Seen
from extproc.providers.gemini_parts import all_parts, as_chat, calls_in, read_usage, said_in, seam

TEXT = {"inlineData": {"mimeType": "text/plain", "data": "aGVsbG8gdGhlcmU="}}


def test_every_part_of_a_request_and_of_an_answer_is_found():
    tree = {"contents": [{"parts": [{"text": "a"}, 7]}, 7], "systemInstruction": {"parts": [{"text": "b"}]},
            "candidates": [{"content": {"parts": [{"text": "c"}]}}, {"content": None}]}  # fmt: skip
    assert [part["text"] for part in all_parts(tree)] == ["a", "b", "c"]


def test_words_are_told_with_their_author():
    part = {"functionResponse": {"response": {"k": ["v"]}, "parts": [TEXT]}}
    assert set(said_in(part)) == {
        (Provenance.TOOL_RESULT, "k"),
        (Provenance.TOOL_RESULT, "v"),
        (Provenance.DOCUMENT, "hello there"),
    }


@pytest.mark.parametrize(
    ("media", "kind"),
    [("image/png", "image_url"), ("audio/wav", "input_audio"), ("video/mp4", "video"), ("application/pdf", "file")],
)
def test_media_are_told_in_chats_words(media, kind):
    (told,) = as_chat({"inlineData": {"mimeType": media, "data": "AAAA"}})
    assert told["type"] == kind


def test_calls_are_told_with_their_arguments():
    content = {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}, {"text": "x"}, {"functionCall": "x"}]}
    assert calls_in(content) == [{"type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]


def test_thoughts_are_output_and_tools_prompts_are_input():
    seen = Seen()
    read_usage(
        seen,
        {"promptTokenCount": 10, "toolUsePromptTokenCount": 2, "cachedContentTokenCount": 4, "candidatesTokenCount": 5,
         "thoughtsTokenCount": 7, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}, {"modality": "TEXT"}]},
    )  # fmt: skip
    assert (seen.input_tokens, seen.cached_tokens, seen.audio_input_tokens) == (12, 4, 3)
    assert (seen.output_tokens, seen.reasoning_tokens) == (12, 7)


@pytest.mark.parametrize("usage", [None, "x", [], {}, {"promptTokenCount": -1}, {"promptTokenCount": True}])
def test_what_is_no_count_is_ignored(usage):
    seen = Seen()
    read_usage(seen, usage)
    assert seen == Seen()


@pytest.mark.parametrize(
    ("before", "after", "between"), [("a", "b", "\n"), ("a ", "b", ""), ("a", " b", ""), ("", "b", "")]
)
def test_two_texts_do_not_become_one_word(before, after, between):
    assert seam(before, after) == between
