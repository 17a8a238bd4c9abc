"""The way of copies to mirrors: a listener on a Unix socket, which only workers reach, and clusters of their own.

No request of a client comes here, and none of these clusters serves one: what a mirror does to its connections, its
breaker and its ejection is no other's matter. Workers write path, credential and body; Envoy knows the hosts.
"""

from collections.abc import Iterator
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    Pipe,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerCodecType,
    HttpFilter,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from control.edge import clusters, listener, typed
from control.edge.spec import EdgeSpec
from gateway import contract
from gateway.policy.model import Backend, Policy

#: Owner and group, like the directory: workers may run as another user of the group. What is reached without a
#: credential is what anybody on the network reaches.
_SOCKET_MODE: Final = 0o660
#: Copies of one worker to one mirror (extproc/mirror.py, UNDER_WAY); the breaker is the second lock.
_PER_WORKER: Final = 16
#: Beyond the longest time that policy may give a copy (gateway/policy/mirror.py): the worker hangs up first.
_LONGEST_S: Final = 630
#: Workers close after 20 s (gateway/egress.py).
_IDLE_S: Final = 60


def mirrored(policy: Policy) -> list[Backend]:
    """The backends that are mirrors of some pool."""
    pools = [model.pool for model in policy.models.values() if model.pool is not None]
    return [policy.backends[name] for name in sorted({pool.mirror.backend for pool in pools if pool.mirror})]


def listeners(spec: EdgeSpec, policy: Policy) -> Iterator[Listener]:
    """The socket; none where nothing is mirrored."""
    backends = mirrored(policy)
    if not backends:
        return
    manager = HttpConnectionManager(
        stat_prefix="ostiary_mirror",
        codec_type=HttpConnectionManagerCodecType.HTTP1,
        route_config=RouteConfiguration(
            name="ostiary_mirror",
            virtual_hosts=[
                VirtualHost(name="mirror", domains=["*"], routes=[*map(_route, backends), _refusal()]),
            ],
            validate_clusters=True,
        ),
        # suppress_envoy_headers and these: a mirror learns nothing of us or of timeouts.
        http_filters=[
            HttpFilter(name="envoy.filters.http.router", typed_config=typed.packed(Router(suppress_envoy_headers=True)))
        ],
        skip_xff_append=True,
        generate_request_id=False,
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=typed.seconds(_IDLE_S),
            max_headers_count=listener.REQUEST_HEADERS,
            max_stream_duration=typed.seconds(_LONGEST_S),
            headers_with_underscores_action=HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST,
        ),
        max_request_headers_kb=listener.REQUEST_HEADERS_KIB,
        stream_idle_timeout=typed.seconds(_LONGEST_S),
    )
    path = f"{spec.run_dir}/{contract.MIRROR_SOCKET}"
    yield Listener(
        name="ostiary_mirror",
        address=Address(pipe=Pipe(path=path, mode=_SOCKET_MODE)),
        per_connection_buffer_limit_bytes=listener.CONNECTION_BUFFER,
        filter_chains=[
            FilterChain(
                filters=[
                    Filter(
                        name="envoy.filters.network.http_connection_manager",
                        typed_config=typed.packed(manager),
                    )
                ]
            )
        ],
    )


def every(spec: EdgeSpec, policy: Policy) -> Iterator[Cluster]:
    """The clusters behind it."""
    for backend in mirrored(policy):
        name = contract.mirror_route_of(backend.name)
        yield clusters.backend(spec, backend, name, requests=_PER_WORKER * spec.workers)


def _route(backend: Backend) -> Route:
    name = contract.mirror_route_of(backend.name)
    return Route(
        name=name,
        match=RouteMatch(
            prefix="/",
            headers=[HeaderMatcher(name=contract.ROUTE_HEADER, string_match=StringMatcher(exact=name))],
        ),
        # The second one is Envoy's own, and says that somebody stands in between.
        request_headers_to_remove=[contract.ROUTE_HEADER, "x-forwarded-proto"],
        route=RouteAction(
            cluster=name,
            host_rewrite_literal=backend.authority,
            timeout=typed.seconds(_LONGEST_S),
            # No retries: a copy that is lost is a copy less.
        ),
    )


def _refusal() -> Route:
    """A worker whose policy has a mirror that was not rendered."""
    return Route(name="refused", match=RouteMatch(prefix="/"), direct_response=DirectResponseAction(status=503))
