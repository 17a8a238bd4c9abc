"""CheckRequest and CheckResponse as bytes: what Envoy sends is read whole, and it gets what was decided."""

import contextlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from authz import wire
from authz.decide import Allowed, nobody
from authz_case import GOOD, REQUEST_ID, TRACEPARENT, ask, bearer, raw
from gateway import contract
from gateway.errors import Dialect, GatewayError, Kind, render
from gateway.identity import Caller
from protos.core_pb2 import HeaderValueOption
from protos.ext_authz_pb2 import CheckRequest, CheckResponse

CALLER = Caller(
    tenant="acme",
    principal="alice",
    key_id="alice0000001",
    scopes=("chat", "embed"),
    policy="p-0123456789ab",
    request_id=REQUEST_ID,
    traceparent=TRACEPARENT,
)
METADATA = {
    contract.TENANT: "acme",
    contract.PRINCIPAL: "alice",
    contract.KEY_ID: "alice0000001",
    contract.SCOPES: "chat embed",
    contract.POLICY: "p-0123456789ab",
    contract.REQUEST_ID: REQUEST_ID,
    contract.TRACEPARENT: TRACEPARENT,
}


def read(answer: bytes) -> CheckResponse:
    return CheckResponse.FromString(answer)


def test_raw_headers_keep_order_and_duplicates():
    asked = ask(("b", "2"), ("a", "1"), ("b", "3"), method="GET", target="/v1/models?x=1")
    assert wire.decode(raw(asked)) == asked


def test_joined_headers_show_the_comma():
    asked = wire.decode(raw(ask(bearer("a"), bearer("b")), joined=True))
    assert asked.headers == (("authorization", "Bearer a,Bearer b"),)


def test_header_value_bytes_need_not_be_utf8():
    request = CheckRequest()
    request.attributes.request.http.header_map.headers.add(key="X-Odd", raw_value=b"\xff\xe9\x00")
    assert wire.decode(request.SerializeToString()).headers == (("x-odd", "ÿé\x00"),)


def test_header_map_with_plain_values_is_read():
    request = CheckRequest()
    request.attributes.request.http.header_map.headers.add(key="x", value="y")
    assert wire.decode(request.SerializeToString()).headers == (("x", "y"),)


def test_empty_request_is_an_ask_without_anything():
    asked = wire.decode(b"")
    assert (asked.method, asked.target, asked.headers) == ("", "", ())


