"""The route table: exact matches, and a refusal for everything else."""

from dataclasses import replace

from edge_rendered import LITERAL, NAMED, PLAIN, SPEC, manager, rendered
from gateway import contract


def test_only_an_exact_route_header_reaches_a_backend_and_the_last_route_refuses():
    routes = manager(rendered())["route_config"]["virtual_hosts"][0]["routes"]
    *chosen, tunnel, last = routes
    for route in chosen:
        matcher = route["match"]["headers"]
        assert matcher == [{"name": contract.ROUTE_HEADER, "string_match": {"exact": route["name"]}}]
        assert contract.ROUTE_HEADER in route["request_headers_to_remove"]
        assert route["route"]["timeout"] == "0s"
        assert "5xx" not in route["route"]["retry_policy"]["retry_on"]
    assert {route["name"] for route in chosen} >= {contract.route_of(b.name) for b in (PLAIN, NAMED, LITERAL)}
    assert "connect_matcher" in tunnel["match"]
    assert tunnel["direct_response"] == {"status": 403}
    assert last == {"name": "refused", "match": {"prefix": "/"}, "direct_response": {"status": 503}}


def test_a_host_that_is_not_served_has_a_route_of_refusal_so_that_authz_is_asked():
    hosts = manager(rendered(replace(SPEC, hosts=("gateway.example",))))["route_config"]["virtual_hosts"]
    assert [host["domains"] for host in hosts] == [["gateway.example"], ["*"]]
    assert [route["direct_response"]["status"] for route in hosts[1]["routes"]] == [404]
    assert len(manager(rendered(replace(SPEC, hosts=("*",))))["route_config"]["virtual_hosts"]) == 1
