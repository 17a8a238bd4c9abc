"""Every index can be called as the engine calls one. What each does then is held by tests/contract/test_neighbours.py."""

import inspect

import pytest

pytest.importorskip("numpy", reason="only with `make analysis`")

from analysis.index import Index
from analysis.neighbours import Neighbours
from analysis.vectorset import VectorSet


@pytest.mark.parametrize("kind", [Neighbours, VectorSet])
def test_an_index_is_called_like_any_other(kind):
    asked = [name for name in vars(Index) if not name.startswith("_")]
    assert sorted(asked) == ["drop", "holds", "near", "put"]
    for name in asked:
        assert inspect.signature(getattr(kind, name)) == inspect.signature(getattr(Index, name))
