from types import SimpleNamespace

import pytest

np = pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
pytest.importorskip("onnxruntime", reason="only with `make analysis`")
pytest.importorskip("tokenizers", reason="only with `make analysis`")
# ruff: noqa: E402 - what is tested imports them

from analysis.window import OVERLAP, SIZE
from tools.train.embed import embedded


class Tokens:
    """A token a character."""

    def encode(self, text, *, add_special_tokens):
        assert not add_special_tokens
        return SimpleNamespace(ids=[1] * len(text), offsets=[(at, at + 1) for at in range(len(text))])


class Model:
    tokenizer = Tokens()

    def __init__(self):
        self.runs = []

    def embed(self, rows):
        self.runs.append(len(rows))
        return np.full((len(rows), 3, 4), len(rows[0]), dtype=np.float32)


def test_every_window_of_run_time_is_embedded_by_itself():
    model = Model()
    text = "x" * (SIZE * 40)
    found = embedded(model, text)
    assert found.vectors.shape == (len(found.spans), 3, 4)
    assert model.runs == [1] * len(found.spans)
    assert (found.spans[0][0], found.spans[-1][1]) == (0, len(text))
    assert all(before[1] - after[0] >= OVERLAP for before, after in zip(found.spans, found.spans[1:], strict=False))
