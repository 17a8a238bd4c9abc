import pytest

np = pytest.importorskip("numpy", reason="training has its own environment: requirements/train.in")
pytest.importorskip("sklearn")
# ruff: noqa: E402 - what is tested imports both

from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.provenance import Provenance
from tools.train.attacks import attacks
from tools.train.corpus import Example
from tools.train.everyday import everyday
from tools.train.fit import features, fit


def corpus():
    benign = [
        Example(t, False, k, k.endswith("document"), n % 4 == 0)
        for t, k, n in everyday(1, 3)
        if n < 250 or "document" in k
    ]
    return benign + [Example(t, True, k, "-in-" in k, n % 4 == 0) for n, (t, k) in enumerate(attacks(1, 3))]


def test_training_is_reproducible_and_separates_what_it_saw():
    examples = corpus()
    everything = np.ones(len(examples), dtype=bool)
    first, again = (fit(examples, features(examples), everything, 7) for _ in range(2))
    assert first == again
    model = Injection.read(first)
    scores = {True: [], False: []}
    for example in examples:
        scores[example.attack].append(model.assess(example.text, Provenance.USER).score)
    assert np.median(scores[True]) > 0.9
    assert np.median(scores[False]) < 0.2


def test_what_is_not_allowed_leaves_no_trace():
    examples = corpus()
    some = np.array([number % 2 == 0 for number in range(len(examples))])
    chosen = [example for example, used in zip(examples, some, strict=True) if used]
    alone = fit(chosen, features(chosen), np.ones(len(chosen), dtype=bool), 7)
    assert alone == fit(examples, features(examples), some, 7)
