"""Bytes to events and back: what Envoy sends, and what it must be able to read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc import wire
from extproc.core.commands import (
    Answer,
    HeaderChange,
    PassRequestBody,
    PassRequestHead,
    PassResponseHead,
    PassResponseTrailers,
    SendBody,
)
from extproc.core.events import (
    RequestBody,
    RequestHead,
    RequestTrailers,
    ResponseChunk,
    ResponseHead,
    ResponseTrailers,
)
from gateway import contract
from gateway.errors import Rendered
from messages import attempt_message, body_message, fill, head_message, reply_head, reply_message
from protos import core_pb2
from protos import ext_proc_pb2 as pb
from protos import processing_pb2 as modes


def test_request_heads_carry_headers_and_the_caller_that_authz_pinned():
    event = wire.decode(head_message())
    assert isinstance(event, RequestHead)
    assert dict(event.headers)[":path"] == "/v1/chat/completions"
    assert event.caller.scopes == ("a", "b")
    assert event.caller.policy == "p-test"


@pytest.mark.parametrize("told", [None, {}, {"tenant": "acme"}, {"policy": "p"}])
def test_without_complete_metadata_there_is_no_caller(told):
    assert wire.decode(head_message(told=told)).caller is None


def test_header_values_survive_any_byte():
    value = "".join(map(chr, range(33, 256)))
    assert dict(wire.decode(head_message({"x-any": value})).headers)["x-any"] == value


def test_every_kind_of_message_becomes_its_event():
    assert wire.decode(body_message(b"x", end=False)) == RequestBody(b"x", end_of_stream=False)
    assert wire.decode(reply_message(b"y", end=True)) == ResponseChunk(b"y", end_of_stream=True)
    assert isinstance(wire.decode(reply_head()), ResponseHead)
    assert wire.decode(reply_head()).attributes == {contract.ATTR_CODE_DETAILS: "via_upstream"}
    message = pb.ProcessingRequest()
    message.request_trailers.SetInParent()
    assert wire.decode(message.SerializeToString()) == RequestTrailers()
    message = pb.ProcessingRequest()
    fill(message.response_trailers.trailers, {"x-a": "1"})
    assert wire.decode(message.SerializeToString()) == ResponseTrailers(("x-a",))


@given(st.binary(max_size=200))
def test_random_bytes_are_an_event_or_garbage_and_nothing_else(raw):
    try:
        wire.decode(raw)
    except wire.GarbageError:
        pass


def _read(command):
    return pb.ProcessingResponse.FromString(wire.encode(command))


def test_a_changed_body_always_comes_with_its_length():
    reply = _read(PassRequestBody(HeaderChange(put=(("x-ostiary-route", "oc-a"),)), b"12345", {"policy": "p"}))
    headers = {h.header.key: h.header.raw_value for h in reply.request_body.response.header_mutation.set_headers}
    assert headers == {"x-ostiary-route": b"oc-a", "content-length": b"5"}
    assert reply.request_body.response.clear_route_cache
    assert reply.dynamic_metadata["ostiary"]["policy"] == "p"


def test_an_untouched_body_is_not_sent_back():
    reply = _read(PassRequestBody(HeaderChange(), None, {}))
    assert not reply.request_body.response.HasField("body_mutation")


def test_every_header_that_we_put_overwrites():
    reply = _read(PassResponseHead(HeaderChange(put=(("a", "b"),), remove=("set-cookie",))))
    mutation = reply.response_headers.response.header_mutation
    assert [o.append_action for o in mutation.set_headers] == [core_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD]
    assert list(mutation.remove_headers) == ["set-cookie"]


def test_the_other_commands_are_their_messages():
    assert _read(PassRequestHead()).WhichOneof("response") == "request_headers"
    body = _read(SendBody(b"x", end_of_stream=True)).response_body.response.body_mutation.streamed_response
    assert (body.body, body.end_of_stream) == (b"x", True)
    assert list(_read(PassResponseTrailers(("a",))).response_trailers.header_mutation.remove_headers) == ["a"]
    answer = _read(Answer(Rendered(403, (("content-type", "application/json"),), b"{}"), "why")).immediate_response
    assert (answer.status.code, answer.body, answer.details) == (403, b"{}", "why")


def test_an_attempt_names_the_backend_that_envoy_chose():
    attempt = wire.decode_attempt(attempt_message())
    assert attempt.backend == "demo"
    assert attempt.told["policy"] == "p-test"


@pytest.mark.parametrize("raw", [body_message(b"x"), b"\xff", b""])
def test_anything_but_request_headers_is_garbage_to_an_attempt(raw):
    with pytest.raises(wire.GarbageError):
        wire.decode_attempt(raw)


def test_an_attempt_may_ask_for_its_body_and_sets_its_length():
    asked = pb.ProcessingResponse.FromString(wire.ask_for_body())
    assert asked.mode_override.request_body_mode == modes.ProcessingMode.BUFFERED
    assert asked.mode_override.response_header_mode == modes.ProcessingMode.SKIP
    assert wire.decode_attempt_body(body_message(b"whole")) == b"whole"
    reply = pb.ProcessingResponse.FromString(wire.encode_attempt(HeaderChange(put=((":path", "/x"),)), b"theirs"))
    told = {each.header.key: each.header.raw_value for each in reply.request_body.response.header_mutation.set_headers}
    assert told == {":path": b"/x", "content-length": b"6"}
    assert reply.request_body.response.body_mutation.body == b"theirs"


@pytest.mark.parametrize("raw", [head_message(), body_message(b"half", end=False), b"\xff", b""])
def test_anything_but_a_whole_body_is_garbage_to_an_attempt_that_waits_for_one(raw):
    with pytest.raises(wire.GarbageError):
        wire.decode_attempt_body(raw)


def test_host_metadata_that_cannot_be_read_names_no_backend():
    assert wire._backend_of("}{") == ""
    assert wire._backend_of("") == ""
