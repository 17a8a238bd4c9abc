"""What Envoy is told about mirrors: a socket for copies, clusters that no request takes, and nothing without a mirror."""

from dataclasses import replace

import pytest
import yaml

from control.edge.lint.engine import lint
from control.edge.render import render
from edge_rendered import NAMED, PLAIN, SPEC, cluster, manager, options, policy
from gateway import contract
from gateway.policy.copies import Mirror
from gateway.policy.model import Model, Pool


def text(*mirrors):
    models = {
        f"m{at}": Model(name=f"m{at}", backend="plain", pool=Pool(backends=("plain",), mirror=each))
        for at, each in enumerate(mirrors)
    }
    return render(SPEC, replace(policy(PLAIN, NAMED), models=models))


MIRRORED = text(Mirror(backend="named", percent=5), Mirror(backend="named", percent=0))


def copies(data):
    return data["static_resources"]["listeners"][1]


def test_a_policy_without_a_mirror_renders_as_it_did():
    bare = render(SPEC, policy(PLAIN, NAMED))
    assert text(None) == bare
    assert len(yaml.safe_load(bare)["static_resources"]["listeners"]) == 1


def test_copies_come_by_a_socket_that_no_stranger_opens():
    found = copies(yaml.safe_load(MIRRORED))
    assert found["address"] == {"pipe": {"path": f"/run/o/{contract.MIRROR_SOCKET}", "mode": 0o660}}


def test_each_mirror_has_one_route_and_all_else_is_refused():
    chain = copies(yaml.safe_load(MIRRORED))["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = chain["route_config"]["virtual_hosts"]
    route, refusal = host["routes"]
    name = contract.mirror_route_of("named")
    assert route["match"]["headers"] == [{"name": contract.ROUTE_HEADER, "string_match": {"exact": name}}]
    assert route["request_headers_to_remove"] == [contract.ROUTE_HEADER, "x-forwarded-proto"]
    assert (route["route"]["cluster"], route["route"]["host_rewrite_literal"]) == (name, "llm.example")
    assert "retry_policy" not in route["route"]
    assert refusal["direct_response"]["status"] == 503
    assert [each["name"] for each in chain["http_filters"]] == ["envoy.filters.http.router"]
    assert chain["skip_xff_append"] is True


def test_a_mirror_has_connections_and_a_breaker_of_its_own():
    data = yaml.safe_load(MIRRORED)
    own, shared = cluster(data, contract.mirror_route_of("named")), cluster(data, "be-named")
    assert own["circuit_breakers"]["thresholds"][0]["max_requests"] == 16 * SPEC.workers
    assert own["transport_socket"] == shared["transport_socket"]
    assert options(own) == options(shared)
    routed = {each["route"]["cluster"] for host in manager(data)["route_config"]["virtual_hosts"]
              for each in host["routes"] if "route" in each}  # fmt: skip
    assert own["name"] not in routed


def _open(listener):
    listener["address"]["pipe"]["mode"] = 0o666


def _default_mode(listener):
    del listener["address"]["pipe"]["mode"]


def _network(listener):
    listener["address"] = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}


def _elsewhere(listener):
    listener["address"]["pipe"]["path"] = "/run/o/egress.sock"


def _to_a_backend(listener):
    routes = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    routes[0]["route"]["cluster"] = "be-named"


def test_the_linter_takes_it_for_what_it_is():
    assert lint(MIRRORED) == []


@pytest.mark.parametrize("change", [_open, _default_mode, _network, _elsewhere, _to_a_backend])
def test_the_linter_refuses_one_that_strangers_could_use(change):
    data = yaml.safe_load(MIRRORED)
    change(copies(data))
    assert "chain.unguarded-path" in {each.rule for each in lint(yaml.safe_dump(data, sort_keys=False))}


def test_the_linter_judges_the_tls_of_mirrors_too():
    data = yaml.safe_load(MIRRORED)
    del cluster(data, contract.mirror_route_of("named"))["transport_socket"]["typed_config"]["common_tls_context"][
        "validation_context"
    ]
    assert [each.rule for each in lint(yaml.safe_dump(data, sort_keys=False))]
