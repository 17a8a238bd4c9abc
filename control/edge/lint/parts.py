"""The parts of a bootstrap that rules speak of: extensions, clusters, routes, HTTP managers. Judges nothing."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from control.edge.lint.node import Kind, Node
from gateway import contract

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_VERSIONED: Final = re.compile(r"\.v\d+(?:alpha\d*|beta\d*)?\.")  # "...ext_authz.v3.ExtAuthz": the part before names it
_ROLE_HEADER: Final = "x-ostiary-filter"  # initial metadata that tells the worker which filter is calling
_WRAPPERS_BOUND: Final = 8  # wrappers within wrappers; a longer chain is no honest configuration


def type_name(config: Node) -> str:
    """The message name of an Any, without its host part."""
    return config.get("@type").text.rpartition("/")[2]


def short_name(full: str) -> str:
    """`lua` for the type envoy.extensions.filters.http.lua.v3.Lua and for the name envoy.filters.http.lua."""
    parts = _VERSIONED.split(full, maxsplit=1)
    return parts[0].rpartition(".")[2]


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """A filter or transport socket with its wrappers taken off."""

    node: Node  # the entry in its list; problems about the filter as a whole point here
    name: str
    kind: str  # short name: ext_authz, ext_proc, router …
    type: str
    config: Node
    wrappers: tuple[Node, ...] = ()

    @property
    def grpc(self) -> Node:
        """The gRPC service that it calls."""
        return self.config.get("grpc_service")

    @property
    def service_cluster(self) -> str:
        """The cluster that it calls."""
        return self.grpc.get("envoy_grpc", "cluster_name").text

    @property
    def role(self) -> Node:
        """What the worker is told about this filter."""
        for pair in self.grpc.get("initial_metadata").elements:
            if pair.get("key").text.lower() == _ROLE_HEADER:
                return pair.get("value")
        return self.grpc.get("initial_metadata", "absent")


def extension(node: Node) -> Extension:
    """Read `{name, typed_config}`; TypedStruct, FilterConfig and matcher wrappers are opened."""
    name, config = node.get("name").text, node.get("typed_config")
    wrappers: list[Node] = []
    full = type_name(config)
    for _ in range(_WRAPPERS_BOUND):
        if full.endswith(("type.v3.TypedStruct", "type.v1.TypedStruct")):
            full, config = config.get("type_url").text.rpartition("/")[2], config.get("value")
        elif full.endswith("matching.v3.ExtensionWithMatcher"):
            wrappers.append(config)
            config = config.get("extension_config", "typed_config")
            full = type_name(config)
        elif ".transport_sockets." in full and config.get("transport_socket"):
            # Tap, PROXY protocol and statistics sockets carry the real one inside.
            config = config.get("transport_socket", "typed_config")
            full = type_name(config)
        elif full.endswith("route.v3.FilterConfig"):
            wrappers.append(config)
            config = config.get("config")
            full = type_name(config)
        else:
            break
    return Extension(node, name, short_name(full or name), full, config, tuple(wrappers))


@dataclass(frozen=True, eq=False)  # no slots: what is asked by every rule is cached
class Cluster:
    """An upstream cluster."""

    node: Node
    name: str
    members: tuple[str, ...]  # of a composite or aggregate cluster, in their order
    options: Node  # HttpProtocolOptions
    filters: tuple[Extension, ...]  # upstream HTTP filters

    @property
    def addresses(self) -> Iterator[Node]:
        """The `address` of every endpoint."""
        for locality in self.node.get("load_assignment", "endpoints").elements:
            for entry in locality.get("lb_endpoints").elements:
                yield entry.get("endpoint", "address")

    @property
    def places(self) -> Iterator[tuple[str, str]]:
        """Every endpoint as host and port, or as socket path."""
        for address in self.addresses:
            if address.get("pipe", "path"):
                yield address.get("pipe", "path").text, ""
            elif address.get("socket_address", "address"):
                yield (
                    address.get("socket_address", "address").text.lower(),
                    address.get("socket_address", "port_value").text,
                )

    @cached_property
    def adapt(self) -> Extension | None:
        """Our per-attempt filter."""
        found = [each for each in self.filters if each.kind == "ext_proc"]
        return next((each for each in found if _is(each, contract.ADAPT_FILTER, "adapt")), found[0] if found else None)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One route, with the mappings whose settings it inherits."""

    node: Node
    host: Node
    table: Node  # RouteConfiguration

    @property
    def action(self) -> Node:
        """How it forwards; false for direct responses and redirects."""
        return self.node.get("route")

    @property
    def targets(self) -> Iterator[Node]:
        """Every cluster name that it forwards to."""
        if self.action.get("cluster"):
            yield self.action.get("cluster")
        for weighted in self.action.get("weighted_clusters", "clusters").elements:
            if weighted.get("name"):
                yield weighted.get("name")

    @property
    def levels(self) -> Iterator[Node]:
        """The mappings that may carry header edits and per-route filter settings, widest last."""
        yield from self.action.get("weighted_clusters", "clusters").elements
        yield self.node
        yield self.host
        yield self.table

    @property
    def chosen(self) -> str:
        """The one value that it asks for in the header that `inspect` sets, or nothing."""
        for header in self.node.get("match", "headers").elements:
            if header.get("name").text.lower() == contract.ROUTE_HEADER and not header.get("invert_match").flag:
                return header.get("string_match", "exact").text or header.get("exact_match").text
        return ""

    @property
    def direct(self) -> bool:
        """Whether `inspect` has prepared its only attempt, so that no `adapt` is needed."""
        return self.chosen.startswith(contract.direct_route_of(""))

    @property
    def to_control(self) -> bool:
        """Whether it is one of the routes to our own control plane: exactly its paths, to exactly its cluster."""
        match = self.node.get("match")
        prefix, path = match.get("prefix").text, match.get("path").text
        known = prefix in {contract.OAUTH_PREFIX, contract.ADMIN_PREFIX} or path == contract.METADATA_PATH
        return known and self.action.get("cluster").text == contract.CONTROL_CLUSTER

    @property
    def catch_all(self) -> bool:
        """Matches every path and asks for nothing else."""
        match = self.node.get("match")
        every = match.get("prefix").text == "/" or match.get("safe_regex", "regex").text in {
            ".*",
            "/.*",
            "^.*$",
        }
        conditions = (
            "headers",
            "query_parameters",
            "cookies",
            "grpc",
            "runtime_fraction",
            "dynamic_metadata",
            "filter_state",
        )
        return every and not any(match.get(each) for each in conditions)


