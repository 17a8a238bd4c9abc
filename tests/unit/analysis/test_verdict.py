"""The judge of like questions: its artefact is read whole or not at all, and its trees are walked as they were grown."""

import hashlib

import orjson
import pytest

np = pytest.importorskip("numpy", reason="only with `make analysis`")

from analysis.head import WEIGHTS_SHA256  # noqa: E402 -- after it is known to be there
from analysis.pair import Reading, Words, features, wide  # noqa: E402
from analysis.verdict import Verdict, VerdictError  # noqa: E402
from gateway.policy.kept import Likeness  # noqa: E402

drawn = np.random.default_rng(3)
WORDS = Words.of(drawn.standard_normal((2000, 384)).astype(np.float32))


def read(text):
    vectors = np.random.default_rng(len(text)).standard_normal((2, 384)).astype(np.float32)
    return Reading(text, np.array([1500, 1600]), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


ONE, OTHER = read("what is a tower?"), read("what are lamps?")
#: Numbers of the pair; the linear part is the last.
COUNT = len(features(ONE, OTHER, WORDS))


def packed(tables, **changes):
    raw = b"".join(table.tobytes() for table in tables)
    meta = {
        "format": 1,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "version": "sim-test",
        "minilm": WEIGHTS_SHA256,
        "linear_offset": 0.5,
        "trees_offset": -1.0,
        "thresholds": {"strict": 0.9, "usual": 0.8, "loose": 0.7},
        "tables": [[table.dtype.str, list(table.shape)] for table in tables],
    } | changes
    return orjson.dumps(meta) + b"\n" + raw


def trees(feature, limit, left, right, value, weights=None):
    weights = np.zeros(len(wide(ONE, OTHER, WORDS)), dtype="<f4") if weights is None else weights
    small = [np.array(each, dtype=np.uint8) for each in (feature, left, right)]
    floats = [np.array(each, dtype="<f4") for each in (limit, value)]
    return [weights, small[0], floats[0], small[1], small[2], floats[1]]


#: One tree that asks the first number and then the linear part, and one that is a leaf.
GROWN = trees(
    feature=[[0, 0, COUNT, 0, 0], [0] * 5],
    limit=[[2.0, 0, 0.4, 0, 0], [0] * 5],
    left=[[2, 1, 3, 3, 4], [0] * 5],
    right=[[1, 1, 4, 3, 4], [0] * 5],
    value=[[0, 9.0, 0, 5.0, 3.0], [0.25, 0, 0, 0, 0]],
)


def test_trees_are_walked_as_they_were_grown():
    judge = Verdict.read(packed(GROWN))
    assert judge.likeness(ONE, OTHER, WORDS) == pytest.approx(1 / (1 + np.exp(-(-1 + 0.25 + 3.0))))
    lower = Verdict.read(packed(GROWN, linear_offset=0.3))
    assert lower.likeness(ONE, OTHER, WORDS) == pytest.approx(1 / (1 + np.exp(-(-1 + 0.25 + 5.0))))


def test_the_linear_part_weighs_how_vectors_lie():
    weights = wide(ONE, OTHER, WORDS).astype("<f4")
    judge = Verdict.read(packed([weights, *GROWN[1:]], linear_offset=-float(weights @ weights) - 1))
    assert judge.likeness(ONE, OTHER, WORDS) == pytest.approx(1 / (1 + np.exp(-(-1 + 0.25 + 5.0))))


def test_no_likeness_helps_where_numbers_differ():
    judge = Verdict.read(packed(GROWN, trees_offset=50.0))
    assert judge.likeness(ONE, OTHER, WORDS) > 0.99
    assert judge.likeness(ONE, read("what are 2 lamps?"), WORDS) == 0.0


def test_odds_beyond_all_bounds_are_a_number():
    assert Verdict.read(packed(GROWN, trees_offset=-1e6)).likeness(ONE, OTHER, WORDS) == 0.0


@pytest.mark.parametrize(
    ("artefact", "why"),
    [
        (b"", "damaged"),
        (b"{\n", "damaged"),
        (packed(GROWN)[:-1], "damaged"),
        (packed(GROWN) + b"\0", "damaged"),
        (packed(GROWN, format=2), "format"),
        (packed(GROWN, minilm="0" * 64), "other weights"),
    ],
)
def test_nothing_is_judged_by_half_an_artefact(artefact, why):
    with pytest.raises(VerdictError, match=why):
        Verdict.read(artefact)


def test_the_artefact_of_this_repository_fits():
    judge = Verdict.load()
    assert judge.version.startswith("sim-")
    assert len(judge.linear[0]) == len(wide(ONE, OTHER, WORDS))
    assert judge.trees.feature.max() <= COUNT
    assert max(judge.trees.left.max(), judge.trees.right.max()) < judge.trees.value.shape[1]
    limits = [judge.thresholds[each] for each in Likeness]
    assert 1 > limits[0] > limits[1] > limits[2] > 0.5
    assert 0 <= judge.likeness(ONE, OTHER, WORDS) <= 1
