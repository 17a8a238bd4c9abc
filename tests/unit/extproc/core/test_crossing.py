"""Policy and translation know the same dialects."""

from extproc.translate.dialects import DIALECTS
from gateway.policy import endpoint


def test_every_dialect_that_policy_may_name_can_be_translated():
    assert set(endpoint.DIALECTS) == set(DIALECTS)
