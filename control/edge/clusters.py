"""The clusters: our workers' sockets, a composite per backend (where `adapt` runs), and the backends."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterCustomClusterType,
    ClusterDiscoveryType,
    ClusterLbPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    BindConfig,
    DataSource,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    Metadata,
    Pipe,
    SocketAddress,
    SocketOption,
    TransportSocket,
)
from envoy_data_plane.envoy.config.core.v3 import HttpProtocolOptions as CommonOptions
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.clusters.common.dns.v3 import DnsLookupFamily
from envoy_data_plane.envoy.extensions.clusters.composite.v3 import ClusterConfig, ClusterConfigClusterEntry
from envoy_data_plane.envoy.extensions.clusters.dns.v3 import DnsCluster
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsAutoHttpConfig,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Struct

from control.edge import filters, plane, pools, routes, sds, typed
from control.edge.spec import EdgeSpec
from gateway import contract
from gateway.policy.model import Backend, Policy
from gateway.policy.walk import walks

_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_KIB: Final = 1024

#: One slow reader pins at most a stream window in Envoy and in its worker; the defaults pinned 32 MiB
#: (design).
SIDECAR_STREAM_WINDOW: Final = 64 * _KIB
#: Streams per connection to a worker. The connection window is their sum: a smaller one lets a few slow
#: readers use it up, and then every other exchange on the connection stands still. More streams open more
#: connections, which on a UNIX socket cost little.
SIDECAR_STREAMS: Final = 64
#: Bytes Envoy queues towards a worker before it stops reading from the provider.
SIDECAR_BUFFER: Final = 64 * _KIB
#: RFC 9113 section 6.5.2: the largest window there is.
_MOST: Final = 2**31 - 1
#: Streams of one exchange on either cluster: `inspect` and a Check, or `adapt` and `adapt` of the retry while the
#: first attempt's stream closes.
SIDECAR_STREAMS_PER_EXCHANGE: Final = 2

#: Tokens arrive at some 10 KiB/s; 256 KiB in flight carries a large embeddings answer at 2.5 MiB/s over 100
#: ms. Whatever is in flight when a stream is cut has been paid for, which is why it is not larger.
BACKEND_STREAM_WINDOW: Final = 256 * _KIB
BACKEND_STREAMS: Final = 100
#: The same in flight from providers without TLS, which speak HTTP/1.1: one answer to a connection. With TLS it may be
#: HTTP/2, whose streams have the window above and share the connection.
BACKEND_RECEIVE: Final = BACKEND_STREAM_WINDOW
#: What Envoy reads at a time, and so the largest piece of an answer that a worker is shown. The worker holds one piece
#: while its reader is slow, another one comes behind it, and none may take the loop for long (bench/README.md).
BACKEND_BUFFER: Final = 16 * _KIB
#: socket(7) on Linux: SOL_SOCKET and SO_RCVBUF. The kernel takes the smaller one of this and net.core.rmem_max.
_SOL_SOCKET, _SO_RCVBUF = 1, 8


def every(spec: EdgeSpec, policy: Policy) -> Iterator[Cluster]:
    """All clusters, in a fixed order."""
    yield _sidecar(spec, contract.SIDECAR_CLUSTER, INSPECT_FLOW)
    yield _sidecar(spec, contract.AUTHZ_CLUSTER, INSPECT_FLOW)
    yield _sidecar(spec, contract.ADAPT_CLUSTER, ADAPT_FLOW)
    for name in sorted(policy.backends):
        yield _alone(spec, name)
        yield backend(spec, policy.backends[name], f"{routes.BACKEND_PREFIX}{name}", spec.bounds.backend_requests)
    for walk in walks(policy):
        yield _composite(spec, walk.route, walk.backends, pools.breaker(spec))
    yield from plane.clusters(spec)
    yield from sds.clusters(spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How many bytes may be under way between Envoy and a worker."""

    streams: int  # per connection
    stream_window: int
    connection_window: int
    buffer: int


