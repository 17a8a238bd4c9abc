"""ext_proc messages to events, commands to messages. The only module of `extproc` that knows protobuf.

Bytes in, bytes out: the gRPC layer stays generic (measured faster than generated servicers), and replies that never
change are serialised once. Field names: Envoy API, envoy.service.ext_proc.v3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from extproc.core.commands import (
    Answer,
    Command,
    HeaderChange,
    PassRequestBody,
    PassRequestHead,
    PassResponseHead,
    PassResponseTrailers,
    SendBody,
)
from extproc.core.events import (
    Event,
    Headers,
    RequestBody,
    RequestHead,
    RequestTrailers,
    ResponseChunk,
    ResponseHead,
    ResponseTrailers,
)
from gateway import contract, obligation
from gateway.errors import Rendered
from gateway.identity import NO_OBLIGATIONS, Caller, Obligations
from protos import core_pb2 as core
from protos import ext_proc_pb2 as pb
from protos import processing_pb2 as modes

#: Envoy files the attributes that it was asked for under this key (ext_proc.proto, `attributes`).
_ATTRIBUTES: Final = "envoy.filters.http.ext_proc"
_OVERWRITE: Final = core.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


class GarbageError(Exception):
    """A message that is no ProcessingRequest, or a kind that our filter configuration never sends."""


def decode(raw: bytes) -> Event:
    """One ProcessingRequest as an event. Raises GarbageError."""
    message, kind = _parse(raw)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise GarbageError(kind)
    return decoder(message)


def _parse(raw: bytes) -> tuple[pb.ProcessingRequest, str]:
    try:
        message = pb.ProcessingRequest.FromString(raw)
    except DecodeError:
        raise GarbageError("not a ProcessingRequest") from None
    # WhichOneof is typed as Any by the stubs.
    return message, cast("str", message.WhichOneof("request") or "")


def _headers(header_map: core.HeaderMap) -> Headers:
    # Envoy fills raw_value; value is the fallback of older senders. Latin-1 never fails and loses nothing.
    return tuple((h.key, h.raw_value.decode("latin-1") or h.value) for h in header_map.headers)


def _request_head(message: pb.ProcessingRequest) -> Event:
    head = message.request_headers
    return RequestHead(_headers(head.headers), _caller(message.metadata_context), head.end_of_stream)


def _caller(context: core.Metadata) -> Caller | None:
    if contract.AUTHZ_NAMESPACE not in context.filter_metadata:
        return None
    fields = context.filter_metadata[contract.AUTHZ_NAMESPACE].fields
    if contract.TENANT not in fields or contract.POLICY not in fields:
        return None
    return Caller(
        tenant=fields[contract.TENANT].string_value,
        principal=_text(fields, contract.PRINCIPAL),
        key_id=_text(fields, contract.KEY_ID),
        scopes=tuple(_text(fields, contract.SCOPES).split()),
        policy=fields[contract.POLICY].string_value,
        request_id=_text(fields, contract.REQUEST_ID),
        traceparent=_text(fields, contract.TRACEPARENT),
        client=_text(fields, contract.CLIENT),
        certificate=_text(fields, contract.CERTIFICATE),
        issued_at=int(_text(fields, contract.ISSUED_AT) or 0),
        obligations=_obligations(_text(fields, contract.OBLIGATIONS)),
        decision=_text(fields, contract.OPA_DECISION),
    )


def _obligations(text: str) -> Obligations:
    if not text:
        return NO_OBLIGATIONS
    try:
        return obligation.read(text)
    except ValueError:
        # What must be seen to cannot be read, so the exchange cannot go on.
        raise GarbageError("obligations of authz") from None


def _text(fields: Mapping[str, Any], name: str) -> str:
    return str(fields[name].string_value) if name in fields else ""


def _attributes(message: pb.ProcessingRequest) -> dict[str, str]:
    if _ATTRIBUTES not in message.attributes:
        return {}
    return {name: _attribute(value) for name, value in message.attributes[_ATTRIBUTES].fields.items()}


def _attribute(value: Any) -> str:
    return str(int(value.number_value)) if value.HasField("number_value") else str(value.string_value)


def _request_body(message: pb.ProcessingRequest) -> Event:
    return RequestBody(message.request_body.body, message.request_body.end_of_stream)


def _request_trailers(message: pb.ProcessingRequest) -> Event:
    del message
    return RequestTrailers()


def _response_head(message: pb.ProcessingRequest) -> Event:
    head = message.response_headers
    attributes = _attributes(message)
    if contract.ATTR_HOST_METADATA in attributes:
        attributes[contract.ATTR_HOST_METADATA] = _backend_of(attributes[contract.ATTR_HOST_METADATA])
    return ResponseHead(_headers(head.headers), head.end_of_stream, attributes)


def _response_body(message: pb.ProcessingRequest) -> Event:
    return ResponseChunk(message.response_body.body, message.response_body.end_of_stream)


def _response_trailers(message: pb.ProcessingRequest) -> Event:
    return ResponseTrailers(tuple(h.key for h in message.response_trailers.trailers.headers))


_DECODERS: Final[Mapping[str, Callable[[pb.ProcessingRequest], Event]]] = {
    "request_headers": _request_head,
    "request_body": _request_body,
    "request_trailers": _request_trailers,
    "response_headers": _response_head,
    "response_body": _response_body,
    "response_trailers": _response_trailers,
}


def _constant(field: str) -> bytes:
    message = pb.ProcessingResponse()
    getattr(message, field).SetInParent()
    return message.SerializeToString()


_PASS_REQUEST_HEAD: Final = _constant("request_headers")


def encode(command: Command) -> bytes:
    """One command as a serialised ProcessingResponse. `Put` is not for Envoy and has no encoding."""
    match command:
        case SendBody():
            message = pb.ProcessingResponse()
            streamed = message.response_body.response.body_mutation.streamed_response
            streamed.body = command.body
            streamed.end_of_stream = command.end_of_stream
            return message.SerializeToString()
        case PassRequestHead():
            return _PASS_REQUEST_HEAD
        case PassRequestBody():
            return _pass_request_body(command)
        case PassResponseHead():
            return _pass_response_head(command.change)
        case PassResponseTrailers():
            message = pb.ProcessingResponse()
            message.response_trailers.header_mutation.remove_headers.extend(command.remove)
            return message.SerializeToString()
        case Answer():
            return immediate(command.rendered, command.details)
        case _:
            raise TypeError(type(command).__name__)


def _pass_request_body(command: PassRequestBody) -> bytes:
    message = pb.ProcessingResponse()
    common = message.request_body.response
    common.clear_route_cache = True
    _mutate(common.header_mutation, command.change)
    if command.body is not None:
        common.body_mutation.body = command.body
        # Envoy answers 500 when a BUFFERED body changes and content-length does not (design: Bodies and messages).
        _put(common.header_mutation, "content-length", str(len(command.body)))
    fields = message.dynamic_metadata.fields[contract.OSTIARY_NAMESPACE].struct_value.fields
    for name, value in command.metadata.items():
        fields[name].string_value = value
    return message.SerializeToString()


@lru_cache(maxsize=512)  # one entry for each set of header names that backends send: a handful in practice
def _pass_response_head(change: HeaderChange) -> bytes:
    message = pb.ProcessingResponse()
    message.response_headers.SetInParent()
    _mutate(message.response_headers.response.header_mutation, change)
    return message.SerializeToString()


def _mutate(mutation: pb.HeaderMutation, change: HeaderChange) -> None:
    mutation.remove_headers.extend(change.remove)
    for name, value in change.put:
        _put(mutation, name, value)


def _put(mutation: pb.HeaderMutation, name: str, value: str) -> None:
    option = mutation.set_headers.add()
    option.append_action = _OVERWRITE
    option.header.key = name
    option.header.raw_value = value.encode("latin-1")


def immediate(rendered: Rendered, details: str) -> bytes:
    """An ImmediateResponse: the gateway answers in place of the upstream."""
    message = pb.ProcessingResponse()
    answer = message.immediate_response
    answer.status.code = cast("Any", rendered.status)
    # An answer of ours to a reply that Envoy was already making meets no other filter that would add these.
    for name, value in (*rendered.headers, *contract.SECURITY_HEADERS, contract.NO_STORE):
        _put(answer.headers, name, value)
    answer.body = rendered.body
    answer.details = details
    return message.SerializeToString()


# --- adapt ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one backend, as the upstream filter shows it."""

    headers: Headers
    backend: str  # of the host that Envoy chose
    told: Mapping[str, str]  # what `inspect` pinned in metadata


