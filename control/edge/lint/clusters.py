"""Rules about upstream clusters: the sidecar's, which must be private and fail over, and the providers'."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.node import Node
from control.edge.lint.parts import Cluster, extension
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey

#: Measured on Envoy 1.40: with these a slow reader costs Envoy 3 MiB, with the defaults 32 MiB.
STREAM_WINDOW_BYTES: Final = 64 * 1024
CONNECTION_WINDOW_BYTES: Final = 64 * STREAM_WINDOW_BYTES  # as many full streams as one connection should carry
SIDECAR_BUFFER_BYTES: Final = 64 * 1024
_DISCOVERY: Final = ("STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST")


def is_loopback(address: str) -> bool:
    """A literal loopback address; a name could resolve to anything."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def has_tls(cluster: Cluster) -> bool:
    """Whether its connections are encrypted."""
    return extension(cluster.node.get("transport_socket")).type.endswith("UpstreamTlsContext")


def _remote(cluster: Cluster) -> Iterator[Node]:
    """Endpoints that are neither a UNIX socket nor inside Envoy."""
    for address in cluster.addresses:
        if address.get("socket_address"):
            yield address.get("socket_address")


@rule(
    "sidecar.not-private",
    ERROR,
    why="Whoever can open a worker's socket can play Envoy and forge tenants.",
    remedy="List the workers' UNIX sockets in a 0750 directory (pipe.path), or use TLS with client certificates.",
)
def _not_private(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.sidecars:
        if not has_tls(cluster):
            yield from (Hit(address, "a worker is reached over TCP without TLS") for address in _remote(cluster))
        for path in (address.get("pipe", "path") for address in cluster.addresses):
            if path.text.startswith("@"):
                yield Hit(path, "an abstract socket has no owner and no permissions")


@rule(
    "sidecar.windows",
    WARNING,
    why="With Envoy's HTTP/2 windows one slow reader costs 32 MiB, and as much is read ahead and billed.",
    remedy=(
        f"Set initial_stream_window_size to {STREAM_WINDOW_BYTES} and initial_connection_window_size to "
        f"{CONNECTION_WINDOW_BYTES} in explicit_http_config.http2_protocol_options."
    ),
)
def _windows(survey: Survey) -> Iterator[Hit]:
    bounds = {
        "initial_stream_window_size": STREAM_WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }
    for cluster in survey.front_sidecars:
        for name, bound in bounds.items():
            window = cluster.options.get("explicit_http_config", "http2_protocol_options", name)
            if not 0 < (quantity.number(window) or 0) <= bound:
                yield Hit(window if cluster.options else cluster.node, f"{name} is absent or above {bound}")


@rule(
    "sidecar.buffer",
    WARNING,
    why="Envoy's default of 1 MiB per connection adds to what a slow reader pins.",
    remedy=f"Set per_connection_buffer_limit_bytes of the cluster that inspect calls to {SIDECAR_BUFFER_BYTES}.",
)
def _buffer(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.front_sidecars:
        limit = cluster.node.get("per_connection_buffer_limit_bytes")
        if not 0 < (quantity.number(limit) or 0) <= SIDECAR_BUFFER_BYTES:
            yield Hit(limit, f"the sidecar's buffer limit is absent or above {SIDECAR_BUFFER_BYTES}")


@rule(
    "sidecar.health-checks",
    ERROR,
    why=("A hung worker accepts and never answers; a full-duplex stream has no message timeout that would notice."),
    remedy="Add health_checks with grpc_health_check.",
)
def _health_checks(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.sidecars:
        if not any(each.get("grpc_health_check") for each in cluster.node.get("health_checks").elements):
            yield Hit(cluster.node.get("health_checks"), "the sidecar cluster has no gRPC health check")


@rule(
    "sidecar.outlier-detection",
    WARNING,
    why="A dead socket keeps its share of requests until the next health check.",
    remedy=(
        "Add outlier_detection with split_external_local_origin_errors: true and consecutive_local_origin_failure: 1."
    ),
)
def _outlier_detection(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.sidecars:
        place = cluster.node.get("outlier_detection", "split_external_local_origin_errors")
        if not place.flag:
            yield Hit(place, "failed connections do not eject a worker")


@rule(
    "sidecar.keeps-dead-streams",
    WARNING,
    why="Streams of a worker that has become unhealthy stay open, silent, until the client gives up.",
    remedy="Set close_connections_on_host_health_failure: true.",
)
def _keeps_dead_streams(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.sidecars:
        place = cluster.node.get("close_connections_on_host_health_failure")
        if not place.flag:
            yield Hit(place, "close_connections_on_host_health_failure is not true")


@rule(
    "clusters.panic-threshold",
    WARNING,
    why=("Under half healthy, Envoy uses unhealthy hosts too: ejected backends and dead workers get requests again."),
    remedy="Set common_lb_config.healthy_panic_threshold.value: 0.",
)
def _panic_threshold(survey: Survey) -> Iterator[Hit]:
    for cluster in (*survey.sidecars, *survey.backends):
        threshold = cluster.node.get("common_lb_config", "healthy_panic_threshold")
        # An empty Percent is 0; an absent one is 50 %.
        if not threshold or quantity.number(threshold.get("value")) not in {0, None}:
            yield Hit(threshold.get("value"), "healthy_panic_threshold is not 0")


@rule(
    "sidecar.merge-window",
    WARNING,
    why="News of workers are held back for up to a second: one that died meanwhile gets every request.",
    remedy="Set common_lb_config.update_merge_window: 0s.",
)
def _merge_window(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.sidecars:
        place = cluster.node.get("common_lb_config", "update_merge_window")
        if quantity.seconds(place) != 0:  # left out, it is one second
            yield Hit(place, "update_merge_window is not 0")


@rule(
    "clusters.circuit-breakers",
    WARNING,
    why="The default of 1,024 requests is reached by open streams, and decides silently who gets 503.",
    remedy="Set circuit_breakers.thresholds.max_requests to what the cluster can carry.",
)
def _circuit_breakers(survey: Survey) -> Iterator[Hit]:
    for cluster in (*survey.sidecars, *survey.backends):
        thresholds = cluster.node.get("circuit_breakers", "thresholds")
        if not any(quantity.number(each.get("max_requests")) for each in thresholds.elements):
            yield Hit(thresholds, "max_requests is not set")


@rule(
    "backend.client-chosen-host",
    ERROR,
    why="The request decides where Envoy connects: prompts and credentials can be sent to any host.",
    remedy="List the provider's endpoints; use no ORIGINAL_DST cluster and no dynamic forward proxy.",
)
def _client_chosen_host(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.backends:
        kind = extension(cluster.node.get("cluster_type")).kind
        if quantity.choice(cluster.node.get("type"), *_DISCOVERY) == "ORIGINAL_DST":
            yield Hit(cluster.node.get("type"), "an ORIGINAL_DST cluster serves governed routes")
        elif kind in {"dynamic_forward_proxy", "original_dst"}:
            yield Hit(
                cluster.node.get("cluster_type"),
                "a cluster whose hosts the request chooses serves governed routes",
            )


@rule(
    "backend.plaintext",
    ERROR,
    why="Prompts, answers and the provider's key cross the network in clear.",
    remedy="Give the cluster a transport_socket with UpstreamTlsContext.",
)
def _plaintext(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.backends:
        if not has_tls(cluster) and not cluster.node.get("transport_socket_matches").elements:
            for address in _remote(cluster):
                if not is_loopback(address.get("address").text):
                    yield Hit(address, "a provider is reached without TLS")
