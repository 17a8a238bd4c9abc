"""Two models in one pass say what each says alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.detectors.content.twin import Table, Twin
from extproc.detectors.injection.linear import BUCKETS, Linear

DICE = random.Random(7)  # noqa: S311 - weights, no secret
TABLES = [Table(DICE.randbytes(BUCKETS), scale, bias) for scale, bias in ((0.02, -1.5), (0.03, 0.25))]
TWIN = Twin(*TABLES)
LINEARS = [Linear(table.weights, table.scale, table.bias) for table in TABLES]
WORDS = st.lists(st.sampled_from(["a", "kill", "process", "\u00fcber", "x" * 40]) | st.text(max_size=5), max_size=120)


@given(WORDS)
def test_each_score_is_that_of_the_model_alone(chosen):
    low = " ".join(chosen)
    first, second, windows = TWIN.scores(low, 48)
    alone = [linear.score(low, 48) for linear in LINEARS]
    assert (first, second) == pytest.approx((alone[0][0], alone[1][0]))
    assert {windows} == {count for _, count in alone}


def test_tables_of_another_size_are_refused():
    with pytest.raises(ValueError, match="buckets"):
        Twin(TABLES[0], Table(b"\0", 1.0, 0.0))
