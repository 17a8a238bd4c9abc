import pytest

pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
pytest.importorskip("sklearn", reason="training has its own environment: requirements/train.in")


import orjson

from tools.train.injection import replaced
from tools.train.transformer import ARTEFACT, CARD, facts


def test_the_card_is_of_the_artefact():
    artefact = ARTEFACT.read_bytes()
    meta = orjson.loads(artefact.partition(b"\n")[0])
    card = CARD.read_text(encoding="utf-8")
    assert replaced(card, "artefact", facts(meta, len(artefact))) == card