@dataclass(frozen=True, eq=False)  # no slots: what is asked by every rule is cached
class Manager:
    """One HTTP connection manager in one filter chain."""

    listener: Node
    chain: Node
    node: Node  # its typed_config
    filters: tuple[Extension, ...]
    tables: tuple[Node, ...]
    routes: tuple[Route, ...]

    @cached_property
    def inspect(self) -> Extension | None:
        """Our body guard: told by name or role, else the first processor in the chain."""
        found = [each for each in self.filters if each.kind == "ext_proc"]
        return next(
            (each for each in found if _is(each, contract.INSPECT_FILTER, "inspect")),
            found[0] if found else None,
        )

    @cached_property
    def authz(self) -> Extension | None:
        """Our identity guard: the check that calls our cluster or that of `inspect`, else the first."""
        found = [each for each in self.filters if each.kind == "ext_authz"]
        inspects = self.inspect.service_cluster if self.inspect else ""
        ours = {contract.AUTHZ_CLUSTER, contract.SIDECAR_CLUSTER, inspects} - {""}
        return next((each for each in found if each.service_cluster in ours), found[0] if found else None)

    @cached_property
    def guards(self) -> tuple[Extension, ...]:
        """Those of the two that are there."""
        return tuple(each for each in (self.authz, self.inspect) if each is not None)

    def before(self, guard: Extension | None) -> tuple[Extension, ...]:
        """Filters ahead of `guard`; all of them when it is absent."""
        return self.filters[: self.filters.index(guard)] if guard in self.filters else self.filters

    def after(self, guard: Extension | None) -> tuple[Extension, ...]:
        """Filters behind `guard`; none when it is absent."""
        return self.filters[self.filters.index(guard) + 1 :] if guard in self.filters else ()


def _is(found: Extension, name: str, role: str) -> bool:
    return found.name == name or found.role.text == role


def cluster(node: Node) -> Cluster:
    """Read one entry of static_resources.clusters."""
    options = node.get("typed_extension_protocol_options", _HTTP_OPTIONS)
    members = extension(node.get("cluster_type")).config.get("clusters").elements
    names = tuple(each.text or each.get("name").text for each in members)
    filters = tuple(extension(each) for each in options.get("http_filters").elements)
    return Cluster(node, node.get("name").text, names, options, filters)


def chains(listener: Node) -> tuple[Node, ...]:
    """The filter chains of a listener, the default one last."""
    default = listener.get("default_filter_chain")
    return (*listener.get("filter_chains").elements, *((default,) if default else ()))


def managers(listeners: Iterable[Node]) -> Iterator[Manager]:
    """Every HTTP connection manager of these listeners."""
    for listener in listeners:
        for chain in chains(listener):
            for each in chain.get("filters").elements:
                found = extension(each)
                if found.kind == "http_connection_manager":
                    yield _manager(listener, chain, found.config)


def _manager(listener: Node, chain: Node, config: Node) -> Manager:
    scoped = config.get("scoped_routes", "scoped_route_configurations_list", "scoped_route_configurations").elements
    tables = tuple(
        each for each in (config.get("route_config"), *(one.get("route_configuration") for one in scoped)) if each
    )
    routes = tuple(
        Route(route, host, table)
        for table in tables
        for host in table.get("virtual_hosts").elements
        for route in (*host.get("routes").elements, *_matched(host.get("matcher")))
    )
    filters = tuple(extension(each) for each in config.get("http_filters").elements)
    return Manager(listener, chain, config, filters, tables, routes)


def _matched(matcher: Node) -> Iterator[Node]:
    """Routes that hang in a matcher tree instead of a list."""
    for node in matcher.walk():
        if node.kind is Kind.MAPPING and type_name(node).endswith("config.route.v3.Route"):
            yield node
        elif node.kind is Kind.MAPPING and type_name(node).endswith("config.route.v3.RouteList"):
            yield from node.get("routes").elements
