import hashlib
import math

import orjson
import pytest

np = pytest.importorskip("numpy", reason="only with `make analysis`")

from analysis.head import KEPT, WEIGHTS_SHA256, Head, HeadError, normed  # noqa: E402 -- after it is known to be there


def packed(matrix, offset, **changes):
    table = np.asarray(matrix, dtype=np.float16).tobytes() + np.asarray(offset, dtype=np.float16).tobytes()
    kind = {
        "join": {"window": 1.0, "evidence": 0.5, "offset": -1.0},
        "grey": {"low": 0.2, "high": 0.9},
        "threshold": 0.7,
    }
    meta = {
        "format": 1,
        "sha256": hashlib.sha256(table).hexdigest(),
        "version": "mlm-test",
        "minilm": WEIGHTS_SHA256,
        "shapes": [np.shape(matrix)],
        "user": kind,
        "foreign": {**kind, "threshold": 0.6},
    } | changes
    return orjson.dumps(meta) + b"\n" + table


def test_a_head_judges_each_window():
    head = Head.read(packed([[2.0], [0.0], [-1.0], [0.0]], [0.5]))
    vectors = np.array([[[3, 4], [0, 5]], [[1, 0], [1, 0]]], dtype=np.float32)  # two windows of two layers
    assert head.odds(vectors) == pytest.approx([2 * 0.6 + 0.5, 2 - 1 + 0.5], abs=1e-3)


def test_layers_are_of_unit_length_and_nothing_divides_by_zero():
    assert normed(np.array([[[3, 4], [0, 0]]], dtype=np.float32)).ravel() == pytest.approx([0.6, 0.8, 0, 0])


def test_hidden_layers_have_rectifiers_between_them():
    numbers = [1, -1, 0, 0, 0, 0, 2, 3, 1]  # 2x2 and its offsets, 2x1 and its offset, row by row
    head = Head.read(packed(numbers[:8], numbers[8:], shapes=[[2, 2], [2, 1]]))
    assert head.odds(np.array([[[1.0, 0.0]]], dtype=np.float32)) == pytest.approx([2 * 1 + 3 * 0 + 1])


def test_both_kinds_of_evidence_join():
    head = Head.read(packed([[1.0]], [0.0]))
    assert head.score(1.0, 2.0, foreign=False) == pytest.approx(1 / (1 + math.exp(-1)))
    assert head.score(1.0, 2.0, foreign=False, trusted=True) == pytest.approx(1 / (1 + math.exp(2)))
    assert head.score(-1e9, 0, foreign=True) == 0.0
    assert head.thresholds == (0.7, 0.6)


@pytest.mark.parametrize("changes", [{"format": 2}, {"sha256": "0" * 64}, {"minilm": "0" * 64}])
def test_another_format_or_other_weights_are_refused(changes):
    with pytest.raises(HeadError):
        Head.read(packed([[1.0]], [0.0], **changes))


def test_garbage_is_refused():
    with pytest.raises(HeadError):
        Head.read(b"\x00garbage")


def test_the_artefact_of_this_repository_fits_the_layers_that_are_kept():
    head = Head.load()
    assert head.layers[0][0].shape[0] == len(KEPT) * 384
    assert all(0 <= grey.low < grey.high <= 1 for grey in head.grey)
    assert all(0 < threshold < 1 for threshold in head.thresholds)
