import pytest

np = pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
pytest.importorskip("sklearn", reason="training has its own environment: requirements/train.in")
# ruff: noqa: E402 - what is tested imports both

from analysis.head import Head
from extproc.detectors.injection.assess import Injection
from tools.train.attacks import attacks
from tools.train.corpus import Example
from tools.train.everyday import everyday
from tools.train.head import fit, vectors, worst
from tools.train.vectors import key


def corpus():
    benign = [Example(t, False, k, k.endswith("document"), n % 4 == 0) for t, k, n in everyday(1, 2) if n < 400]
    return benign + [Example(t, True, k, "-in-" in k, n % 4 == 0) for n, (t, k) in enumerate(attacks(1, 2))]


def numbers(examples):
    """Attacks lie on one side, with noise; the second window of each text says nothing."""
    random = np.random.default_rng(1)
    cache = {}
    for example in examples:
        windows = random.normal(size=(2, 2, 4))
        windows[0, :, 0] += 6 if example.attack else -6
        windows[1, :, 0] -= 6
        cache[key(example.text)] = windows.astype(np.float16)
    return cache


def test_fitting_is_reproducible_and_separates_what_it_saw():
    examples = corpus()
    known = vectors(examples, numbers(examples))
    everything = np.ones(len(examples), dtype=bool)
    linear = Injection.load()
    artefact = fit(examples, known, everything, linear, 7)
    assert artefact == fit(examples, known, everything, linear, 7)
    head = Head.read(artefact)
    odds = worst(known, len(examples), *head.layers[0])
    attack = np.array([example.attack for example in examples])
    assert odds[attack].min() > odds[~attack].max()
    assert all(grey.low < grey.high for grey in head.grey)
