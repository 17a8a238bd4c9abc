from extproc.detectors.injection.provenance import FOREIGN, TRUSTED, Provenance


def test_nobody_is_trusted_and_foreign_at_once():
    assert not TRUSTED & FOREIGN


def test_users_are_neither():
    assert {Provenance.USER, Provenance.HISTORY} == set(Provenance) - TRUSTED - FOREIGN
