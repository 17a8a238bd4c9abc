"""The proof of `lowest_latency`: a seeded simulation, against an oracle that knows how fast each backend is."""

import pytest

from racing import Course, Race, changes, steady

LENGTH_S = 240.0
FAST = 0.3

SCENARIOS = {
    "steady": ({"a": steady(0.8), "b": steady(0.5), "c": steady(2.0)}, 0.2),
    "one degrades": ({"a": changes(FAST, 3.0, LENGTH_S / 2), "b": steady(0.6)}, 0.3),
    "one recovers": ({"a": changes(3.0, FAST, LENGTH_S / 3), "b": steady(0.6)}, 0.3),
    "noisy": ({"a": steady(1.0), "b": steady(1.3), "c": steady(1.8)}, 0.6),
    "one says 429 for a while": (
        {"a": Course(lambda _: 0.5, lambda at: 1.0 if LENGTH_S / 3 < at < LENGTH_S / 2 else 0.0), "b": steady(1.0)},
        0.3,
    ),
    "one fails now and then": ({"a": Course(lambda _: 0.5, lambda _: 0.01), "b": steady(1.0)}, 0.3),
}


@pytest.mark.parametrize("tenants", [1, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_mean_time_is_within_ten_percent_of_the_oracles(scenario, seed, tenants):
    courses, noise = SCENARIOS[scenario]
    race = Race(courses, per_s=20.0, length_s=LENGTH_S, noise=noise, seed=seed, tenants=tenants)
    mean_s, oracle_s = race.run()
    assert mean_s <= 1.10 * oracle_s


def test_a_share_of_requests_that_is_bounded_goes_elsewhere():
    race = Race({"a": steady(0.5), "b": steady(5.0)}, per_s=20.0, length_s=LENGTH_S, noise=0.2)
    race.run()
    assert 0 < race.chosen["b"] <= 0.03 * sum(race.chosen.values())


def test_one_that_recovered_is_asked_again():
    race = Race({"a": changes(3.0, FAST, LENGTH_S / 3), "b": steady(0.6)}, per_s=5.0, length_s=LENGTH_S, noise=0.3)
    race.run()
    assert race.late["a"] > 0.9 * sum(race.late.values())


def test_one_that_hangs_gets_few_requests():
    race = Race({"a": changes(FAST, 60.0, LENGTH_S / 2), "b": steady(0.6)}, per_s=20.0, length_s=LENGTH_S, noise=0.3)
    race.run()
    assert race.late["a"] < 0.01 * sum(race.late.values())
