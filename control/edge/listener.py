"""The one listener: TLS 1.3, the HTTP connection manager and its limits."""

from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    CidrRange,
    DataSource,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    KeepaliveSettings,
    SocketAddress,
    SocketOption,
    TransportSocket,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerForwardClientCertDetails,
    HttpConnectionManagerInternalAddressConfig,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpConnectionManagerServerHeaderTransformation,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import HeaderMutation
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
)

from control.edge import accesslog, filters, replies, routes, sds, typed
from control.edge.spec import ClientCertificates, EdgeSpec
from gateway import contract
from gateway.policy.model import Policy

_KIB: Final = 1024

#: What one connection may hold in each direction before it is paused: Envoy's own advice for edges ("best practices,
#: edge"). Bodies are larger: the `buffer` filter and the route's request_body_buffer_limit raise the limit for requests
#: only, so that a slow reader cannot pin 20 MiB.
CONNECTION_BUFFER: Final = 32 * _KIB
#: Bytes that the kernel takes beyond what the client's window has room for. Its own limit is 4 MiB (tcp(7), tcp_wmem):
#: a slow reader's answer was judged, and paid for, that far ahead. What is on its way is not counted, so long lines
#: stay full.
UNSENT: Final = 16 * _KIB
#: tcp(7) on Linux: IPPROTO_TCP and TCP_NOTSENT_LOWAT. Accepted connections inherit it from the listening socket.
_TCP, _TCP_NOTSENT_LOWAT = 6, 25
#: A client's window per stream and per connection: Envoy's own advice for edges ("best practices, edge").
STREAM_WINDOW: Final = 64 * _KIB
CONNECTION_WINDOW: Final = 1024 * _KIB
#: Streams of one client connection. SDKs open a few; an agent fleet behind one proxy some dozens.
STREAMS: Final = 100
#: SDKs send 20 headers of 2 KiB together; a JWT may take 8 KiB more.
REQUEST_HEADERS_KIB: Final = 32
REQUEST_HEADERS: Final = 100
#: Beyond the policy's longest exchange: the worker ends it first, cleanly.
EXCHANGE_SECOND_LOCK_S: Final = 30


def listener(spec: EdgeSpec, policy: Policy, body_bytes: int, *, pools: bool) -> Listener:
    """The listener with its one filter chain; `pools`: more than one backend may answer an exchange."""
    return Listener(
        name="ostiary",
        address=Address(socket_address=SocketAddress(address=spec.address, port_value=spec.port)),
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER,
        socket_options=[
            SocketOption(description="read ahead", level=_TCP, name=_TCP_NOTSENT_LOWAT, int_value=UNSENT),
        ],
        # A handshake takes a few round trips; a connection that does not finish it is not a client.
        filter_chains=[
            FilterChain(
                filters=[
                    Filter(
                        name="envoy.filters.network.http_connection_manager",
                        typed_config=typed.packed(_manager(spec, policy, body_bytes, pools=pools)),
                    ),
                ],
                transport_socket=_tls(spec),
                transport_socket_connect_timeout=typed.seconds(10),
            ),
        ],
        # One client may not keep the accept loop from the others.
        max_connections_to_accept_per_socket_event=64,
    )


