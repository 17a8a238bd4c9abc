"""The HTTP filters in the order in which a request meets them. The order is a security property."""

from typing import Any, Final

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
    HeaderMutationRules,
)
from envoy_data_plane.envoy.config.core.v3 import ApiVersion, HeaderValue, HeaderValueOption
from envoy_data_plane.envoy.config.core.v3 import HeaderValueOptionHeaderAppendAction as Append
from envoy_data_plane.envoy.config.route.v3 import RateLimit, RateLimitAction, RateLimitActionRemoteAddress
from envoy_data_plane.envoy.extensions.common.ratelimit.v3 import (
    LocalRateLimitDescriptor,
    RateLimitDescriptorEntry,
)
from envoy_data_plane.envoy.extensions.filters.http.buffer.v3 import Buffer
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthz
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import (
    ExternalProcessor,
    ExternalProcessorRouteCacheAction,
    MetadataOptions,
    MetadataOptionsMetadataNamespaces,
    ProcessingMode,
    ProcessingModeBodySendMode,
    ProcessingModeHeaderSendMode,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation as HeaderMutationFilter,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import Mutations
from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 import LocalRateLimit
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode, TokenBucket

from control.edge import typed
from control.edge.spec import ClientCertificates, Door, EdgeSpec
from gateway import contract

DOOR_FILTER: Final = "envoy.filters.http.local_ratelimit"
BUFFER_FILTER: Final = "envoy.filters.http.buffer"
#: gRPC initial metadata by which a worker knows which of the two ext_proc filters opened the stream.
FILTER_HEADER: Final = "x-ostiary-filter"

#: Client addresses whose buckets are remembered (LRU). 10,000 addresses cost about 1 MiB.
_ADDRESSES: Final = 10_000
#: The largest JSON body authz sends with a denial is below 1 KiB; more than this is not ours.
_DENIAL_BYTES: Final = 16 * 1024

_SEND, _SKIP = ProcessingModeHeaderSendMode.SEND, ProcessingModeHeaderSendMode.SKIP
_BODY = ProcessingModeBodySendMode


def chain(spec: EdgeSpec, body_bytes: int, *, pools: bool = False) -> list[HttpFilter]:
    """The filters of the HTTP connection manager. On the way back they run in reverse.

    `pools`: more than one backend may have answered.
    """
    return [
        _filter("envoy.filters.http.header_mutation", _response_headers()),
        _filter(DOOR_FILTER, door("ostiary_door", spec.door)),
        _filter(BUFFER_FILTER, Buffer(max_request_bytes=body_bytes)),
        _filter(contract.AUTHZ_NAMESPACE, _authz(spec)),
        _filter(contract.INSPECT_FILTER, _inspect(spec, pools=pools)),
        # suppress_envoy_headers: x-envoy-* would tell clients about upstream timing and providers about
        # timeouts.
        _filter("envoy.filters.http.router", Router(suppress_envoy_headers=True)),
    ]


def attempt_chain(spec: EdgeSpec) -> list[HttpFilter]:
    """The upstream filters of a composite cluster: run once per attempt."""
    return [
        _filter(contract.ADAPT_FILTER, _adapt(spec)),
        _filter("envoy.filters.http.upstream_codec", UpstreamCodec()),
    ]


def owned_headers() -> list[HeaderMutation]:
    """Removals, by prefix, of every header that only we or Envoy may set; run before any filter."""
    return [
        HeaderMutation(
            remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix=prefix, ignore_case=True)),
        )
        for prefix in contract.OWNED_PREFIXES
    ]


def header(name: str, value: str, action: Append = Append.OVERWRITE_IF_EXISTS_OR_ADD) -> HeaderValueOption:
    """A header to add; the default replaces whatever was there."""
    return HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=action)


def _filter(name: str, config: Any) -> HttpFilter:
    return HttpFilter(name=name, typed_config=typed.packed(config))


def security_headers() -> list[HeaderValueOption]:
    """What every response carries, whoever made it."""
    always = [header(name, value) for name, value in contract.SECURITY_HEADERS]
    return [*always, header(*contract.NO_STORE, Append.ADD_IF_ABSENT)]


def _response_headers() -> HeaderMutationFilter:
    """First in the chain, so last on the way out. Covers refusals before a route; the route table, those after it."""
    return HeaderMutationFilter(
        mutations=Mutations(response_mutations=[HeaderMutation(append=option) for option in security_headers()]),
    )


def door(name: str, rates: Door) -> LocalRateLimit:
    """Before the body is buffered and before anybody is asked: guessing keys must be cheap for us."""
    second = typed.seconds(1)
    return LocalRateLimit(
        stat_prefix=name,
        status=HttpStatus(code=StatusCode.TooManyRequests),
        token_bucket=TokenBucket(max_tokens=rates.burst, tokens_per_fill=rates.requests_per_s, fill_interval=second),
        filter_enabled=typed.always(),
        filter_enforced=typed.always(),
        rate_limits=[
            RateLimit(actions=[RateLimitAction(remote_address=RateLimitActionRemoteAddress())]),
        ],
        descriptors=[
            # An empty value makes one bucket per address seen.
            LocalRateLimitDescriptor(
                entries=[RateLimitDescriptorEntry(key="remote_address")],
                token_bucket=TokenBucket(
                    max_tokens=rates.address_burst,
                    tokens_per_fill=rates.address_requests_per_s,
                    fill_interval=second,
                ),
            ),
        ],
        max_dynamic_descriptors=_ADDRESSES,
        # An address below its own limit still draws from the common bucket.
        always_consume_default_token_bucket=True,
    )


