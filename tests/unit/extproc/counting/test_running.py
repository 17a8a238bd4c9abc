"""An answer's tokens while it comes: exact for prose, never below, whatever the chunks."""

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.counting.running import Running
from extproc.counting.tokenizer import Tokenizer

EXACT = Tokenizer("o200k")
PROSE = "The committee met on Tuesday; it didn't decide. 汉字、编码。 def f(x):\n    return x**2 (see №7)\n\n" * 60


def chunks(text, sizes):
    at = 0
    while at < len(text):
        for size in sizes:
            yield text[at : at + size]
            at += size


def run(tokenizer, text, sizes):
    running = Running(tokenizer)
    for chunk in chunks(text, sizes):
        running.push(chunk)
    return running


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=5), st.sampled_from(["o200k", "cl100k", "claude", "other"]))
def test_prose_is_counted_as_if_it_came_at_once(sizes, family):
    tokenizer = Tokenizer(family)
    assert run(tokenizer, PROSE, sizes).tokens == tokenizer.count(PROSE)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=40), st.booleans())
def test_asking_in_between_changes_nothing(parts, asks):
    running = Running(EXACT)
    for part in parts:
        running.push(part)
        if asks:
            assert running.tokens <= running.at_most
    assert running.tokens == EXACT.count("".join(parts))


ALPHABETS = st.sampled_from(["ab", "A1 ", "é汉", "'sdt ll", "\n\t x", "=/+aZ9", "😀\u200d", "e\u0301 "])


@settings(max_examples=60, deadline=None)
@given(
    ALPHABETS.flatmap(lambda letters: st.text(letters, min_size=1, max_size=60)),
    st.integers(1, 300),
    st.integers(1, 900),
)
def test_text_without_boundaries_is_never_counted_below_and_little_above(text, times, size):
    text *= times
    exact = EXACT.count(text)
    found = run(EXACT, text, [size]).tokens
    cuts = len(text) // 4096 + 1
    assert exact <= found <= exact + 4 * cuts


def test_a_limit_far_away_needs_no_counting(monkeypatch):
    counted = []
    monkeypatch.setattr(Tokenizer, "raw", lambda _self, text: counted.append(len(text)) or len(text))
    running = Running(EXACT)
    for chunk in chunks(PROSE, [4]):
        running.push(chunk)
        assert not running.beyond(10**6)
    assert sum(counted) <= len(PROSE)  # no character twice
    assert len(counted) <= len(PROSE) / 256


def test_the_chunk_that_goes_beyond_is_found():
    running = Running(EXACT)
    limit = EXACT.count(PROSE) // 2
    seen = ""
    for chunk in chunks(PROSE, [5]):
        seen += chunk
        running.push(chunk)
        if running.beyond(limit):
            break
    assert EXACT.count(seen) > limit >= EXACT.count(seen[:-5])
