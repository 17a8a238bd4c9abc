"""The route table: one exact header match per backend, and a refusal for everything else."""

from typing import Final

from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    RouteMatchConnectMatcher,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.buffer.v3 import BufferPerRoute
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from control.edge import filters, plane, pools, typed
from control.edge.spec import EdgeSpec
from gateway import contract
from gateway.policy.model import Backend, Limits, Policy
from gateway.policy.walk import Walk, walks

#: The clusters of the backends themselves: below the composites, and behind the routes whose only attempt
#: `inspect` has prepared itself (ADR 0009).
BACKEND_PREFIX: Final = "be-"

#: Only failures in which the provider cannot have seen the request, because a second generation costs money
#: twice.
RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"
RETRIES: Final = 1  # a stale keep-alive connection is the usual cause, and a new one the cure

#: A worker notices silence first (policy `idle_s`) and tells the client in JSON; Envoy is the second lock.
SECOND_LOCK_S: Final = 10


def table(spec: EdgeSpec, policy: Policy, body_bytes: int) -> RouteConfiguration:
    """The whole table. Until `inspect` has chosen, only the last route matches.

    Both ways to a backend are always there, so that a policy may change `adapt` without touching Envoy.
    """
    names = sorted(policy.backends)
    return RouteConfiguration(
        name="ostiary",
        # A refusal after the answer's head was held back skips the filters, and with them their header
        # mutation.
        response_headers_to_add=filters.security_headers(),
        virtual_hosts=[
            VirtualHost(
                name="ostiary",
                domains=list(spec.hosts),
                # Replay buffer of a retry: a larger body is not retried. Twice the limit, because the body that
                # arrived and the one that `inspect` put in its place lie side by side for a moment. Set here
                # and not on the connection, whose limit also bounds what a slow reader can pin.
                request_body_buffer_limit=2 * body_bytes,
                routes=[
                    *(_backend(contract.route_of(b), contract.route_of(b), policy.limits) for b in names),
                    *(_direct(policy.backends[b], policy.limits) for b in names),
                    *(_pool(walk, policy.limits) for walk in walks(policy)),
                    # Behind them: what `inspect` has sent to a provider may have any path by then.
                    *plane.routes(spec),
                    _tunnel(),
                    _refusal(503),
                ],
            ),
            *_elsewhere(spec, body_bytes),
        ],
        # An unknown cluster name must stop the start, not answer 503 later.
        validate_clusters=True,
    )


def _backend(name: str, cluster: str, limits: Limits) -> Route:
    return Route(
        name=name,
        match=RouteMatch(
            prefix="/",
            headers=[HeaderMatcher(name=contract.ROUTE_HEADER, string_match=StringMatcher(exact=name))],
        ),
        # `adapt` removes it too; a provider must not learn our names even if `adapt` has a defect.
        request_headers_to_remove=[contract.ROUTE_HEADER],
        route=RouteAction(
            cluster=cluster,
            # The default is 15 s for the whole answer, which a streamed one outlives; silence is what we
            # time.
            timeout=typed.seconds(0),
            idle_timeout=typed.seconds(limits.idle_s + SECOND_LOCK_S),
            retry_policy=RetryPolicy(
                retry_on=RETRY_ON,
                num_retries=RETRIES,
                retry_back_off=RetryPolicyRetryBackOff(
                    base_interval=typed.milliseconds(25), max_interval=typed.milliseconds(250)
                ),
            ),
        ),
    )


def _pool(walk: Walk, limits: Limits) -> Route:
    """The route of several backends: each is asked once."""
    route = _backend(walk.route, walk.route, limits)
    if route.route is not None:
        route.route.idle_timeout = typed.seconds(pools.idle_s(walk, SECOND_LOCK_S, limits.idle_s))
        route.route.retry_policy = pools.retries(walk)
    return route


def _direct(backend: Backend, limits: Limits) -> Route:
    """The route without `adapt`. It sets the authority itself: routes are chosen by the client's."""
    route = _backend(contract.direct_route_of(backend.name), f"{BACKEND_PREFIX}{backend.name}", limits)
    if route.route is not None:
        route.route.host_rewrite_literal = backend.authority
        # `inspect` takes off everything else that is private, but a request without it finds no route.
        route.request_headers_to_remove.append("x-forwarded-proto")
    return route


def _elsewhere(spec: EdgeSpec, body_bytes: int) -> list[VirtualHost]:
    """Any other host. It needs a route to be refused in order: Envoy asks authz nothing about a request without one."""
    if "*" in spec.hosts:
        return []
    return [
        VirtualHost(
            name="elsewhere",
            domains=["*"],
            request_body_buffer_limit=2 * body_bytes,
            routes=[_refusal(404)],
        )
    ]


def _tunnel() -> Route:
    """CONNECT, refused. It has no body that could end, so the `buffer` filter would hold it until a timer fired."""
    return Route(
        name="tunnel",
        match=RouteMatch(connect_matcher=RouteMatchConnectMatcher()),
        direct_response=DirectResponseAction(status=403),
        typed_per_filter_config={filters.BUFFER_FILTER: typed.packed(BufferPerRoute(disabled=True))},
    )


def _refusal(status: int) -> Route:
    """Default deny; local_reply_config gives the JSON body."""
    return Route(
        name="refused",
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(status=status),
    )
