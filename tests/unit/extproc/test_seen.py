"""Usage objects of every provider, as they are on public record, and those that nobody should believe."""

import pytest

from extproc.core.unknown import Unknown
from extproc.guardrails.guard import Tally
from extproc.providers.anthropic_stream import Meter, output_of
from extproc.providers.door import Seen
from extproc.providers.openai import DOORS
from guarded import guard

CASES = [
    (
        {"prompt_tokens": 4020, "completion_tokens": 4, "total_tokens": 4024,
         "prompt_tokens_details": {"audio_tokens": 8, "cache_write_tokens": 12, "cached_tokens": 4000},
         "completion_tokens_details": {"accepted_prediction_tokens": 0, "audio_tokens": 1, "reasoning_tokens": 2}},
        Seen(input_tokens=4020, output_tokens=4, cached_tokens=4000, cache_write_tokens=12, audio_input_tokens=8,
             reasoning_tokens=2, audio_output_tokens=1),
    ),
    (
        {"input_tokens": 22, "input_tokens_details": {"cached_tokens": 11}, "output_tokens": 1915,
         "output_tokens_details": {"reasoning_tokens": 1600}, "total_tokens": 1937},
        Seen(input_tokens=22, output_tokens=1915, cached_tokens=11, reasoning_tokens=1600),
    ),
    (  # DeepSeek
        {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        Seen(input_tokens=100, output_tokens=5, cached_tokens=64),
    ),
    (  # xAI: reasoning stands beside the completion, and in the total
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115, "completion_tokens_details": {"reasoning_tokens": 100}},
        Seen(input_tokens=10, output_tokens=105, reasoning_tokens=100),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "expected"), CASES, ids=range(len(CASES)))
def test_every_kind_of_token_is_read(usage, expected):
    seen = Seen()
    seen.read(usage)
    assert seen == expected


def test_a_usage_that_is_told_with_every_event_is_read_once():
    """Some servers tell it again and again; reasoning beside the output must not be added each time."""
    seen = Seen()
    for _ in range(3):
        seen.read(CASES[3][0])
    assert seen == CASES[3][1]


def test_anthropic_tells_its_cache_beside_the_input():
    seen = Seen()
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1}
    Meter(seen).read(usage)
    assert seen == Seen(input_tokens=123, cached_tokens=100, cache_write_tokens=20)
    seen.read(output_of({"output_tokens": 48, "output_tokens_details": {"thinking_tokens": 40}}))
    assert (seen.input_tokens, seen.output_tokens, seen.reasoning_tokens) == (123, 48, 40)


@pytest.mark.parametrize("odd", [None, [], "1", {"prompt_tokens": "9"}, {"prompt_tokens": True}, {"prompt_tokens": -1},
                                 {"prompt_tokens": 10**12}, {"prompt_tokens_details": []}, {"prompt_tokens_details": {"cached_tokens": 1.5}}])  # fmt: skip
def test_what_is_no_count_is_not_read(odd):
    seen = Seen()
    seen.read(odd)
    assert seen == Seen()
    assert output_of(None) is None


def test_what_a_model_says_to_tools_is_counted_in_a_json_answer():
    seen = Seen()
    message = {
        "content": None,
        "tool_calls": [
            {"function": {"name": "find", "arguments": '{"a":1}'}},
            {"custom": {"name": "run", "input": "ls"}},
            None,
        ],
        "function_call": {"name": "old", "arguments": "{}"},
    }
    DOORS["/v1/chat/completions"].answer(
        {"choices": [{"message": message}, {"message": {"tool_calls": "odd", "function_call": 1}}]},
        seen,
        Unknown(guard({}), Tally()),
    )
    assert seen.text_chars == len('find{"a":1}runlsold{}')
