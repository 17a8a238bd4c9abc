from extproc.detectors.entities import ENTITIES
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import ADVISED


def test_they_find_nothing_themselves_and_hold_nothing_back():
    scanner = Scanner(ENTITIES)
    assert {rule.id for rule in ENTITIES} == ADVISED["ner"]
    assert not scanner.scan("Jane Doe of Acme in Paris")
    assert scanner.undecided_from("Jane Doe") == len("Jane Doe")
    assert scanner.limit_chars == 0
