"""The measurement of complexity: what is fitted never sees the source that is left out, and errors are told per side."""

import json

import pytest

pytest.importorskip("numpy")  # of the tools' own environment and of `make analysis`

from tools.evaluate import complexity

WORDS = {
    "gsm8k": "How many of 3, 4 and 5 apples are left in total, if half of each is bad?",
    "humaneval": "def f(x):\n    return x",
    "p3-prompts": "What is this text about?",
    "self-instruct": "Name a colour.",
    "gpteacher-roleplay": "Speak like a pirate.",
    "qqp-train": "What is the capital of France?",
    "mt-bench": "Prove it.",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "some").mkdir()
    for name, text in WORDS.items():
        field = "text_a" if name == "qqp-train" else "text"
        lines = [json.dumps({field: text}, ensure_ascii=False)] * 200
        (tmp_path / "some" / f"{name}.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_what_is_told_apart_perfectly_has_no_errors(folder):
    page = complexity.page(complexity.read(folder))
    assert "| 20 | 0.0 % | 0.0 % | 72.0 % |" in page
    assert "| gsm8k (hard) | 200 | 100.0 %" in page
    assert "| mt-bench: math (held out) | 20 | 100.0 %" in page


def test_a_source_that_is_left_out_is_not_fitted(folder):
    page = complexity.page(complexity.read(folder))
    assert "| gsm8k | 100.0 % | 0.0 % |" in page  # nothing else shows sums
    assert "| qqp-train | 0.0 % | 0.0 % |" in page