def _tls(spec: EdgeSpec) -> TransportSocket:
    asked = spec.tls.client_certificates
    mutual = asked is not ClientCertificates.OFF
    issued = spec.tls.issued
    handed = issued is not None and bool(issued.clients_mount)
    trusted = None
    if mutual and not handed:
        # With a context, a certificate that is shown must verify; `required` also demands one.
        trusted = CertificateValidationContext(trusted_ca=DataSource(filename=spec.tls.client_ca))
    context = DownstreamTlsContext(
        require_client_certificate=asked is ClientCertificates.REQUIRED,
        # A resumed session keeps the certificate of the first handshake: no proof of its key, no look at its chain or
        # its end (RFC 8446 section 2.2). With these, every connection proves itself anew.
        disable_stateless_session_resumption=True if mutual else None,
        disable_stateful_session_resumption=mutual,
        common_tls_context=CommonTlsContext(
            tls_params=TlsParameters(
                tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
                tls_maximum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
                # Hybrid first: prompts recorded today should stay secret when quantum computers arrive.
                ecdh_curves=["X25519MLKEM768", "X25519", "P-256"],
            ),
            tls_certificates=[_own(spec)] if issued is None else [],
            tls_certificate_sds_secret_configs=[] if issued is None else [sds.secret(contract.LISTENER_CERTIFICATE)],
            validation_context=trusted,
            validation_context_sds_secret_config=sds.secret(contract.CLIENT_AUTHORITIES) if mutual and handed else None,
            alpn_protocols=["h2", "http/1.1"],
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=typed.packed(context))


def _own(spec: EdgeSpec) -> TlsCertificate:
    return TlsCertificate(
        certificate_chain=DataSource(filename=spec.tls.cert), private_key=DataSource(filename=spec.tls.key)
    )


def _manager(spec: EdgeSpec, policy: Policy, body_bytes: int, *, pools: bool) -> HttpConnectionManager:
    return HttpConnectionManager(
        stat_prefix="ostiary",
        route_config=routes.table(spec, policy, body_bytes),
        http_filters=filters.chain(spec, body_bytes, pools=pools),
        access_log=[accesslog.log(spec)],
        local_reply_config=replies.config(spec.deadlines.authz_ms),
        # --- whose address, whose headers ---
        use_remote_address=True,
        xff_num_trusted_hops=spec.xff_trusted_hops,
        internal_address_config=_nobody_is_internal(),
        early_header_mutation_extensions=[
            typed.extension(
                "envoy.http.early_header_mutation.header_mutation",
                HeaderMutation(mutations=filters.owned_headers()),
            ),
        ],
        # x-forwarded-client-cert is removed and never written: authz is told the certificate in the CheckRequest, and a
        # header that nobody reads can reach no provider.
        forward_client_cert_details=HttpConnectionManagerForwardClientCertDetails.SANITIZE,
        generate_request_id=True,
        # A client that could choose the id could make two exchanges look like one in the audit trail.
        preserve_external_request_id=False,
        always_set_request_id_in_response=True,
        server_name="ostiary",
        server_header_transformation=HttpConnectionManagerServerHeaderTransformation.OVERWRITE,
        # --- one spelling per path, so that the allow-list compares what the provider will see ---
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST,
        strip_any_host_port=True,
        # --- time ---
        request_headers_timeout=typed.seconds(spec.deadlines.headers_s),
        request_timeout=typed.seconds(spec.deadlines.request_s),
        stream_idle_timeout=typed.seconds(policy.limits.idle_s + routes.SECOND_LOCK_S),
        # A client that stopped reading holds buffers and a provider's stream.
        stream_flush_timeout=typed.seconds(policy.limits.idle_s),
        delayed_close_timeout=typed.seconds(1),
        # Clients get this long to see GOAWAY before a draining listener closes.
        drain_timeout=typed.seconds(5),
        # --- size ---
        max_request_headers_kb=REQUEST_HEADERS_KIB,
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=typed.seconds(spec.deadlines.connection_idle_s),
            # Long enough to be cheap, short enough that a rotated certificate or a drained replica takes
            # effect.
            max_connection_duration=typed.seconds(3600),
            max_headers_count=REQUEST_HEADERS,
            max_stream_duration=typed.seconds(policy.limits.exchange_s + EXCHANGE_SECOND_LOCK_S),
            # x_api_key and x-api-key are one header to some servers behind us.
            headers_with_underscores_action=HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST,
        ),
        # Without it HTTP/1.1 trailers are dropped unseen, and `inspect` could not refuse them.
        http_protocol_options=Http1ProtocolOptions(enable_trailers=True),
        http2_protocol_options=_http2(),
        # Nothing here is configured for upgrades, so Envoy answers WebSocket and CONNECT with 403.
    )


def _nobody_is_internal() -> HttpConnectionManagerInternalAddressConfig:
    """Loopback and 10/8 must not earn the right to set x-envoy-* headers and to choose the request id."""
    # An empty list would mean Envoy's default, RFC 1918 and loopback. No packet has this source (RFC 6890).
    nobody = CidrRange(address_prefix="255.255.255.255", prefix_len=32)
    return HttpConnectionManagerInternalAddressConfig(unix_sockets=False, cidr_ranges=[nobody])


def _http2() -> Http2ProtocolOptions:
    return Http2ProtocolOptions(
        max_concurrent_streams=STREAMS,
        initial_stream_window_size=STREAM_WINDOW,
        initial_connection_window_size=CONNECTION_WINDOW,
        # Floods of control frames (CVE-2019-9512, -9515): a tenth of Envoy's defaults still fits any honest
        # client.
        max_outbound_frames=2000,
        max_outbound_control_frames=200,
        max_consecutive_inbound_frames_with_empty_payload=1,
        max_inbound_priority_frames_per_stream=10,
        max_inbound_window_update_frames_per_data_frame_sent=10,
        # Rapid reset (CVE-2023-44487): a client may abort a burst of streams, not open and abort them all
        # day.
        stream_reset_burst=200,
        stream_reset_rate=20,
        connection_keepalive=KeepaliveSettings(
            # Finds clients that vanished while a long answer is being made; NATs forget after a minute or
            # more.
            interval=typed.seconds(30),
            timeout=typed.seconds(10),
        ),
    )
