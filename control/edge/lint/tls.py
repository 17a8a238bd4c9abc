"""Rules about TLS on both sides: who can listen in, and whose certificates are believed."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.clusters import is_loopback
from control.edge.lint.node import Node
from control.edge.lint.parts import extension
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey

_VERSIONS: Final = ("TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")
_TRUST: Final = ("VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED")
#: Where a CA may come from, inside a validation context; system_root_certs is a message that may be empty.
_CA_FIELDS: Final = (
    "trusted_ca",
    "ca_certificate_provider_instance",
    "system_root_certs",
    "custom_validator_config",
)
_CA_ELSEWHERE: Final = (
    "validation_context_sds_secret_config",
    "validation_context_certificate_provider",
    "validation_context_certificate_provider_instance",
)


def _contexts(survey: Survey) -> Iterator[tuple[Node, Node, bool]]:
    """Chain, TLS context and whether it is QUIC, for every governed chain that has one."""
    for manager in survey.governed:
        socket = extension(manager.chain.get("transport_socket"))
        if socket.type.endswith("DownstreamTlsContext"):
            yield manager.chain, socket.config, False
        elif socket.type.endswith("QuicDownstreamTransport"):
            yield manager.chain, socket.config.get("downstream_tls_context"), True


def _providers(survey: Survey) -> Iterator[Node]:
    """The TLS contexts towards providers and TCP workers."""
    for cluster in (*survey.backends, *survey.sidecars):
        sockets = [cluster.node.get("transport_socket")]
        sockets += [match.get("transport_socket") for match in cluster.node.get("transport_socket_matches").elements]
        for socket in map(extension, sockets):
            if socket.type.endswith("UpstreamTlsContext"):
                yield socket.config or socket.node


def _validation(context: Node) -> Node:
    common = context.get("common_tls_context")
    return common.get("validation_context") or common.get("combined_validation_context", "default_validation_context")


def _has_ca(context: Node) -> bool:
    common = context.get("common_tls_context")
    combined = common.get("combined_validation_context")
    if any(place.get(name) for place in (common, combined) for name in _CA_ELSEWHERE):
        return True
    return any(_validation(context).get(name) for name in _CA_FIELDS)


def _version(node: Node) -> int:
    name = quantity.choice(node, *_VERSIONS)
    known = [each.upper() for each in _VERSIONS]
    return known.index(name.upper()) if name.upper() in known else 0


@rule(
    "tls.min-version",
    ERROR,
    why="Older versions allow weak ciphers and handshakes in clear; every SDK in use speaks TLS 1.3.",
    remedy="Set common_tls_context.tls_params.tls_minimum_protocol_version: TLSv1_3.",
)
def _min_version(survey: Survey) -> Iterator[Hit]:
    newest = len(_VERSIONS) - 1
    for _, context, quic in _contexts(survey):
        params = context.get("common_tls_context", "tls_params")
        least, most = params.get("tls_minimum_protocol_version"), params.get("tls_maximum_protocol_version")
        if not quic and _version(least) < newest:
            yield Hit(least, "clients may use TLS below 1.3")
        elif not quic and 0 < _version(most) < newest:
            yield Hit(most, "TLS 1.3 is not offered")


@rule(
    "tls.missing",
    ERROR,
    why="Keys, prompts and answers cross the network in clear.",
    remedy=("Give the filter chain a transport_socket with DownstreamTlsContext, or bind the listener to loopback."),
)
def _missing(survey: Survey) -> Iterator[Hit]:
    secured = {id(chain) for chain, _, _ in _contexts(survey)}
    for manager in survey.governed:
        addresses = [manager.listener.get("address")]
        addresses += [each.get("address") for each in manager.listener.get("additional_addresses").elements]
        open_to_others = [
            each
            for each in addresses
            if each.get("socket_address") and not is_loopback(each.get("socket_address", "address").text)
        ]
        if open_to_others and id(manager.chain) not in secured:
            yield Hit(manager.chain.get("transport_socket"), "a chain on a public address has no TLS")


@rule(
    "tls.client-ca-missing",
    ERROR,
    why="Any certificate that a client makes for itself is then a valid one.",
    remedy="Set validation_context.trusted_ca to the CA that signs client certificates.",
)
def _client_ca_missing(survey: Survey) -> Iterator[Hit]:
    for _, context, _ in _contexts(survey):
        if context.get("require_client_certificate").flag and not _has_ca(context):
            yield Hit(
                context.get("require_client_certificate"),
                "client certificates are required, but no CA is named",
            )


@rule(
    "tls.client-untrusted",
    ERROR,
    why="Certificates that no CA of yours has signed are accepted, and their names reach authz.",
    remedy="Remove trust_chain_verification: ACCEPT_UNTRUSTED and allow_expired_certificate.",
)
def _client_untrusted(survey: Survey) -> Iterator[Hit]:
    for _, context, _ in _contexts(survey):
        validation = _validation(context)
        if quantity.choice(validation.get("trust_chain_verification"), *_TRUST) == "ACCEPT_UNTRUSTED":
            yield Hit(validation.get("trust_chain_verification"), "untrusted client certificates are accepted")
        if validation.get("allow_expired_certificate").flag:
            yield Hit(validation.get("allow_expired_certificate"), "expired client certificates are accepted")


@rule(
    "tls.key-log",
    ERROR,
    why="The file lets its readers decrypt every recorded connection.",
    remedy="Remove key_log.",
)
def _key_log(survey: Survey) -> Iterator[Hit]:
    for key, value in survey.root.walk_entries():
        if key in {"key_log", "keyLog"} and value.get("path"):
            yield Hit(value, "TLS session keys are written to a file")


@rule(
    "tls.tap",
    ERROR,
    why=("Decrypted bytes of every connection, keys and prompts included, are copied to a file or to the admin."),
    remedy="Use the inner transport socket without the tap.",
)
def _tap(survey: Survey) -> Iterator[Hit]:
    for key, value in survey.root.walk_entries():
        if key in {"@type", "type_url", "typeUrl"} and ".transport_sockets.tap." in value.text:
            yield Hit(value, "a transport socket is tapped")


@rule(
    "backend.tls-unverified",
    ERROR,
    why=("Envoy verifies no server certificate unless it is told how: anybody on the path can be the provider."),
    remedy=(
        "Set validation_context.trusted_ca (or system_root_certs), and no ACCEPT_UNTRUSTED or "
        "allow_expired_certificate."
    ),
)
def _unverified(survey: Survey) -> Iterator[Hit]:
    for context in _providers(survey):
        validation = _validation(context)
        if not _has_ca(context):
            yield Hit(validation, "the provider's certificate is not verified: no CA is named")
        if quantity.choice(validation.get("trust_chain_verification"), *_TRUST) == "ACCEPT_UNTRUSTED":
            yield Hit(validation.get("trust_chain_verification"), "untrusted provider certificates are accepted")
        if validation.get("allow_expired_certificate").flag:
            yield Hit(validation.get("allow_expired_certificate"), "expired provider certificates are accepted")


@rule(
    "backend.tls-any-name",
    ERROR,
    why="Any certificate of a public CA will do, whoever's name is on it.",
    remedy="Set match_typed_subject_alt_names, or auto_sni_san_validation with an sni.",
)
def _any_name(survey: Survey) -> Iterator[Hit]:
    pinned = (
        "match_typed_subject_alt_names",
        "match_subject_alt_names",
        "verify_certificate_hash",
        "verify_certificate_spki",
    )
    for context in _providers(survey):
        if not _has_ca(context) or context.get("auto_sni_san_validation").flag:
            continue
        if context.get("common_tls_context", "validation_context_sds_secret_config"):
            continue  # names may come with the secret
        if not any(_validation(context).get(name).elements for name in pinned):
            yield Hit(_validation(context), "the name in the provider's certificate is not checked")


@rule(
    "backend.tls-old-version",
    WARNING,
    why="TLS 1.0 and 1.1 are broken (RFC 8996).",
    remedy="Set tls_minimum_protocol_version to TLSv1_2 or TLSv1_3.",
)
def _old_version(survey: Survey) -> Iterator[Hit]:
    for context in _providers(survey):
        for name in ("tls_minimum_protocol_version", "tls_maximum_protocol_version"):
            place = context.get("common_tls_context", "tls_params", name)
            if 0 < _version(place) < _VERSIONS.index("TLSv1_2"):
                yield Hit(place, "TLS below 1.2 is allowed towards a provider")
