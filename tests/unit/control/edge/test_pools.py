"""What Envoy is told about pools: each backend once, failures before the first byte only, and nothing without one."""

from dataclasses import replace

import pytest
import yaml

from control.edge.render import render
from edge_rendered import NAMED, PLAIN, SPEC, cluster, http_filter, manager, options, policy
from gateway import contract
from gateway.policy.model import RETRY_ON, Model, Pool, Select
from gateway.policy.walk import walks_of


def rendered(**fields):
    pool = Pool(backends=("plain", "named"), **({"retry_on": frozenset(RETRY_ON), "first_byte_s": 30} | fields))
    model = Model(name="m", backend="plain", pool=pool)
    return yaml.safe_load(render(SPEC, replace(policy(PLAIN, NAMED), models={"m": model}))), list(walks_of(pool))


def route(data, name):
    routes = manager(data)["route_config"]["virtual_hosts"][0]["routes"]
    (found,) = [each for each in routes if each["name"] == name]
    return found


def test_attempt_n_goes_to_backend_n_and_there_is_one_for_each():
    data, (walk,) = rendered()
    found = cluster(data, walk.route)
    assert found["cluster_type"]["typed_config"]["clusters"] == [{"name": "be-plain"}, {"name": "be-named"}]
    assert route(data, walk.route)["route"]["retry_policy"]["num_retries"] == 1
    assert options(found)["http_filters"][0]["name"] == contract.ADAPT_FILTER


def test_every_exchange_may_fail_over_at_once():
    data, (walk,) = rendered()
    (threshold,) = cluster(data, walk.route)["circuit_breakers"]["thresholds"]
    assert threshold["max_retries"] == SPEC.bounds.exchanges


def test_failures_before_the_first_byte_are_retried_and_refusals_are_not():
    data, (walk,) = rendered()
    retries = route(data, walk.route)["route"]["retry_policy"]
    assert retries["retry_on"].split(",") == [
        "connect-failure", "refused-stream", "reset-before-request", "reset", "retriable-status-codes",
    ]  # fmt: skip
    assert retries["retriable_status_codes"] == [429, 500, 502, 503, 504, 529]
    assert retries["per_try_timeout"] == "30s"


@pytest.mark.parametrize(
    ("wanted", "words", "statuses"),
    [
        (set(), [], None),
        ({"429"}, ["retriable-status-codes"], [429]),
        ({"no_answer"}, ["reset"], None),
        ({"5xx"}, ["retriable-status-codes"], [500, 502, 503, 504, 529]),
    ],
)
def test_policy_says_what_is_retried(wanted, words, statuses):
    data, (walk,) = rendered(retry_on=frozenset(wanted))
    retries = route(data, walk.route)["route"]["retry_policy"]
    assert retries["retry_on"].split(",")[3:] == words
    assert retries.get("retriable_status_codes") == statuses


def test_the_stream_outlives_all_of_its_attempts():
    data, (walk,) = rendered(first_byte_s=100)
    assert route(data, walk.route)["route"]["idle_timeout"] == "210s"
    data, (walk,) = rendered(first_byte_s=5)
    assert route(data, walk.route)["route"]["idle_timeout"] == "130s"


def test_each_first_choice_of_a_weighted_pool_has_a_composite():
    data, found = rendered(select=Select.WEIGHTED, weights={"plain": 1, "named": 1})
    assert [walk.backends for walk in found] == [("plain", "named"), ("named", "plain")]
    for walk in found:
        members = cluster(data, walk.route)["cluster_type"]["typed_config"]["clusters"]
        assert members == [{"name": f"be-{name}"} for name in walk.backends]


def test_inspect_learns_who_answered_only_where_it_can_be_several():
    data, _ = rendered()
    told = http_filter(data, contract.INSPECT_FILTER)["response_attributes"]
    assert {contract.ATTR_HOST_METADATA, contract.ATTR_ATTEMPTS} <= set(told)
    alone = http_filter(yaml.safe_load(render(SPEC, policy(PLAIN, NAMED))), contract.INSPECT_FILTER)
    assert not {contract.ATTR_HOST_METADATA, contract.ATTR_ATTEMPTS} & set(alone["response_attributes"])