#: For `inspect`: answers flow through these streams, so they carry the back-pressure of slow readers. authz has the
#: same on connections of its own, where no answer stands before a Check.
INSPECT_FLOW: Final = Flow(
    streams=SIDECAR_STREAMS,
    stream_window=SIDECAR_STREAM_WINDOW,
    connection_window=SIDECAR_STREAMS * SIDECAR_STREAM_WINDOW,
    buffer=SIDECAR_BUFFER,
)

#: For `adapt`: no watermark may ever fire. Envoy 1.40 dereferences null when the connection or stream of an
#: ext_proc filter in an *upstream* chain passes its high watermark: forty slow readers, sharing connections
#: between `inspect` and `adapt`, crash it within a second. Nothing grows without bound for it: `adapt`
#: carries headers, at most one bounded request body, and answer chunks of which ext_proc itself holds no
#: more than BACKEND_BUFFER.
ADAPT_FLOW: Final = Flow(streams=SIDECAR_STREAMS, stream_window=_MOST, connection_window=_MOST, buffer=_MOST)


def _sidecar(spec: EdgeSpec, name: str, flow: Flow) -> Cluster:
    streams = spec.bounds.exchanges * SIDECAR_STREAMS_PER_EXCHANGE
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC,
        # A UNIX socket that does not accept at once belongs to a worker that is starting or gone.
        connect_timeout=typed.seconds(1),
        # New exchanges go where fewer are open: a worker busy with a large body gets fewer.
        lb_policy=ClusterLbPolicy.LEAST_REQUEST,
        per_connection_buffer_limit_bytes=flow.buffer,
        typed_extension_protocol_options={
            _OPTIONS: typed.packed(
                HttpProtocolOptions(
                    explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                        http2_protocol_options=Http2ProtocolOptions(
                            max_concurrent_streams=flow.streams,
                            initial_stream_window_size=flow.stream_window,
                            initial_connection_window_size=flow.connection_window,
                        ),
                    ),
                ),
            ),
        },
        load_assignment=_assignment(
            name, [LbEndpoint(endpoint=Endpoint(address=_pipe(path))) for path in spec.worker_sockets]
        ),
        health_checks=[_worker_health()],
        # A hung worker (SIGSTOP, deadlock) answers nothing, and FULL_DUPLEX has no message timeout: closing
        # its connections is what ends the exchanges that it holds. They fail closed.
        close_connections_on_host_health_failure=True,
        outlier_detection=OutlierDetection(
            # Only failures to reach the worker count. Its own gRPC errors are refusals that a client can
            # provoke: counting them would let a client eject healthy workers.
            split_external_local_origin_errors=True,
            consecutive_local_origin_failure=2,
            enforcing_consecutive_local_origin_failure=100,
            enforcing_consecutive_5xx=0,
            enforcing_consecutive_gateway_failure=0,
            enforcing_success_rate=0,
            enforcing_local_origin_success_rate=0,
            interval=typed.seconds(1),
            # A passed health check returns the worker sooner.
            base_ejection_time=typed.seconds(5),
            max_ejection_time=typed.seconds(30),
            max_ejection_percent=90,
        ),
        circuit_breakers=CircuitBreakers(
            thresholds=[
                CircuitBreakersThresholds(
                    # An open stream holds one request; the default of 1,024 would be 512 exchanges.
                    max_requests=streams,
                    max_pending_requests=streams,
                    max_connections=max(64, streams // SIDECAR_STREAMS * 2),
                    # All exchanges of a dying worker retry at the same moment; the default of 3 would fail
                    # the rest.
                    max_retries=spec.bounds.exchanges,
                    track_remaining=True,
                ),
            ],
        ),
        # In panic Envoy would send requests to workers that it knows to be dead.
        common_lb_config=ClusterCommonLbConfig(
            healthy_panic_threshold=Percent(value=0),
            # By default a second change within a second is held back: when one worker had come back and another one
            # died, all requests went to the dead one until then (seen: 23 of 24 refused).
            update_merge_window=typed.seconds(0),
        ),
    )


