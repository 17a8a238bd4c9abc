"""Envoy's discovery messages, byte for byte as its own types read them."""

import pytest
from google.protobuf.any_pb2 import Any

from control.sds import wire
from protos import discovery_pb2, tls_pb2


def test_a_request_is_read_and_what_envoy_says_of_a_refusal_is_not():
    message = discovery_pb2.DiscoveryRequest(type_url=wire.TYPE, resource_names=["a"], response_nonce="7")
    message.error_detail.code = 13
    message.error_detail.message = "the key was ..."
    assert wire.request(message.SerializeToString()) == wire.Request(("a",), "7", 13)


def test_another_type_and_what_is_no_message_are_refused():
    other = discovery_pb2.DiscoveryRequest(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster")
    for message in (other.SerializeToString(), b"\xff\xff"):
        with pytest.raises(wire.WireError):
            wire.request(message)


def test_an_answer_holds_the_certificate_with_its_key_and_the_authorities():
    handouts = [wire.certificate("own", "v1", b"chain", b"key"), wire.authorities("theirs", "v2", b"bundle")]
    read = discovery_pb2.DiscoveryResponse.FromString(wire.response(handouts, "3"))
    assert (read.version_info, read.nonce, read.type_url) == ("v1 v2", "3", wire.TYPE)
    own, theirs = [tls_pb2.Secret.FromString(unpacked(each).value) for each in read.resources]
    assert own.name == "own"
    assert own.tls_certificate.certificate_chain.inline_bytes == b"chain"
    assert own.tls_certificate.private_key.inline_bytes == b"key"
    assert theirs.validation_context.trusted_ca.inline_bytes == b"bundle"
    assert "key" not in repr(handouts[0])


def unpacked(resource: Any) -> Any:
    assert resource.type_url == wire.TYPE
    return resource