def decode_attempt(raw: bytes) -> Attempt:
    """The request headers of one attempt. Raises GarbageError for anything else."""
    message, kind = _parse(raw)
    if kind != "request_headers":
        raise GarbageError(kind)
    told: dict[str, str] = {}
    if contract.OSTIARY_NAMESPACE in message.metadata_context.filter_metadata:
        fields = message.metadata_context.filter_metadata[contract.OSTIARY_NAMESPACE].fields
        told = {name: value.string_value for name, value in fields.items()}
    host = _attributes(message).get(contract.ATTR_HOST_METADATA, "")
    return Attempt(_headers(message.request_headers.headers), _backend_of(host), told)


@lru_cache(maxsize=1024)  # one entry for each host; the text is Envoy's own, never a client's
def _backend_of(host_metadata: str) -> str:
    metadata = core.Metadata()
    try:
        text_format.Parse(host_metadata, metadata)
    except text_format.ParseError:
        return ""
    return _text(metadata.filter_metadata[contract.HOST_NAMESPACE].fields, contract.HOST_BACKEND)


def ask_for_body() -> bytes:
    """Let Envoy hold the attempt's headers until its body was shown, whole (ext_proc, `mode_override`)."""
    message = pb.ProcessingResponse()
    message.request_headers.SetInParent()
    # Named in full: what is left out would be the mode's own default, and not the filter's.
    mode = message.mode_override
    mode.request_body_mode = modes.ProcessingMode.BUFFERED
    mode.response_header_mode = modes.ProcessingMode.SKIP
    mode.request_trailer_mode = mode.response_trailer_mode = modes.ProcessingMode.SKIP
    return message.SerializeToString()


def decode_attempt_body(raw: bytes) -> bytes:
    """The whole body of an attempt, as `inspect` let it pass. Raises GarbageError for anything else."""
    message, kind = _parse(raw)
    if kind != "request_body" or not message.request_body.end_of_stream:
        raise GarbageError(kind)
    return message.request_body.body


def encode_attempt(change: HeaderChange, body: bytes | None = None) -> bytes:
    """Let the attempt go, with its path, authority and credential set afresh. `body`: what was asked for, rewritten."""
    message = pb.ProcessingResponse()
    if body is None:
        message.request_headers.SetInParent()
        _mutate(message.request_headers.response.header_mutation, change)
    else:
        mutation = message.request_body.response.header_mutation
        _mutate(mutation, change)
        _put(mutation, "content-length", str(len(body)))  # Envoy refuses (500) a body that its old length contradicts
        message.request_body.response.body_mutation.body = body
    return message.SerializeToString()