def _worker_health() -> HealthCheck:
    return HealthCheck(
        # A worker scanning a 10 MiB body may be silent for a second or two and must not lose its streams
        # for it: hung is 3 misses, 6 to 9 s.
        timeout=typed.seconds(2),
        interval=typed.seconds(1),
        unhealthy_threshold=3,
        healthy_threshold=1,
        # The default of 60 s would leave a restarted worker out for a minute on an idle gateway.
        no_traffic_interval=typed.seconds(1),
        no_traffic_healthy_interval=typed.seconds(1),
        grpc_health_check=HealthCheckGrpcHealthCheck(service_name=contract.HEALTH_SERVICE),
    )


def _alone(spec: EdgeSpec, backend: str) -> Cluster:
    """One backend, listed once per attempt: the retry finds a host."""
    return _composite(spec, contract.route_of(backend), (backend,) * (1 + routes.RETRIES))


def _composite(
    spec: EdgeSpec, name: str, backends: tuple[str, ...], breakers: CircuitBreakers | None = None
) -> Cluster:
    """Attempt n goes to entry n."""
    entries = [ClusterConfigClusterEntry(name=f"{routes.BACKEND_PREFIX}{backend}") for backend in backends]
    return Cluster(
        name=name,
        connect_timeout=typed.seconds(spec.deadlines.connect_s),
        lb_policy=ClusterLbPolicy.CLUSTER_PROVIDED,
        per_connection_buffer_limit_bytes=BACKEND_BUFFER,
        cluster_type=ClusterCustomClusterType(
            name="envoy.clusters.composite",
            typed_config=typed.packed(ClusterConfig(clusters=entries)),
        ),
        circuit_breakers=breakers,
        typed_extension_protocol_options={
            # Filters of the composite run, those of its entries do not (design, "Routing and attempts").
            _OPTIONS: typed.packed(
                HttpProtocolOptions(
                    explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                        http_protocol_options=Http1ProtocolOptions()
                    ),
                    http_filters=filters.attempt_chain(spec),
                ),
            ),
        },
    )


def backend(spec: EdgeSpec, backend: Backend, name: str, requests: int) -> Cluster:
    """The cluster of one backend's own hosts, for so many requests at once."""
    literal = is_address(backend.host)
    host = LbEndpoint(
        endpoint=Endpoint(
            address=Address(socket_address=SocketAddress(address=backend.host, port_value=backend.port)),
            hostname="" if literal else backend.host,
        ),
        # `adapt` learns from this, and from nothing a client can write, which backend the attempt goes to.
        metadata=Metadata(
            filter_metadata={contract.HOST_NAMESPACE: Struct.from_dict({contract.HOST_BACKEND: backend.name})}
        ),
    )
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC if literal else None,
        cluster_type=None if literal else _dns(),
        connect_timeout=typed.seconds(spec.deadlines.connect_s),
        lb_policy=ClusterLbPolicy.ROUND_ROBIN,
        per_connection_buffer_limit_bytes=BACKEND_BUFFER,
        typed_extension_protocol_options={_OPTIONS: typed.packed(_backend_protocol(backend))},
        upstream_bind_config=None if backend.tls else _receiving(BACKEND_RECEIVE),
        load_assignment=_assignment(name, [host]),
        circuit_breakers=CircuitBreakers(thresholds=[_breaker(requests)]),
        outlier_detection=OutlierDetection(
            split_external_local_origin_errors=True,
            consecutive_local_origin_failure=5,
            enforcing_consecutive_local_origin_failure=100,
            # 502, 503, 504: the provider says it cannot; five in a row give it ten seconds.
            consecutive_gateway_failure=5,
            enforcing_consecutive_gateway_failure=100,
            # Not on 500: one tenant's prompt that makes a model crash must not shut the backend for the
            # others.
            enforcing_consecutive_5xx=0,
            enforcing_success_rate=0,
            enforcing_local_origin_success_rate=0,
            interval=typed.seconds(5),
            base_ejection_time=typed.seconds(10),
            max_ejection_time=typed.seconds(60),
            max_ejection_percent=100,
        ),
        # One-host clusters are tried although ejected unless this is 0 (design).
        common_lb_config=ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=0)),
        transport_socket=_upstream_tls(spec, backend) if backend.tls else None,
    )