def _authz(spec: EdgeSpec) -> ExtAuthz:
    return ExtAuthz(
        stat_prefix="ostiary",
        grpc_service=typed.sidecar(cluster=contract.AUTHZ_CLUSTER, timeout=typed.milliseconds(spec.deadlines.authz_ms)),
        transport_api_version=ApiVersion.V3,
        failure_mode_allow=False,
        # How long a Check took, by which its deadline is told from an authz that is not there (`replies`).
        emit_filter_state_stats=True,
        # The default is 403, which says "you may not"; an unreachable authz says "nobody may, for now".
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        # Two `authorization` headers would arrive joined by a comma without it (design, section 1).
        encode_raw_headers=True,
        # What authz never looks at: a third of what a Check costs was reading them.
        disallowed_headers=ListStringMatcher(patterns=_unread_by_authz()),
        # A mutation that HTTP forbids is a defect of ours: refuse the request (500), do not repair it.
        validate_mutations=True,
        include_peer_certificate=spec.tls.client_certificates is not ClientCertificates.OFF,
        # authz removes credentials and x-envoy-*; it has no business with pseudo headers or the authority.
        decoder_header_mutation_rules=_rules(routing=False, system=False),
        max_denied_response_body_bytes=_DENIAL_BYTES,
    )


def _unread_by_authz() -> list[StringMatcher]:
    """Named one by one: a header that is not named here is shown, so that none that must be removed can hide."""
    exact = [StringMatcher(exact=name) for name in contract.UNREAD_BY_AUTHZ]
    return [*exact, StringMatcher(prefix=contract.UNREAD_PREFIX)]


def _inspect(spec: EdgeSpec, *, pools: bool) -> ExternalProcessor:
    """Judges the request whole and the answer as it flows (design, "Modes, in one place")."""
    return ExternalProcessor(
        stat_prefix="inspect",
        grpc_service=typed.sidecar(told=((FILTER_HEADER, "inspect"),)),
        failure_mode_allow=False,
        processing_mode=ProcessingMode(
            # SKIP + BUFFERED would pick the route before the body has been judged.
            request_header_mode=_SEND,
            # STREAMED request bodies are duplicated by retries (envoy#36119, #45470).
            request_body_mode=_BODY.BUFFERED,
            # Trailers must be seen to be refused.
            request_trailer_mode=_SEND,
            response_header_mode=_SEND,
            # The only mode that can hold text back, speak unasked, and end a stream cleanly.
            response_body_mode=_BODY.FULL_DUPLEX_STREAMED,
            response_trailer_mode=_SEND,
        ),
        message_timeout=typed.milliseconds(spec.deadlines.message_ms),
        # A worker may not lengthen its own deadline.
        max_message_timeout=None,
        # The mode table is the guard: a worker (or whoever reached its socket) must not switch inspection
        # off.
        allow_mode_override=False,
        # Only when `inspect` asks for it, which it does once, after it set the route header.
        route_cache_action=ExternalProcessorRouteCacheAction.DEFAULT,
        response_attributes=[
            contract.ATTR_CODE_DETAILS,
            contract.ATTR_REQUEST_ID,
            contract.ATTR_METHOD,
            contract.ATTR_PATH,
            # Who bills the answer, for the record; left out where it can only be one.
            *((contract.ATTR_HOST_METADATA, contract.ATTR_ATTEMPTS) if pools else ()),
        ],
        metadata_options=_metadata(forwarding=(contract.AUTHZ_NAMESPACE,), receiving=(contract.OSTIARY_NAMESPACE,)),
        # It removes headers of providers, x-envoy-* among them, and where no `adapt` follows it sets the
        # provider's path and credential (ADR 0009). The authority stays the client's: routes are chosen by it.
        mutation_rules=_rules(routing=False, system=True),
    )


def _adapt(spec: EdgeSpec) -> ExternalProcessor:
    """Gives one attempt its path, authority and credential; translates bodies only where dialects differ."""
    return ExternalProcessor(
        stat_prefix="adapt",
        grpc_service=typed.sidecar(cluster=contract.ADAPT_CLUSTER, told=((FILTER_HEADER, "adapt"),)),
        failure_mode_allow=False,
        processing_mode=ProcessingMode(
            request_header_mode=_SEND,
            request_body_mode=_BODY.NONE,
            request_trailer_mode=_SKIP,
            response_header_mode=_SKIP,
            response_body_mode=_BODY.NONE,
            response_trailer_mode=_SKIP,
        ),
        message_timeout=typed.milliseconds(spec.deadlines.message_ms),
        # Bodies are switched on per attempt when the backend speaks another dialect.
        allow_mode_override=True,
        request_attributes=[contract.ATTR_HOST_METADATA],
        metadata_options=_metadata(forwarding=(contract.OSTIARY_NAMESPACE, contract.AUTHZ_NAMESPACE)),
        # :path and :authority of the provider are this filter's whole purpose.
        mutation_rules=_rules(routing=True, system=True),
    )


def _rules(*, routing: bool, system: bool) -> HeaderMutationRules:
    return HeaderMutationRules(
        allow_all_routing=routing,
        disallow_system=not system,
        # Without it a removal of x-envoy-* is dropped without a word.
        allow_envoy=True,
        # A mutation outside the rules is our defect; ignored, a credential that should go would stay.
        disallow_is_error=True,
    )


def _metadata(*, forwarding: tuple[str, ...], receiving: tuple[str, ...] = ()) -> MetadataOptions:
    return MetadataOptions(
        forwarding_namespaces=MetadataOptionsMetadataNamespaces(untyped=list(forwarding)),
        receiving_namespaces=MetadataOptionsMetadataNamespaces(untyped=list(receiving)) if receiving else None,
    )
