import pytest

np = pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
# ruff: noqa: E402 - what is tested imports it

from tools.train.vectors import Embedded, key, read, write


def test_what_was_written_is_read(tmp_path):
    cache = {
        key("one"): Embedded(np.array([[0, 4], [2, 9]]), np.ones((2, 5, 3), dtype=np.float16)),
        key("two"): Embedded(np.array([[0, 3]]), np.full((1, 5, 3), 0.5, dtype=np.float16)),
    }
    write(tmp_path / "cache.npz", cache)
    again = read(tmp_path / "cache.npz")
    assert set(again) == set(cache)
    for each, stored in cache.items():
        assert (again[each].spans == stored.spans).all()
        assert (again[each].vectors == stored.vectors).all()


def test_no_file_is_an_empty_cache(tmp_path):
    assert read(tmp_path / "none.npz") == {}
