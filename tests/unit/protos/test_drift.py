"""Every message, field and enum value of our wire types against Envoy's own, as envoy-data-plane has them."""

import importlib
from collections.abc import Iterator

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor

from protos import (
    core_pb2,
    discovery_pb2,
    ext_authz_pb2,
    ext_proc_pb2,
    processing_pb2,
    status_pb2,
    tls_pb2,
    wire_pb2,
)
from tools.protos import ROOT

#: Raised while envoy-data-plane defines its classes; theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince212")

ENVOY_FILES = [
    module.DESCRIPTOR
    for module in (core_pb2, discovery_pb2, ext_authz_pb2, ext_proc_pb2, processing_pb2, status_pb2, tls_pb2)
]
#: Envoy declares these fields with a message whose name another package owns (protos/wire.proto).
RENAMED = {"ostiary.wire.RpcStatus": "google.rpc.Status"}
#: The rest of protos/wire.proto, from gRPC's health.proto: envoy-data-plane does not hold it.
HEALTH = {
    "ostiary.wire.HealthCheckRequest": {"service": (1, "string")},
    "ostiary.wire.HealthCheckResponse": {"status": (1, "enum")},
}
SERVING_STATUS = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}

TYPES = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_MESSAGE: "message",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
}
#: What betterproto2 makes of these well-known types in annotations.
NATIVE = {"google.protobuf.Duration": "timedelta", "google.protobuf.Timestamp": "datetime"}


def messages(file: FileDescriptor) -> Iterator[Descriptor]:
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        if not message.GetOptions().map_entry:
            yield message
        waiting += message.nested_types


def enums(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    yield from file.enum_types_by_name.values()
    for message in messages(file):
        yield from message.enum_types


def official(full_name: str) -> type:
    """The betterproto2 class: it flattens nested names (`A.B` -> `AB`) and spells acronyms its way."""
    parts = full_name.split(".")
    first = next(i for i, part in enumerate(parts) if part[0].isupper())
    module = importlib.import_module("envoy_data_plane." + ".".join(parts[:first]))
    wanted = "".join(parts[first:]).lower()
    return next(value for name, value in vars(module).items() if name.lower() == wanted)


def same_class(ours: Descriptor | EnumDescriptor, theirs: type) -> bool:
    full_name = RENAMED.get(ours.full_name, ours.full_name)
    if full_name in NATIVE:
        return theirs.__name__ == NATIVE[full_name]
    return theirs is official(full_name)


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def differences(message: Descriptor) -> list[str]:
    """Every way in which a message of ours would be read differently by Envoy."""
    table = official(RENAMED.get(message.full_name, message.full_name))()._betterproto
    found = []
    for field in message.fields:
        theirs = table.meta_by_field_name.get(field.name)
        if theirs is None:
            found.append(f"{field.full_name}: Envoy has no such field")
            continue
        oneof = field.containing_oneof.name if field.containing_oneof else None
        ours = {
            "number": field.number,
            "type": "map" if is_map(field) else TYPES[field.type],
            "repeated": field.is_repeated and not is_map(field),
            "oneof": oneof,
        }
        envoy = {
            "number": theirs.number,
            "type": theirs.proto_type,
            "repeated": theirs.repeated,
            "oneof": theirs.group,
        }
        found += [f"{field.full_name}: {key} {ours[key]} is {envoy[key]}" for key in ours if ours[key] != envoy[key]]
        found += _deeper(field, theirs, table.cls_by_field)
    return found


def _deeper(field, theirs, classes) -> Iterator[str]:
    if is_map(field):
        key, value = field.message_type.fields
        pair = (TYPES[key.type], TYPES[value.type])
        if theirs.map_meta is None or pair != tuple(part.proto_type for part in theirs.map_meta):
            yield f"{field.full_name}: map of {pair}"
        elif value.message_type is not None and not same_class(value.message_type, classes[f"{field.name}.value"]):
            yield f"{field.full_name}: map to {value.message_type.full_name}"
        return
    referred = field.message_type or field.enum_type
    if referred is not None and not same_class(referred, classes[field.name]):
        yield f"{field.full_name}: refers to {referred.full_name}, Envoy to {classes[field.name]}"


MESSAGES = [message for file in ENVOY_FILES for message in messages(file)]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.full_name)
def test_message_is_read_by_envoy_as_we_wrote_it(message):
    assert message.fields
    assert differences(message) == []


ENUMS = [enum for file in ENVOY_FILES for enum in enums(file)]


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.full_name)
def test_enum_values_have_envoys_names_and_numbers(enum):
    theirs = {member.name: member.value for member in official(enum.full_name)}
    ours = {value.name: value.number for value in enum.values}
    assert ours.items() <= theirs.items()


def test_rpc_status_is_googles_status_under_our_name():
    assert wire_pb2.RpcStatus.DESCRIPTOR.full_name == "ostiary.wire.RpcStatus"
    assert differences(wire_pb2.RpcStatus.DESCRIPTOR) == []


def test_health_messages_are_grpcs_under_our_name():
    found = {
        message.full_name: {field.name: (field.number, TYPES[field.type]) for field in message.fields}
        for message in messages(wire_pb2.DESCRIPTOR)
    }
    assert found.pop("ostiary.wire.RpcStatus")
    assert found == HEALTH
    serving = wire_pb2.HealthCheckResponse.DESCRIPTOR.enum_types_by_name["ServingStatus"]
    assert {value.name: value.number for value in serving.values} == SERVING_STATUS


def test_every_proto_file_is_walked():
    walked = {file.name for file in ENVOY_FILES} | {wire_pb2.DESCRIPTOR.name}
    assert walked == {str(path.relative_to(ROOT)) for path in (ROOT / "protos").glob("*.proto")}


def altered(change) -> list[str]:
    """The differences of core.proto after `change` was done to a private copy of it."""
    pool = descriptor_pool.DescriptorPool()
    struct = descriptor_pb2.FileDescriptorProto()
    core_pb2.DESCRIPTOR.dependencies[0].CopyToProto(struct)
    pool.Add(struct)
    copy = descriptor_pb2.FileDescriptorProto()
    core_pb2.DESCRIPTOR.CopyToProto(copy)
    change({message.name: message for message in copy.message_type})
    pool.Add(copy)
    return [line for message in messages(pool.FindFileByName(copy.name)) for line in differences(message)]


def _renumber(by_name):
    by_name["HeaderValue"].field[2].number = 4


def _retype(by_name):
    by_name["HeaderValue"].field[2].type = FieldDescriptor.TYPE_STRING


def _single(by_name):
    by_name["HeaderMap"].field[0].label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL


def _free(by_name):
    # Field and oneof must go together, or the copy is no valid file.
    by_name["SocketAddress"].field[2].ClearField("oneof_index")
    by_name["SocketAddress"].field[3].ClearField("oneof_index")
    del by_name["SocketAddress"].oneof_decl[:]


def _rename(by_name):
    by_name["Pipe"].field[0].name = "file"


def _refer(by_name):
    by_name["HeaderMap"].field[0].type_name = ".envoy.config.core.v3.QueryParameter"


def _remap(by_name):
    by_name["Metadata"].nested_type[0].field[1].type_name = ".google.protobuf.Value"


@pytest.mark.parametrize("change", [_renumber, _retype, _single, _free, _rename, _refer, _remap])
def test_one_alteration_is_noticed(change):
    assert altered(change)


def test_unaltered_copy_has_no_differences():
    assert altered(lambda by_name: None) == []
