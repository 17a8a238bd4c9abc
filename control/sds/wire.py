"""Envoy's discovery messages of secrets, to and from bytes. Keeps nothing and decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from protos import discovery_pb2, tls_pb2

SERVICE: Final = "envoy.service.secret.v3.SecretDiscoveryService"
METHOD: Final = "StreamSecrets"
TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


class WireError(ValueError):
    """Not what Envoy sends. Holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What Envoy wants, or what it made of the last answer."""

    names: tuple[str, ...]
    nonce: str  # of the answer that this is about; "": the stream's first request
    refused: int  # a gRPC code where Envoy did not take that answer


@dataclass(frozen=True, slots=True)
class Handout:
    """One secret under one name: what Envoy is sent."""

    version: str
    body: bytes = field(repr=False)


def request(message: bytes) -> Request:
    """The request in a message. Raises WireError."""
    try:
        read = discovery_pb2.DiscoveryRequest.FromString(message)
    except DecodeError:
        raise WireError("no discovery request") from None
    if read.type_url not in {"", TYPE}:
        raise WireError("asks for another type than secrets")
    # What Envoy says of a refusal stays unread: it may quote the message that it refused, and the key with it.
    return Request(tuple(read.resource_names), read.response_nonce, read.error_detail.code)


def response(handouts: Sequence[Handout], nonce: str) -> bytes:
    """The answer that hands these out."""
    return discovery_pb2.DiscoveryResponse(
        version_info=" ".join(each.version for each in handouts),
        resources=[Any(type_url=TYPE, value=each.body) for each in handouts],
        type_url=TYPE,
        nonce=nonce,
    ).SerializeToString()


def certificate(name: str, version: str, chain: bytes, key: bytes) -> Handout:
    """A certificate chain with its private key, both PEM."""
    secret = tls_pb2.Secret(name=name)
    secret.tls_certificate.certificate_chain.inline_bytes = chain
    secret.tls_certificate.private_key.inline_bytes = key
    return Handout(version, secret.SerializeToString())


def authorities(name: str, version: str, bundle: bytes) -> Handout:
    """CAs that are believed, as PEM."""
    secret = tls_pb2.Secret(name=name)
    secret.validation_context.trusted_ca.inline_bytes = bundle
    return Handout(version, secret.SerializeToString())
