"""The HTTP filters: order, modes, and that each fails closed."""

from edge_rendered import adapt, http_filter, manager, rendered
from gateway import contract


def test_filters_stand_in_the_order_that_keeps_strangers_cheap():
    names = [f["name"] for f in manager(rendered())["http_filters"]]
    assert names == [
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.local_ratelimit",
        "envoy.filters.http.buffer",
        contract.AUTHZ_NAMESPACE,
        contract.INSPECT_FILTER,
        "envoy.filters.http.router",
    ]


def test_every_guard_fails_closed_and_says_so():
    data = rendered()
    for guard in (http_filter(data, contract.AUTHZ_NAMESPACE), http_filter(data, contract.INSPECT_FILTER), adapt(data)):
        assert guard["failure_mode_allow"] is False
        assert guard["grpc_service"]["retry_policy"]["retry_on"] == "connect-failure,reset,refused-stream,unavailable"


def test_modes_are_those_of_the_design():
    data = rendered()
    inspect = http_filter(data, contract.INSPECT_FILTER)
    assert inspect["processing_mode"] == {
        "request_header_mode": "SEND",
        "request_body_mode": "BUFFERED",
        "request_trailer_mode": "SEND",
        "response_header_mode": "SEND",
        "response_body_mode": "FULL_DUPLEX_STREAMED",
        "response_trailer_mode": "SEND",
    }
    assert inspect["allow_mode_override"] is False
    # A body mode that is not named is NONE.
    assert adapt(data)["processing_mode"] == {
        "request_header_mode": "SEND",
        "request_trailer_mode": "SKIP",
        "response_header_mode": "SKIP",
        "response_trailer_mode": "SKIP",
    }
    assert adapt(data)["allow_mode_override"] is True


def test_each_filter_tells_the_worker_which_one_it_is():
    data = rendered()
    assert http_filter(data, contract.INSPECT_FILTER)["grpc_service"]["initial_metadata"] == [
        {"key": "x-ostiary-filter", "value": "inspect"}
    ]
    assert adapt(data)["grpc_service"]["initial_metadata"] == [{"key": "x-ostiary-filter", "value": "adapt"}]


def test_owned_headers_of_clients_are_gone_before_any_filter():
    (mutation,) = manager(rendered())["early_header_mutation_extensions"]
    removed = [m["remove_on_match"]["key_matcher"]["prefix"] for m in mutation["typed_config"]["mutations"]]
    assert removed == list(contract.OWNED_PREFIXES)