@pytest.mark.parametrize("garbage", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\x22\xff"])
def test_garbage_is_no_request(garbage):
    with pytest.raises(DecodeError):
        wire.decode(garbage)


@given(st.binary(max_size=300))
def test_decoding_raises_nothing_but_decode_errors(data):
    # Invariant: bytes either are a CheckRequest or raise DecodeError.
    with contextlib.suppress(DecodeError):
        wire.decode(data)


def test_allowed_answer_carries_identity_and_removals():
    answer = read(wire.allowed(Allowed(CALLER, (), ("authorization", "x-ostiary-route"))))
    assert answer.HasField("status")
    assert answer.status.code == 0
    assert answer.WhichOneof("http_response") == "ok_response"
    assert list(answer.ok_response.headers_to_remove) == ["authorization", "x-ostiary-route"]
    assert {name: value.string_value for name, value in answer.dynamic_metadata.fields.items()} == METADATA
    assert all(value.WhichOneof("kind") == "string_value" for value in answer.dynamic_metadata.fields.values())


def test_allowed_answer_without_removals_still_is_an_ok_response():
    answer = read(wire.allowed(Allowed(CALLER, (), ())))
    assert answer.WhichOneof("http_response") == "ok_response"


def test_remembered_part_is_not_mixed_between_callers():
    def told(**changes) -> dict[str, str]:
        caller = Caller(**{**{name: getattr(CALLER, name) for name in CALLER.__slots__}, **changes})
        fields = read(wire.allowed(Allowed(caller, (), ()))).dynamic_metadata.fields
        return {name: value.string_value for name, value in fields.items()}

    for _ in range(2):
        assert told() == METADATA
        assert told(tenant="other") == {**METADATA, contract.TENANT: "other"}
        assert told(policy="p-2") == {**METADATA, contract.POLICY: "p-2"}
        assert told(scopes=()) == {**METADATA, contract.SCOPES: ""}
        assert told(request_id="r") == {**METADATA, contract.REQUEST_ID: "r"}


@pytest.mark.parametrize("dialect", list(Dialect))
def test_denied_answer_is_the_rendered_error(dialect):
    rendered = render(GatewayError(Kind.METHOD_NOT_ALLOWED, "Nein, Größe!", allow="POST"), dialect, REQUEST_ID)
    answer = read(wire.denied(rendered, (("x-extra", "1"),), 3, CALLER))
    assert answer.status.code == 3
    denied = answer.denied_response
    assert denied.status.code == 405
    assert denied.body.encode() == rendered.body
    assert [(option.header.key, option.header.value) for option in denied.headers] == [
        *rendered.headers,
        ("x-extra", "1"),
    ]
    assert {option.append_action for option in denied.headers} == {HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD}
    assert {name: value.string_value for name, value in answer.dynamic_metadata.fields.items()} == METADATA


@pytest.mark.parametrize("kind", list(Kind))
def test_every_status_of_the_error_table_travels(kind):
    rendered = render(GatewayError(kind, "no"), Dialect.OPENAI)
    answer = read(wire.denied(rendered, (), 7, nobody(REQUEST_ID)))
    assert answer.denied_response.status.code == rendered.status


@given(
    headers=st.lists(
        st.tuples(
            st.text("abcdefghij-", min_size=1, max_size=10),
            st.text(st.characters(max_codepoint=255, exclude_characters="\x00"), max_size=30),
        ),
        max_size=10,
    )
)
def test_every_header_list_survives_the_wire(headers):
    asked = ask(*headers, bearer(GOOD))
    assert wire.decode(raw(asked)) == asked


def test_allowed_answer_tells_the_client_its_headers_without_mixing_callers():
    def told(*headers):
        return [
            (option.header.key, option.header.value, option.append_action)
            for option in read(wire.allowed(Allowed(CALLER, (), ("authorization",)), headers)).ok_response.response_headers_to_add
        ]  # fmt: skip

    replaced = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    for _ in range(2):
        assert told(("x-a", "1"), ("x-b", "2")) == [("x-a", "1", replaced), ("x-b", "2", replaced)]
        assert told(("x-a", "2")) == [("x-a", "2", replaced)]
        assert told() == []
    whole = read(wire.allowed(Allowed(CALLER, (), ("authorization",)), (("x-a", "1"),)))
    assert list(whole.ok_response.headers_to_remove) == ["authorization"]
    assert {name: value.string_value for name, value in whole.dynamic_metadata.fields.items()} == METADATA


def from_peer(*headers):
    request = CheckRequest()
    request.attributes.source.address.socket_address.address = "192.0.2.1"
    for name, value in headers:
        request.attributes.request.http.header_map.headers.add(key=name, raw_value=value.encode())
    return wire.decode(request.SerializeToString()).address


def test_the_clients_address_is_the_one_that_envoy_believes():
    believed = contract.BELIEVED_ADDRESS_HEADER
    assert from_peer((believed, "203.0.113.9"), ("x-forwarded-for", "198.51.100.1, 203.0.113.9")) == "203.0.113.9"
    assert from_peer(("x-forwarded-for", "198.51.100.1")) == "192.0.2.1"
    assert from_peer((believed, "203.0.113.9"), (believed, "203.0.113.8")) == "192.0.2.1"


@given(name=st.text(max_size=300), value=st.text(max_size=2000))
def test_a_value_with_what_stands_before_it_is_what_protobuf_writes(name, value):
    expected = CheckResponse()
    expected.dynamic_metadata.fields[name].string_value = value
    raw_value = value.encode()
    assert wire._before(name, len(raw_value)) + raw_value == expected.SerializeToString()
