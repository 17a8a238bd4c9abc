"""The figures of `content.code`: what is counted as code, and what is told of it."""

import json

import pytest

pytest.importorskip("sklearn", reason="evaluation has the environment of training: requirements/train.in")

from tools.evaluate.code import ALL, NONE, READ, page, rows


def test_each_side_of_each_source_is_counted(tmp_path):
    part = tmp_path / "injection"
    part.mkdir()
    for name in (ALL, *READ, *NONE):
        own = "def f(x):\n    return x\n" if name == ALL else "What shall I cook on Sunday?"
        texts = [own] * 430 if name in READ else [own] * 20
        if name == "mt-bench":
            texts[79] = "Write a Python function that adds two numbers."
        (part / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    told = {(row["source"], row["side"]): row for row in rows(tmp_path)}
    assert told[ALL, "code"]["fired"] == 1.0
    assert told[ALL, "code"]["auc"] == 1.0
    assert (told["mt-bench", "code, read by us"]["n"], told["mt-bench", "other"]["n"]) == (22, 408)
    assert told["mt-bench", "code, read by us"]["fired"] == round(1 / 22, 4)
    assert told["gsm8k", "other"]["fired"] == 0.0
    assert f"| {ALL} | code | 20 | 1.0000 | 1.000 | 1.000 |" in page(list(told.values()))
