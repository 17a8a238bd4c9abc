"""CheckRequest bytes to `Ask`, decisions to CheckResponse bytes. All of authz that knows protobuf."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, cast

from google.protobuf.struct_pb2 import Struct, Value

from authz.decide import Allowed, Ask
from gateway import contract, obligation
from gateway.errors import Rendered
from gateway.identity import NO_OBLIGATIONS, Caller
from protos.core_pb2 import HeaderValue, HeaderValueOption
from protos.ext_authz_pb2 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from protos.status_pb2 import HttpStatus, StatusCode
from protos.wire_pb2 import RpcStatus

#: About 400 bytes each. A worker that sees more keys than this between two uses of one builds that one again.
_REMEMBERED_KEYS: Final = 4096
#: About 600 bytes each: what callers send that is removed, times the states of their limits.
_REMEMBERED_HEADERS: Final = 4096
#: About 200 bytes each. Ids have one length, or as many as clients make them: 64 at most.
_REMEMBERED_LENGTHS: Final = 1024


def decode(raw: bytes) -> Ask:
    """The request that Envoy asks about; with several header spellings, the one that shows duplicates.

    Raises:
        google.protobuf.message.DecodeError: the bytes are no CheckRequest.
    """
    attributes = CheckRequest.FromString(raw).attributes
    http, source = attributes.request.http, attributes.source
    listed = http.header_map.headers
    if listed:
        # Header values are bytes; Latin-1 gives each one a character and cannot fail (RFC 9110 section 5.5).
        read = [(header.key.lower(), header.raw_value.decode("latin-1") or header.value) for header in listed]
    else:
        read = [(name.lower(), value) for name, value in http.headers.items()]
    believed = [value for name, value in read if name == contract.BELIEVED_ADDRESS_HEADER]
    address = believed[0] if len(believed) == 1 else source.address.socket_address.address
    return Ask(http.method, http.path, tuple(read), address, source.certificate)


def allowed(decision: Allowed, told: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Let the request through, without the headers of `remove`, with the caller as metadata.

    `told` are headers that the client gets with whatever answer comes.

    The answer is a concatenation: most parts are the same in many answers, and protobuf parsers merge messages that
    come in pieces (Protocol Buffers, "Encoding", "Last One Wins").
    """
    caller = decision.caller
    parts = [
        _per_key(caller.tenant, caller.principal, caller.key_id, caller.scopes, caller.policy),
        _changes(decision.remove, told),
    ]
    for name, value in _per_request(caller).items():
        raw = value.encode()
        parts += (_before(name, len(raw)), raw)
    return b"".join(parts)


def denied(rendered: Rendered, extra: Iterable[tuple[str, str]], grpc: int, caller: Caller) -> bytes:
    """Refuse with the rendered error. The metadata is for the access log: a refused request ends here."""
    return CheckResponse(
        status=RpcStatus(code=grpc),
        denied_response=DeniedHttpResponse(
            # The enum names the codes that we know; proto3 enums are open to all others.
            status=HttpStatus(code=cast("StatusCode", rendered.status)),
            headers=[_header(name, value) for name, value in (*rendered.headers, *extra)],
            body=rendered.body.decode(),
        ),
        dynamic_metadata=_struct({**_identity(caller), **_per_request(caller)}),
    ).SerializeToString()


@lru_cache(maxsize=_REMEMBERED_HEADERS)
def _changes(remove: tuple[str, ...], told: tuple[tuple[str, str], ...]) -> bytes:
    """Headers to remove, and headers of the answer: Envoy adds them after `inspect` has taken away the provider's."""
    headers = [_header(name, value) for name, value in told]
    changes = OkHttpResponse(headers_to_remove=remove, response_headers_to_add=headers)
    return CheckResponse(ok_response=changes).SerializeToString()


@lru_cache(maxsize=_REMEMBERED_LENGTHS)
def _before(name: str, value_bytes: int) -> bytes:
    """What stands before a value of that length in a CheckResponse that has it as metadata and nothing else.

    The value comes last, so whole messages need not be built around each: four objects for one text.
    """
    whole = CheckResponse(dynamic_metadata=_struct({name: "x" * value_bytes})).SerializeToString()
    return whole[: len(whole) - value_bytes]


@lru_cache(maxsize=_REMEMBERED_KEYS)
def _per_key(tenant: str, principal: str, key_id: str, scopes: tuple[str, ...], policy: str) -> bytes:
    caller = Caller(tenant=tenant, principal=principal, key_id=key_id, scopes=scopes, policy=policy, request_id="")
    # A present status with code 0 (OK) is what makes Envoy go on.
    return CheckResponse(
        status=RpcStatus(), ok_response=OkHttpResponse(), dynamic_metadata=_struct(_identity(caller))
    ).SerializeToString()


def _identity(caller: Caller) -> dict[str, str]:
    return {
        contract.TENANT: caller.tenant,
        contract.PRINCIPAL: caller.principal,
        contract.KEY_ID: caller.key_id,
        contract.SCOPES: " ".join(caller.scopes),
        contract.POLICY: caller.policy,
    }


def _per_request(caller: Caller) -> dict[str, str]:
    told = {contract.REQUEST_ID: caller.request_id, contract.TRACEPARENT: caller.traceparent}
    if caller.client:
        told[contract.CLIENT] = caller.client
    if caller.certificate:
        told[contract.CERTIFICATE] = caller.certificate
    if caller.issued_at:
        told[contract.ISSUED_AT] = str(caller.issued_at)
    if caller.obligations is not NO_OBLIGATIONS:
        told[contract.OBLIGATIONS] = obligation.write(caller.obligations)
    if caller.decision:
        told[contract.OPA_DECISION] = caller.decision
    return told


def _struct(values: dict[str, str]) -> Struct:
    return Struct(fields={name: Value(string_value=value) for name, value in values.items()})


def _header(name: str, value: str) -> HeaderValueOption:
    # Overwriting, because Envoy's local reply already has a content-type.
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
