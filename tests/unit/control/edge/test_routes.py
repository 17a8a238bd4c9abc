"""The route table: exact matches, and a refusal for everything else."""

from edge_rendered import LITERAL, NAMED, PLAIN, manager, rendered

from gateway import contract


def test_only_an_exact_route_header_reaches_a_backend_and_the_last_route_refuses():
    routes = manager(rendered())["route_config"]["virtual_hosts"][0]["routes"]
    *chosen, last = routes
    for route in chosen:
        matcher = route["match"]["headers"]
        assert matcher == [{"name": contract.ROUTE_HEADER, "string_match": {"exact": route["name"]}}]
        assert contract.ROUTE_HEADER in route["request_headers_to_remove"]
        assert route["route"]["timeout"] == "0s"
        assert "5xx" not in route["route"]["retry_policy"]["retry_on"]
    assert {route["name"] for route in chosen} >= {contract.route_of(b.name) for b in (PLAIN, NAMED, LITERAL)}
    assert last == {"name": "refused", "match": {"prefix": "/"}, "direct_response": {"status": 503}}
