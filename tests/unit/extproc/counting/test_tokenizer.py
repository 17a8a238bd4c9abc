"""Counts agree with OpenAI's own tokenizer on the same tables, and hostile texts cost no more than others."""

import base64
import gzip
import hashlib
import importlib.util
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public

from extproc.counting.tokenizer import FAMILIES, Tokenizer, family_of, loaded, tokenizer

#: SHA-256 of the files that OpenAI publishes, as tiktoken pins them.
PUBLISHED = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}
TEXTS = [
    "", "a", "Hello, world!", "The  quick\n\nbrown   fox\t", "don't can't WE'LL they've I'M", "naïve café Ünïcode",
    "汉字编码测试、中文。", "日本語のテキスト", "привет мир", "مرحبا بالعالم", "नमस्ते दुनिया", "👩‍👩‍👧‍👦🇩🇪😀", "1234567890 3.14159",
    "def f(x):\n    return x ** 2  # square\n", "<|endoftext|> <|im_start|>", "https://example.com/a?b=c&d=%20", "\r\n\r\n  \n x",
    "a" * 1000, " " * 1000, "=" * 500, "\n" * 300, "e\u0301" * 200, "\u200d" * 100, "AbCdEfGh" * 40, '{"a":[1,2,{"b":null}]}',
]  # fmt: skip


def published(encoding):
    spec = importlib.util.find_spec("bpe_openai")
    path = Path(spec.submodule_search_locations[0]) / "data" / f"{encoding}.tiktoken.gz"
    return gzip.decompress(path.read_bytes())


@pytest.fixture(scope="module", params=sorted(PUBLISHED))
def pair(request):
    """Ours, and tiktoken over the published ranks."""
    encoding, data = request.param, published(request.param)
    with pytest.MonkeyPatch.context() as patch:
        ranks = {
            base64.b64decode(token): int(rank)
            for token, _, rank in (line.partition(b" ") for line in data.split(b"\n") if line)
        }
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_args, **_kwargs: ranks)
        theirs = tiktoken.Encoding(**getattr(openai_public, encoding)())
    return Tokenizer(encoding.removesuffix("_base")), theirs


@pytest.mark.parametrize("encoding", sorted(PUBLISHED))
def test_the_tables_are_those_that_openai_publishes(encoding):
    assert hashlib.sha256(published(encoding)).hexdigest() == PUBLISHED[encoding]


def test_counts_are_tiktokens(pair):
    ours, theirs = pair
    assert [ours.count(text) for text in TEXTS] == [len(theirs.encode_ordinary(text)) for text in TEXTS]


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200))
def test_counts_are_tiktokens_for_any_text(pair, text):
    ours, theirs = pair
    assert ours.count(text) == len(theirs.encode_ordinary(text))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_family_counts_below_the_encoding_or_above_the_bytes(text):
    exact = Tokenizer("o200k").count(text)
    for family in ("claude", "other"):
        assert exact <= Tokenizer(family).count(text) <= len(text.encode())


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-mini", "o200k"), ("GPT-4o", "o200k"), ("openai/gpt-4.1", "o200k"), ("ft:gpt-4o:acme", "o200k"), ("o3", "o200k"),
        ("o4-mini", "o200k"), ("gpt-5-nano", "o200k"), ("gpt-oss-120b", "o200k"), ("gpt-4", "cl100k"), ("gpt-4-turbo", "cl100k"),
        ("gpt-3.5-turbo", "cl100k"), ("text-embedding-3-small", "cl100k"), ("claude-3-opus-latest", "claude"),
        ("claude-sonnet-4-5-20250929", "claude"), ("claude-opus-4-6", "claude"), ("anthropic.claude-3-haiku", "claude"),
        ("claude-opus-4-8", "other"), ("claude-sonnet-5", "other"), ("llama-3", "other"), ("o365", "other"), ("", "other"),
    ],
)  # fmt: skip
def test_a_name_tells_the_family_and_an_unknown_one_counts_most(model, family):
    assert family_of(model) == family
    assert tokenizer(model).exact is (family in {"o200k", "cl100k"})


def test_policy_may_name_the_family():
    assert tokenizer("prod-chat", "o200k").exact
    assert set(FAMILIES) == {"o200k", "cl100k", "claude", "other"}


def test_half_a_surrogate_pair_is_counted():
    assert tokenizer("gpt-4o").count("a\ud800b") >= 2
    assert tokenizer("llama").count("a\ud800b") >= 2


def test_a_table_that_was_used_is_loaded():
    tokenizer("gpt-4o").count("a")
    assert loaded("gpt-4o-mini")
    assert loaded("claude-3-opus")


@pytest.mark.parametrize("text", ["a", "ab", " ", "\n", " \t", "!", "1", "😀", "e\u0301", "汉", "x\u200d"])
def test_a_megabyte_of_one_letter_is_cut_up_in_parts_that_add_up(text):
    """Quadratic work would take hours here; the count says that nothing was skipped either."""
    many = text * (1_000_000 // len(text.encode()))
    tokens = Tokenizer("o200k").count(many)
    half = Tokenizer("o200k").count(many[: len(many) // 2])
    assert abs(tokens - 2 * half) <= 2
