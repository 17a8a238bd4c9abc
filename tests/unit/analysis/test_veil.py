"""What leaves the process: signs that keep likeness and nothing else, and seals that hold for one place and name."""

import pytest

np = pytest.importorskip("numpy", reason="only with `make analysis`")

from analysis.veil import Veil, Veiled  # noqa: E402 -- after it is known to be there

PEPPER = b"p" * 32
PLACE, OTHER, NAME = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def drawn():
    return np.random.default_rng(20261122)


def unit(numbers):
    return (numbers / np.linalg.norm(numbers, axis=-1, keepdims=True)).astype(np.float32)


def signs(vector, place=PLACE, tenant="acme", pepper=PEPPER):
    raw = Veil(pepper).signs(tenant, place, vector)
    read = np.frombuffer(raw, dtype="<f4")
    assert read.shape == (384,)
    assert set(read.tolist()) <= {1.0, -1.0}
    return read


@pytest.fixture
def said(drawn):
    return Veiled("How do I pay? \U0001f4b6", 1_700_000_000_123, unit(drawn.standard_normal((2, 384))))


@pytest.mark.parametrize("cosine", [0.95, 0.8, 0.6])
@pytest.mark.parametrize("kind", ["any", "one number alone"])
def test_signs_differ_as_often_as_the_angle_says(drawn, cosine, kind):
    """Also for vectors that are nothing like random ones: the turn makes them so."""
    differ = []
    for number in range(100):
        one = unit(drawn.standard_normal(384)) if kind == "any" else np.eye(384, dtype=np.float32)[number]
        away = drawn.standard_normal(384)
        other = unit(cosine * one + np.sqrt(1 - cosine**2) * unit(away - (away @ one) * one))
        place = f"{number:064x}"
        differ.append(np.count_nonzero(signs(one, place) != signs(other, place)))
    wanted = 384 * np.arccos(cosine) / np.pi
    assert abs(np.mean(differ) - wanted) < 5 * np.sqrt(wanted / 100), "five deviations of a mean of 100"


def test_the_same_question_looks_different_in_every_place(drawn):
    vector = unit(drawn.standard_normal(384))
    mine = signs(vector)
    assert np.array_equal(mine, signs(vector)), "the same on every host"
    for where in ({"place": OTHER}, {"tenant": "shop"}, {"pepper": b"q" * 32}):
        same = np.count_nonzero(mine == signs(vector, **where))
        assert abs(same - 192) < 60, "six deviations of a coin thrown 384 times"


def test_signs_are_not_those_of_the_vector(drawn):
    vector = unit(drawn.standard_normal(384))
    assert abs(np.count_nonzero(signs(vector) == np.sign(vector)) - 192) < 60


def test_names_of_places_tell_nothing_and_are_the_tenants_own():
    veil = Veil(PEPPER)
    names = {veil.place("acme", PLACE), veil.place("acme", OTHER), veil.place("shop", PLACE)}
    names |= {Veil(b"q" * 32).place("acme", PLACE), PLACE}
    assert len(names) == 5
    assert {len(each) for each in names} == {64}
    assert veil.place("acme", PLACE) == Veil(PEPPER).place("acme", PLACE)


def test_what_is_closed_is_opened_again(said):
    sealed = Veil(PEPPER).close("acme", PLACE, NAME, said)
    opened = Veil(PEPPER).open("acme", PLACE, NAME, sealed)
    assert (opened.text, opened.ends_ms) == (said.text, said.ends_ms)
    assert np.abs(opened.vectors - said.vectors).max() < 0.002
    assert b"pay" not in sealed
    assert sealed != Veil(PEPPER).close("acme", PLACE, NAME, said)
    assert "pay" not in repr(said)


def test_a_seal_holds_for_its_own_place_and_name_alone(said):
    veil = Veil(PEPPER)
    sealed = veil.close("acme", PLACE, NAME, said)
    assert veil.open("acme", OTHER, NAME, sealed) is None
    assert veil.open("acme", PLACE, OTHER, sealed) is None
    assert veil.open("shop", PLACE, NAME, sealed) is None
    assert Veil(b"q" * 32).open("acme", PLACE, NAME, sealed) is None


def test_what_was_changed_or_is_no_seal_is_not_opened(said):
    veil = Veil(PEPPER)
    sealed = veil.close("acme", PLACE, NAME, said)
    for at in range(1, len(sealed) - 1, 97):
        changed = bytearray(sealed)
        changed[at] = ord("A") if changed[at] != ord("A") else ord("B")
        assert veil.open("acme", PLACE, NAME, bytes(changed)) is None
    for raw in (b"", b'"', b'""', b'"AAAA"', b"\xff" * 99, sealed[:-9] + b'"', b'"' + b"A" * 4000 + b'"'):
        assert veil.open("acme", PLACE, NAME, raw) is None


def test_many_tenants_are_not_all_remembered(monkeypatch, said):
    monkeypatch.setattr("analysis.veil._TENANTS", 3)
    veil = Veil(PEPPER)
    sealed = [veil.close(f"t{number}", PLACE, NAME, said) for number in range(10)]
    assert len(veil._keys) <= 3
    assert all(veil.open(f"t{number}", PLACE, NAME, raw) is not None for number, raw in enumerate(sealed))
