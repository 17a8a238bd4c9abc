"""What the record says of tokens and cost: the provider's word, else the count, else an estimate."""

import pytest

from clocks import ManualClock
from extproc.core.journal import Journal
from extproc.counting.running import Running
from extproc.counting.tokenizer import tokenizer
from extproc.providers.door import Seen
from gateway.budgets.price import Price

TEXT = "The committee met on Tuesday to review the proposal."


def journal(seen):
    found = Journal(ManualClock())
    found.seen = seen
    found.prompt_chars = 100
    return found


def usage(found):
    return found.close("completed", ()).usage


def test_nothing_is_billed_before_a_backend_answers():
    assert journal(None).used(whole=True) is None
    assert usage(journal(None)) is None


def test_without_a_tokenizer_four_characters_are_a_token():
    seen = Seen()
    seen.say(TEXT)
    told = usage(journal(seen))
    assert (told.input_tokens, told.output_tokens, told.source) == (25, 13, "estimate")


def test_a_stream_that_broke_off_is_counted_where_somebody_counted():
    seen = Seen(running=Running(tokenizer("gpt-4o")))
    for at in range(0, len(TEXT), 3):
        seen.say(TEXT[at : at + 3])
    found = journal(seen)
    found.prompt_tokens = 31
    told = usage(found)
    assert (told.input_tokens, told.output_tokens) == (31, tokenizer("gpt-4o").count(TEXT))
    assert told.source == "estimate"


def test_the_providers_word_goes_before_every_count():
    seen = Seen(running=Running(tokenizer("gpt-4o")))
    seen.say(TEXT)
    seen.read({"prompt_tokens": 7, "completion_tokens": 5})
    found = journal(seen)
    found.prompt_tokens = 31
    told = usage(found)
    assert (told.input_tokens, told.output_tokens, told.source) == (7, 5, "provider")


def test_details_and_cost_are_on_record():
    seen = Seen()
    seen.read(
        {
            "prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 60},
        }
    )  # fmt: skip
    found = journal(seen)
    assert (usage(found).cost_micros, usage(found).currency) == (None, "")
    found.price, found.currency = Price(input=1_000_000, output=2_000_000, cached_input=500_000), "EUR"
    told = usage(found)
    assert (told.cached_tokens, told.reasoning_tokens) == (400, 60)
    assert (told.cost_micros, told.currency) == (600 + 200 + 200, "EUR")
    assert found.used(whole=True).cached_in == 400


def test_a_provider_that_says_nought_of_words_that_came_has_told_nothing():
    """Servers that do not count say 0; charged so, their answers would be free."""
    seen = Seen(running=Running(tokenizer("gpt-4o")))
    seen.say(TEXT)
    seen.read({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
    found = journal(seen)
    told = usage(found)
    assert (told.input_tokens, told.output_tokens) == (25, tokenizer("gpt-4o").count(TEXT))
    assert told.source == "estimate"


def test_an_answer_without_words_has_none():
    seen = Seen()
    seen.read({"prompt_tokens": 8, "completion_tokens": 0})
    told = usage(journal(seen))
    assert (told.input_tokens, told.output_tokens, told.source) == (8, 0, "provider")


@pytest.mark.parametrize("outcome", ["refused", "failed", "cut", "aborted"])
def test_a_stream_that_was_stopped_is_no_whole_answer(outcome):
    """One that is refused before its first byte left has told as little as one that is cut."""
    found = journal(Seen(output_tokens=1, running=Running(tokenizer("gpt-4o"))))
    found.streamed = True
    found.seen.say(TEXT)
    assert found.close(outcome, ()).usage.output_tokens == tokenizer("gpt-4o").count(TEXT)


def test_of_an_answer_that_broke_off_the_count_goes_before_a_first_word_of_the_provider():
    """Anthropic tells some output tokens at the start of a message, and the rest at its end."""
    seen = Seen(input_tokens=9, output_tokens=1, running=Running(tokenizer("gpt-4o")))
    seen.say(TEXT)
    found = journal(seen)
    broken_off, whole = found.used(whole=False), found.used(whole=True)
    assert (broken_off.tokens_out, broken_off.reported) == (tokenizer("gpt-4o").count(TEXT), False)
    assert (whole.tokens_out, whole.reported) == (1, True)
