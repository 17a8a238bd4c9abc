"""The classes and what policy knows of them."""

from extproc.detectors.catalogue import POLICY_IDS
from extproc.detectors.content.classes import CLASSES, EXPERIMENTAL, HARMLESS, RULE_IDS, TOXIC
from gateway.policy.guard import OPT_IN, OWN_NAME_ONLY


def test_every_class_may_be_named_by_policy_and_has_to_be():
    assert set(CLASSES) == RULE_IDS
    assert RULE_IDS <= POLICY_IDS
    assert {name.partition(".")[0] for name in CLASSES} == OPT_IN


def test_policy_keeps_the_same_list_of_what_only_its_own_name_turns_on():
    assert OWN_NAME_ONLY == EXPERIMENTAL


def test_sets_name_classes():
    assert HARMLESS | TOXIC | EXPERIMENTAL <= RULE_IDS
