"""How Envoy asks `control` for the listener's certificate: the references in its TLS context, and the cluster."""

from collections.abc import Iterator
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    ApiConfigSource,
    ApiConfigSourceApiType,
    ApiVersion,
    BackoffStrategy,
    ConfigSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    Http2ProtocolOptions,
    Pipe,
    RetryPolicy,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import SdsSecretConfig
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.v3 import Percent

from control.edge import typed
from control.edge.spec import EdgeSpec
from gateway import contract

#: When Envoy asks again after `control` went away. It serves with what it has meanwhile; its own longest is 30 s.
AGAIN_S: Final = (0.5, 5.0)
#: One stream for each secret.
_STREAMS: Final = 8


def secret(name: str) -> SdsSecretConfig:
    """The reference to a secret that `control` hands out."""
    least, most = AGAIN_S
    return SdsSecretConfig(
        name=name,
        sds_config=ConfigSource(
            resource_api_version=ApiVersion.V3,
            # None: wait for ever. After Envoy's own 15 s the listener would open its port and refuse every handshake;
            # a closed port is what load balancers and people understand.
            initial_fetch_timeout=typed.seconds(0),
            api_config_source=ApiConfigSource(
                api_type=ApiConfigSourceApiType.GRPC,
                transport_api_version=ApiVersion.V3,
                set_node_on_first_message_only=True,
                grpc_services=[
                    GrpcService(
                        envoy_grpc=GrpcServiceEnvoyGrpc(
                            cluster_name=contract.SECRETS_CLUSTER,
                            retry_policy=RetryPolicy(
                                retry_back_off=BackoffStrategy(
                                    base_interval=typed.seconds(least), max_interval=typed.seconds(most)
                                )
                            ),
                        )
                    )
                ],
            ),
        ),
    )


def clusters(spec: EdgeSpec) -> Iterator[Cluster]:
    """The socket on which `control` hands secrets out, where it does."""
    if spec.tls.issued is None:
        return
    host = LbEndpoint(endpoint=Endpoint(address=Address(pipe=Pipe(path=spec.secrets_socket))))
    yield Cluster(
        name=contract.SECRETS_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
        # A UNIX socket that does not accept at once belongs to a process that is starting or gone.
        connect_timeout=typed.seconds(1),
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed.packed(
                HttpProtocolOptions(
                    explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                        http2_protocol_options=Http2ProtocolOptions(max_concurrent_streams=_STREAMS)
                    )
                )
            )
        },
        load_assignment=ClusterLoadAssignment(
            cluster_name=contract.SECRETS_CLUSTER, endpoints=[LocalityLbEndpoints(lb_endpoints=[host])]
        ),
        circuit_breakers=CircuitBreakers(
            thresholds=[
                CircuitBreakersThresholds(
                    max_connections=_STREAMS,
                    max_requests=_STREAMS,
                    max_pending_requests=_STREAMS,
                    max_retries=_STREAMS,
                    track_remaining=True,
                ),
            ],
        ),
        common_lb_config=ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=0)),
    )
