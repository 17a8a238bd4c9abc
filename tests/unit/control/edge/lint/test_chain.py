"""Rules about filter chains and ways around them, each against one edit of the reference."""

import pytest

from control.edge.lint import chain
from weakened import (
    AUTHZ_FILTER,
    CHAIN,
    FILTERS,
    HCM,
    INSPECT_FILTER,
    LISTENERS,
    ROUTE,
    Case,
    append,
    at,
    check,
    cluster,
    filter_entry,
    insert,
    move,
    problems_after,
    put,
    rules_of,
    typed,
)

ROUTER = (*INSPECT_FILTER[:-1], INSPECT_FILTER[-1] + 1)
FIRST = (*FILTERS, 0)
LUA = filter_entry("lua", "lua.v3.Lua", default_source_code={"inline_string": "function envoy_on_request(h) end"})
COMPRESSOR = filter_entry(
    "gz",
    "compressor.v3.Compressor",
    compressor_library={"name": "g", "typed_config": typed("compression.gzip.compressor.v3.Gzip")},
)
CACHE = filter_entry(
    "cache", "cache.v3.CacheConfig", typed_config=typed("http.cache.simple_http_cache.v3.SimpleHttpCacheConfig")
)
METADATA = filter_entry(
    "h2m",
    "header_to_metadata.v3.Config",
    request_rules=[
        {
            "header": "x-t",
            "on_header_present": {
                "metadata_namespace": "envoy.filters.http.ext_authz",
                "key": "tenant",
                "type": "STRING",
            },
        }
    ],
)
SECOND_PROCESSOR = filter_entry(
    "dlp", "ext_proc.v3.ExternalProcessor", grpc_service={"envoy_grpc": {"cluster_name": "be-local"}}
)
MUTATION = filter_entry("mutate", "header_mutation.v3.HeaderMutation", mutations={})
TAP = filter_entry("tap", "tap.v3.Tap", common_config={"admin_config": {"config_id": "t"}})
RBAC = filter_entry("rbac", "rbac.v3.RBAC")


def listener(*filters, port=9000):
    """A further listener on loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": "side", "address": address, "filter_chains": [{"filters": list(filters)}]}


def manager(*routes):
    """A connection manager without guards."""
    return {
        "name": "hcm",
        "typed_config": typed(
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="side",
            route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": list(routes)}]},
            http_filters=[filter_entry("router", "router.v3.Router")],
        ),
    }


TCP = {
    "name": "tcp",
    "typed_config": typed("filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="t", cluster="ostiary_sidecar"),
}
IN_LISTENER = ("filter_chains", 0, "filters", 0, "typed_config")
IN_ROUTE = (*IN_LISTENER, "route_config", "virtual_hosts", 0, "routes", 0, "route")


def _twin(changed):
    """Another name for the address of a governed backend."""
    backend = at(changed, cluster("be-local"))
    changed["static_resources"]["clusters"].append(dict(backend, name="direct"))
    side = listener(manager({"match": {"prefix": "/"}, "route": {"cluster": "direct"}}))
    return append(LISTENERS, side, inside=(*IN_ROUTE, "cluster"))(changed)


CASES = [
    Case(
        "chain.unguarded-path",
        append(
            LISTENERS,
            listener(manager({"match": {"prefix": "/"}, "route": {"cluster": "oc-local"}})),
            inside=(*IN_ROUTE, "cluster"),
        ),
        "to a composite",
    ),
    Case(
        "chain.unguarded-path",
        append(
            LISTENERS,
            listener(manager({"match": {"prefix": "/"}, "route": {"cluster": "be-local"}})),
            inside=(*IN_ROUTE, "cluster"),
        ),
        "to a backend below it",
    ),
    Case(
        "chain.unguarded-path",
        append(
            LISTENERS,
            listener(manager({"match": {"prefix": "/"}, "route": {"cluster_header": "x-to"}})),
            inside=(*IN_ROUTE, "cluster_header"),
        ),
        "by header",
    ),
    Case("chain.unguarded-path", _twin, "to a cluster with the same endpoint"),
    Case("chain.raw-proxy", append(LISTENERS, listener(TCP), inside=(*IN_LISTENER, "cluster"))),
    Case("chain.after-router", move(INSPECT_FILTER, ROUTER[-1])),
    Case("chain.late-filter", insert(INSPECT_FILTER, MUTATION), "before inspect"),
    Case("chain.late-filter", insert(ROUTER, MUTATION), "after inspect"),
    Case(
        "chain.late-filter",
        append((*ROUTER, "typed_config", "upstream_http_filters"), MUTATION),
        "in the router",
    ),
    Case("chain.foreign-processor", insert(ROUTER, SECOND_PROCESSOR)),
    Case("chain.foreign-processor", insert(AUTHZ_FILTER, SECOND_PROCESSOR), "before authz"),
    Case("chain.code-filter", insert(FIRST, LUA, inside=("typed_config", "@type")), "even first"),
    Case(
        "chain.code-filter",
        insert(
            (*CHAIN, "filters", 0),
            {
                "name": "w",
                "typed_config": {
                    "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                    "type_url": "x/envoy.extensions.filters.network.wasm.v3.Wasm",
                    "value": {},
                },
            },
            inside=("typed_config", "type_url"),
        ),
        "in a TypedStruct",
    ),
    Case("chain.tap-filter", insert(FIRST, TAP, inside=("typed_config", "@type"))),
    Case("chain.compression", insert(ROUTER, COMPRESSOR)),
    Case("chain.cache", insert(FIRST, CACHE)),
    Case(
        "chain.forged-metadata",
        insert(FIRST, METADATA, inside=("typed_config", "request_rules", 0, "on_header_present", "metadata_namespace")),
    ),
    Case("chain.upgrade", append((*HCM, "upgrade_configs"), {"upgrade_type": "websocket"})),
    Case("chain.upgrade", append((*ROUTE, "route", "upgrade_configs"), {"upgrade_type": "CONNECT"}), "on a route"),
    Case("chain.upgrade", put((*HCM, "http2_protocol_options", "allow_connect"), True), "by extended CONNECT"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_way_around_the_guards_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(chain)


@pytest.mark.parametrize(
    "edit",
    [
        insert(FIRST, COMPRESSOR),
        insert(INSPECT_FILTER, RBAC),
        insert(FIRST, MUTATION),
        append(LISTENERS, listener(manager({"match": {"prefix": "/"}, "direct_response": {"status": 200}}))),
    ],
    ids=["compression before authz", "a filter that only refuses", "early mutation", "a listener that only answers"],
)
def test_a_safe_addition_is_not_told(edit):
    assert problems_after(edit) == []


def test_without_any_guard_every_chain_must_hold():
    def edit(changed):
        for name in ("ext_proc", "ext_authz"):
            for place in (
                changed["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"],
            ):
                place["http_filters"] = [
                    each for each in place["http_filters"] if name not in each["typed_config"]["@type"]
                ]
        return ()

    assert {"authz.missing", "inspect.missing"} <= {each.rule for each in problems_after(edit)}
