"""ProcessingRequest bytes as Envoy sends them, for tests of the wire and the pump."""

from gateway import contract
from protos import ext_proc_pb2 as pb

ALL = {
    "tenant": "acme",
    "principal": "alice",
    "key_id": "k1",
    "scopes": "a b",
    "policy": "p-test",
    "request_id": "r1",
}


def fill(header_map, pairs):
    for key, value in pairs.items():
        header = header_map.headers.add()
        header.key, header.raw_value = key, value.encode("latin-1")


def head_message(headers=None, told=ALL, end=False):
    message = pb.ProcessingRequest()
    pairs = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json"} | (headers or {})
    fill(message.request_headers.headers, pairs)
    message.request_headers.end_of_stream = end
    if told is not None:
        fields = message.metadata_context.filter_metadata[contract.AUTHZ_NAMESPACE].fields
        for name, value in told.items():
            fields[name].string_value = value
    return message.SerializeToString()


def body_message(body, end=True):
    message = pb.ProcessingRequest()
    message.request_body.body, message.request_body.end_of_stream = body, end
    return message.SerializeToString()


def reply_head(kind="text/event-stream", status="200", details=contract.VIA_UPSTREAM):
    message = pb.ProcessingRequest()
    fill(message.response_headers.headers, {":status": status, "content-type": kind})
    message.attributes["envoy.filters.http.ext_proc"].fields[contract.ATTR_CODE_DETAILS].string_value = details
    return message.SerializeToString()


def reply_message(body, end=False):
    message = pb.ProcessingRequest()
    message.response_body.body, message.response_body.end_of_stream = body, end
    return message.SerializeToString()


def attempt_message(backend="demo", told=None, headers=None):
    message = pb.ProcessingRequest()
    fill(message.request_headers.headers, {":path": "/x", ":authority": "gateway"} | (headers or {}))
    value = f'fields {{ key: "backend" value {{ string_value: "{backend}" }} }}'
    text = f'filter_metadata {{ key: "ostiary" value {{ {value} }} }}'
    message.attributes["envoy.filters.http.ext_proc"].fields[contract.ATTR_HOST_METADATA].string_value = text
    fields = message.metadata_context.filter_metadata["ostiary"].fields
    for name, value in (told or {"backends": "demo", "policy": "p-test", "front_path": "/v1/chat/completions"}).items():
        fields[name].string_value = value
    return message.SerializeToString()
