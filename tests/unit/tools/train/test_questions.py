import json
import sys

import pytest

np = pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
pytest.importorskip("onnxruntime", reason="only with `make analysis`")
pytest.importorskip("tokenizers", reason="only with `make analysis`")
# ruff: noqa: E402 - what is tested imports them

from analysis.pair import Reading
from tools.train import questions


class Model:
    """Reads a question as its length."""

    @classmethod
    def load(cls, kept):
        assert kept == questions.LAYERS
        return cls()


def test_every_question_is_read_once_and_written(tmp_path, monkeypatch, capsys):
    pairs, cache = tmp_path / "pairs.jsonl", tmp_path / "cache.npz"
    rows = [{"text_a": "why?", "text_b": "how?", "label": 0}, {"text_a": "why?", "text_b": "what for?", "label": 1}]
    pairs.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    monkeypatch.setattr(questions, "MiniLM", Model)
    monkeypatch.setattr(
        questions, "reading", lambda _, text: Reading(text, np.arange(len(text)), np.full((2, 384), len(text)))
    )
    monkeypatch.setattr(questions, "archive", lambda: None)
    table = {"embeddings.word_embeddings.weight": np.ones((5, 384))}
    monkeypatch.setattr(questions, "unpacked", lambda _: (table, ""))
    monkeypatch.setattr(sys, "argv", ["questions", str(pairs), str(cache)])
    questions.main()
    assert "3 questions of 2 pairs" in capsys.readouterr().out
    with np.load(cache) as kept:
        assert json.loads(str(kept["texts"])) == ["how?", "what for?", "why?"]
        assert kept["sizes"].tolist() == [4, 9, 4]
        assert kept["ids"][:5].tolist() == [0, 1, 2, 3, 0]
        assert kept["vectors"][:, 0, 0].tolist() == [4, 9, 4]
        assert kept["table"].shape == (5, 384)