def _receiving(size_bytes: int) -> BindConfig:
    """Left to itself the kernel reads megabytes ahead of a slow reader."""
    option = SocketOption(description="read ahead", level=_SOL_SOCKET, name=_SO_RCVBUF, int_value=size_bytes)
    return BindConfig(socket_options=[option])


def _dns() -> ClusterCustomClusterType:
    """Strict DNS: every address is a host, so one bad front end is ejected and not the provider."""
    cluster = DnsCluster(
        dns_lookup_family=DnsLookupFamily.V4_PREFERRED,
        # Providers move addresses by DNS; the TTL is the promise they make.
        respect_dns_ttl=True,
        # Without a TTL, half of the usual minute.
        dns_refresh_rate=typed.seconds(30),
    )
    return ClusterCustomClusterType(name="envoy.clusters.dns", typed_config=typed.packed(cluster))


def _backend_protocol(backend: Backend) -> HttpProtocolOptions:
    common = CommonOptions(
        # Providers close idle connections after a minute or more; closing first avoids the race that resets
        # requests.
        idle_timeout=typed.seconds(50),
        # Providers send about 30 headers; a flood of them is not an answer.
        max_headers_count=100,
        max_response_headers_kb=32,
    )
    http1 = Http1ProtocolOptions()
    if not backend.tls:
        return HttpProtocolOptions(
            common_http_protocol_options=common,
            explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=http1),
        )
    return HttpProtocolOptions(
        common_http_protocol_options=common,
        # ALPN decides. With HTTP/2 a cut stream is one RST_STREAM, not a lost TLS session.
        auto_config=HttpProtocolOptionsAutoHttpConfig(
            http_protocol_options=http1,
            http2_protocol_options=Http2ProtocolOptions(
                max_concurrent_streams=BACKEND_STREAMS,
                initial_stream_window_size=BACKEND_STREAM_WINDOW,
                # The sum again: one client that does not read must not stop the others' answers.
                initial_connection_window_size=BACKEND_STREAMS * BACKEND_STREAM_WINDOW,
            ),
        ),
    )


def _breaker(requests: int) -> CircuitBreakersThresholds:
    return CircuitBreakersThresholds(
        max_requests=requests,
        max_connections=requests,
        # A request that must wait for a connection waits behind a provider that is already slow: shed early.
        max_pending_requests=max(16, requests // 4),
        max_retries=max(8, requests // 10),
        track_remaining=True,
    )


def _upstream_tls(spec: EdgeSpec, backend: Backend) -> TransportSocket:
    server = backend.sni or backend.host
    san = SubjectAltNameMatcherSanType.IP_ADDRESS if is_address(server) else SubjectAltNameMatcherSanType.DNS
    roots = backend.ca_file or spec.ca_file
    trusted = roots if Path(roots).is_absolute() else str(Path(spec.policy_dir) / roots)
    context = UpstreamTlsContext(
        # RFC 6066 section 3: no literal addresses in SNI.
        sni="" if is_address(server) else server,
        common_tls_context=CommonTlsContext(
            tls_params=TlsParameters(
                # Some providers' front ends still stop at 1.2; nothing older is spoken.
                tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2,
                tls_maximum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
            ),
            alpn_protocols=["h2", "http/1.1"],
            # Envoy verifies nothing unless it is told the roots, and no name unless it is told the name.
            validation_context=CertificateValidationContext(
                trusted_ca=DataSource(filename=trusted),
                match_typed_subject_alt_names=[
                    SubjectAltNameMatcher(san_type=san, matcher=StringMatcher(exact=server))
                ],
            ),
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=typed.packed(context))


def _assignment(name: str, hosts: list[LbEndpoint]) -> ClusterLoadAssignment:
    return ClusterLoadAssignment(cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=hosts)])


def _pipe(path: str) -> Address:
    return Address(pipe=Pipe(path=path))


def is_address(host: str) -> bool:
    """Whether a host is a literal address, which needs no DNS and has no SNI."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
