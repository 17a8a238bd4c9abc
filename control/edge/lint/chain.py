"""Rules about what else stands in the filter chains, and about ways around them."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint.node import Kind, Node
from control.edge.lint.parts import Extension, chains, extension, short_name
from control.edge.lint.rule import ERROR, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract

_CODE: Final = frozenset({"lua", "wasm", "golang", "dynamic_modules"})
_COMPRESSION: Final = frozenset({"compressor", "decompressor", "gzip"})
_CACHE: Final = frozenset({"cache", "cache_v2"})
#: Filters that may stand between authz and the router: they refuse or count, and change nothing.
_HARMLESS: Final = frozenset(
    {
        "rbac",
        "local_ratelimit",
        "ratelimit",
        "rate_limit_quota",
        "adaptive_concurrency",
        "admission_control",
        "bandwidth_limit",
        "bandwidth_share",
        "grpc_stats",
        "stateful_session",
        "buffer",
        "router",
    },
)
_JUDGED_ELSEWHERE: Final = _CODE | _COMPRESSION | _CACHE | {"ext_authz", "ext_proc", "tap"}


def _extensions(survey: Survey) -> Iterator[tuple[str, Node]]:
    """The short name and place of everything in the file that names an extension type."""
    for key, value in survey.root.walk_entries():
        if value.kind is Kind.SCALAR and key in {"@type", "type_url", "typeUrl"}:
            yield short_name(value.text.rpartition("/")[2]), value


@rule(
    "chain.unguarded-path",
    ERROR,
    why="It is a way around the gateway: no identity, no inspection, no budget, no record.",
    remedy="Remove the route, or give its chain the same ext_authz and inspect filters.",
)
def _unguarded_path(survey: Survey) -> Iterator[Hit]:
    governed = survey.governed_names
    for manager in (each for each in survey.bare if each not in set(survey.mirrors)):
        for route in manager.routes:
            yield from (
                Hit(target, "a chain without guards routes to a governed cluster")
                for target in route.targets
                if target.text in governed
            )
            if route.action.get("cluster_header"):
                yield Hit(route.action.get("cluster_header"), "a chain without guards lets clients name any cluster")


@rule(
    "chain.raw-proxy",
    ERROR,
    why="Bytes are forwarded without a look inside; on the sidecar's sockets they could forge any decision.",
    remedy="Remove the filter, or point it at a cluster that no governed route uses.",
)
def _raw_proxy(survey: Survey) -> Iterator[Hit]:
    names = survey.governed_names | survey.sidecar_names | survey.control_names
    for listener in survey.listeners:
        entries = [each for chain in chains(listener) for each in chain.get("filters").elements]
        for entry in (*entries, *listener.get("listener_filters").elements):
            if extension(entry).kind != "http_connection_manager":
                for node in entry.get("typed_config").walk():
                    if node.text in names:
                        yield Hit(node, "a network filter other than the HTTP manager reaches a governed cluster")


@rule(
    "chain.after-router",
    ERROR,
    why="The router ends the chain: what stands behind it never sees a request.",
    remedy="Make envoy.filters.http.router the last filter.",
)
def _after_router(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        router = next((each for each in manager.filters if each.kind == "router"), None)
        yield from (
            Hit(each.node, "a guard stands after the router")
            for each in manager.after(router)
            if each in manager.guards
        )


@rule(
    "chain.late-filter",
    ERROR,
    why=(
        "Behind authz a filter can change what was identified or judged; between inspect and the router, "
        "also the answer."
    ),
    remedy="Move the filter before ext_authz, or remove it.",
)
def _late_filter(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for each in manager.after(manager.authz):
            if each not in manager.guards and each.kind not in _HARMLESS | _JUDGED_ELSEWHERE:
                yield Hit(each.node, f"the filter {_shown(each)} stands between ext_authz and the router")
            for late in map(extension, each.config.get("upstream_http_filters").elements):
                if late.kind not in _JUDGED_ELSEWHERE | {"upstream_codec"}:
                    yield Hit(late.node, f"the router runs the filter {_shown(late)} on every attempt")


@rule(
    "chain.foreign-processor",
    ERROR,
    why="Another processor can read and rewrite what the guards have judged, in both directions.",
    remedy="Remove the further ext_proc filter from the governed chain.",
)
def _foreign_processor(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for each in manager.filters:
            if each.kind == "ext_proc" and each is not manager.inspect:
                yield Hit(each.node, "a further ext_proc filter stands in a governed chain")


@rule(
    "chain.code-filter",
    ERROR,
    why="Custom code in the proxy can read keys and prompts, and change requests after they were judged.",
    remedy="Remove Lua, Wasm, Go and dynamic module extensions; write policy rules instead.",
)
def _code_filter(survey: Survey) -> Iterator[Hit]:
    for name, place in _extensions(survey):
        if name in _CODE:
            yield Hit(place, f"the file loads a {name} extension")


@rule(
    "chain.tap-filter",
    ERROR,
    why="Whole requests, with keys and prompts, can be copied to a file or to Envoy's admin.",
    remedy="Remove the HTTP tap filter.",
)
def _tap_filter(survey: Survey) -> Iterator[Hit]:
    for key, value in survey.root.walk_entries():
        if key in {"@type", "type_url", "typeUrl"} and ".filters.http.tap." in value.text:
            yield Hit(value, "an HTTP tap filter is configured")


@rule(
    "chain.compression",
    ERROR,
    why=("Compressed bytes cannot be judged, and a decompressor behind authz turns small bodies into large ones."),
    remedy="Remove compressor and decompressor filters behind ext_authz.",
)
def _compression(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for each in manager.after(manager.authz):
            if each.kind in _COMPRESSION:
                yield Hit(each.node, f"a {each.kind} filter stands behind ext_authz")


@rule(
    "chain.cache",
    ERROR,
    why="An HTTP cache answers one tenant with another tenant's completion, unrecorded.",
    remedy="Remove the cache filter; the gateway's own cache is keyed by tenant and policy.",
)
def _cache(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for each in manager.filters:
            if each.kind in _CACHE:
                yield Hit(each.node, "an HTTP cache filter stands in a governed chain")


@rule(
    "chain.forged-metadata",
    ERROR,
    why=("inspect and adapt believe these namespaces: who writes them chooses the tenant or the allowed backends."),
    remedy=f"Write to another namespace than {contract.AUTHZ_NAMESPACE} and {contract.OSTIARY_NAMESPACE}.",
)
def _forged_metadata(survey: Survey) -> Iterator[Hit]:
    believed = {contract.AUTHZ_NAMESPACE, contract.OSTIARY_NAMESPACE}
    for manager in survey.governed:
        for each in manager.filters:
            if each in manager.guards:
                continue
            for key, value in each.config.walk_entries():
                if key in {"metadata_namespace", "metadataNamespace", "namespace"} and value.text in believed:
                    yield Hit(value, "a filter writes a metadata namespace of the gateway")


@rule(
    "chain.upgrade",
    ERROR,
    why="After an upgrade (WebSocket, CONNECT) bytes flow both ways past the guards.",
    remedy="Remove upgrade_configs and allow_connect.",
)
def _upgrade(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        places = [manager.node, *(route.action for route in manager.routes)]
        for place in places:
            for each in place.get("upgrade_configs").elements:
                if each.get("enabled").flag is not False:
                    yield Hit(each, "protocol upgrades are allowed")
        for options in ("http2_protocol_options", "http3_protocol_options"):
            for name in ("allow_connect", "allow_extended_connect"):
                if manager.node.get(options, name).flag:
                    yield Hit(manager.node.get(options, name), f"{name} is on")


def _shown(each: Extension) -> str:
    """A name that is safe to print: kinds come from type names, which are no secrets, but may be long."""
    return each.kind[:40] if each.kind.isidentifier() else "of an unknown type"
