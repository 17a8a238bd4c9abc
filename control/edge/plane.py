"""The way to our own control plane: its routes and its cluster. It is asked itself, so authz and `inspect` are not."""

from collections.abc import Iterator
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterLbPolicy,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    Http1ProtocolOptions,
    Pipe,
)
from envoy_data_plane.envoy.config.core.v3 import HttpProtocolOptions as CommonOptions
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.route.v3 import (
    RetryPolicy,
    RetryPolicyRetryBackOff,
    Route,
    RouteAction,
    RouteMatch,
)
from envoy_data_plane.envoy.extensions.filters.http.buffer.v3 import Buffer, BufferPerRoute
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthzPerRoute
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import ExtProcPerRoute
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.v3 import Percent

from control.edge import filters, typed
from control.edge.spec import Door, EdgeSpec
from control.request import BODY_BYTES
from gateway import contract

#: What control finds in the first ones comes from Envoy alone: removed before they are set, though clients' own are
#: gone already (filters.owned_headers).
REMOVED: Final = (*contract.CONTROL_HEADERS, contract.ACTOR_HEADER, "x-forwarded-client-cert")

#: Control ends a request after 8 s (control/site.py) and says so in JSON; this is the second lock.
TIMEOUT_S: Final = 10
#: Control keeps idle connections longer, so it never closes one that Envoy is about to use.
IDLE_S: Final = 30
#: Control takes 64 connections (control/site.py). One request each: HTTP/1.1 on a UNIX socket needs no more.
CONNECTIONS: Final = 32
#: Some more may wait for one of them: at 2 ms each they are through in a tenth of a second.
PENDING: Final = 64


def routes(spec: EdgeSpec) -> Iterator[Route]:
    """The token service, and the admin API where the spec wants it. Each route has limits of its own."""
    if not spec.control.enabled:
        return
    tokens, admin = spec.control.tokens, spec.control.admin
    yield _route("oauth2", RouteMatch(prefix=contract.OAUTH_PREFIX), "ostiary_tokens", tokens)
    yield _route("oauth2-metadata", RouteMatch(path=contract.METADATA_PATH), "ostiary_metadata", tokens)
    if spec.control.remote_admin:
        yield _route("admin", RouteMatch(prefix=contract.ADMIN_PREFIX), "ostiary_admin", admin)


def _route(name: str, match: RouteMatch, limit: str, rates: Door) -> Route:
    return Route(
        name=name,
        match=match,
        request_headers_to_remove=list(REMOVED),
        request_headers_to_add=[filters.header(key, value) for key, value in contract.CONTROL_HEADERS.items()],
        route=RouteAction(
            cluster=contract.CONTROL_CLUSTER,
            timeout=typed.seconds(TIMEOUT_S),
            idle_timeout=typed.seconds(TIMEOUT_S),
            # A change may be made once: only what control cannot have seen is sent again, as while it restarts.
            retry_policy=RetryPolicy(
                retry_on="connect-failure,refused-stream,reset-before-request",
                num_retries=1,
                retry_back_off=RetryPolicyRetryBackOff(
                    base_interval=typed.milliseconds(25), max_interval=typed.milliseconds(250)
                ),
            ),
        ),
        typed_per_filter_config={
            filters.DOOR_FILTER: typed.packed(filters.door(limit, rates)),
            filters.BUFFER_FILTER: typed.packed(BufferPerRoute(buffer=Buffer(max_request_bytes=BODY_BYTES))),
            # Control authenticates by itself: who asks for a token has none yet, and no tenant's policy speaks here.
            contract.AUTHZ_NAMESPACE: typed.packed(ExtAuthzPerRoute(disabled=True)),
            contract.INSPECT_FILTER: typed.packed(ExtProcPerRoute(disabled=True)),
        },
    )


def clusters(spec: EdgeSpec) -> Iterator[Cluster]:
    """Control's socket."""
    if not spec.control.enabled:
        return
    host = LbEndpoint(endpoint=Endpoint(address=Address(pipe=Pipe(path=spec.control_socket))))
    yield Cluster(
        name=contract.CONTROL_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
        # A UNIX socket that does not accept at once belongs to a process that is starting or gone.
        connect_timeout=typed.seconds(1),
        lb_policy=ClusterLbPolicy.ROUND_ROBIN,
        # Requests and answers are small; a list of keys flows at the pace of its reader.
        per_connection_buffer_limit_bytes=2 * BODY_BYTES,
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed.packed(
                HttpProtocolOptions(
                    common_http_protocol_options=CommonOptions(
                        idle_timeout=typed.seconds(IDLE_S),
                        # Ours has about ten.
                        max_headers_count=50,
                        max_response_headers_kb=16,
                    ),
                    explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                        http_protocol_options=Http1ProtocolOptions()
                    ),
                )
            )
        },
        load_assignment=ClusterLoadAssignment(
            cluster_name=contract.CONTROL_CLUSTER, endpoints=[LocalityLbEndpoints(lb_endpoints=[host])]
        ),
        circuit_breakers=CircuitBreakers(
            thresholds=[
                CircuitBreakersThresholds(
                    max_connections=CONNECTIONS,
                    max_requests=CONNECTIONS + PENDING,
                    max_pending_requests=PENDING,
                    max_retries=CONNECTIONS,
                    track_remaining=True,
                ),
            ],
        ),
        common_lb_config=ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=0)),
    )
