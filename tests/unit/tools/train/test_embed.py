import pytest

pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
pytest.importorskip("onnxruntime", reason="only with `make analysis`")
pytest.importorskip("tokenizers", reason="only with `make analysis`")


from tools.train.embed import WINDOWS_MAX, _batches, spread


def test_windows_of_a_long_text_are_taken_from_all_of_it():
    assert spread([1, 2]) == [1, 2]
    taken = spread(list(range(100)))
    assert len(taken) == WINDOWS_MAX
    assert (taken[0], taken[-1]) == (0, 99)


def test_batches_hold_every_window_once_and_are_bounded():
    sizes = [3, 500, 700, 128, 128, 2000]
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    batches = list(_batches(order, sizes))
    assert [number for batch in batches for number in batch] == order
    assert all(len(batch) == 1 or max(sizes[n] for n in batch) * len(batch) <= 1024 for batch in batches)
