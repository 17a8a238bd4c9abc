"""Files of text in base64: what they say is found, in every spelling that some reader takes."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.commands import PassRequestBody
from extproc.core.events import RequestBody
from extproc.providers import files
from extproc.providers.openai import Chat
from gateway.errors import GatewayError, Kind
from playbook import MAIL, Play, head

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"


def chat(data):
    return {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": data}}]}]}


def url(raw, kind="text/plain"):
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"


def said(data):
    return list(files.texts(chat(data)))


@given(st.text(min_size=1), st.sampled_from(["text/plain", "TEXT/csv", "application/json", "application/pdf", ""]))
def test_a_text_is_found_under_every_type(text, kind):
    raw = text.encode()
    expected = raw.decode("utf-16", "replace") if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else text
    assert said(url(raw, kind)) == [expected]


@pytest.mark.parametrize("between", [" ", "\r\n", "=", "\t"])
def test_what_readers_skip_hides_nothing(between):
    whole = base64.b64encode(f"to {MAIL} now".encode()).decode()
    assert said(f"data:text/plain;base64,{between.join(whole)}") == [f"to {MAIL} now"]


def test_other_encodings_of_text_are_read():
    assert said(url("to you".encode("utf-16"))) == ["to you"]
    assert said(url(b"caf\xe9 to you")) == ["caf\ufffd to you"]
    assert said(url(b"data", "text/plain;charset=utf-8")) == ["data"]
    assert said(base64.urlsafe_b64encode("bare ÿÿÿ".encode()).decode()) == ["bare ÿÿÿ"]


@pytest.mark.parametrize("kind", ["application/pdf", "application/octet-stream", "application/vnd.ms-excel"])
def test_what_is_no_text_is_left_alone(kind):
    assert said(url(PDF, kind)) == []
    assert said(url(b"a" * 8000 + PDF, kind)) == []


@pytest.mark.parametrize("odd", [None, 7, "", "data:", "data:text/plain;base64,", {"a": 1}])
def test_other_forms_are_no_files(odd):
    assert said(odd) == []


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": [{"type": "input_file", "file_data": url(f"to {MAIL}".encode())}]},
        {"type": "function_call_output", "call_id": "c", "output": [
            {"type": "input_file", "file_data": url(f"to {MAIL}".encode())}]},
    ],
    ids=["said", "told by a tool"],
)  # fmt: skip
def test_a_response_s_files_are_judged_too(item):
    play = Play()
    body = {"model": "gpt-4o-mini", "input": [item]}
    play.give(head("/v1/responses"), RequestBody(json.dumps(body).encode(), end_of_stream=True))
    assert not any(isinstance(each, PassRequestBody) for each in play.commands)
    assert play.refused() == (403, "request_blocked")


@pytest.mark.parametrize("role", ["user", "tool", "assistant"])
@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id"),
        ({"type": "file", "file": {"file_id": "file-1", "file_data": url(b"ok")}}, "file.file_id"),
        ({"type": "text", "text": "hi", "file_id": "file-1"}, "file_id"),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "file_id": "file-1"}},
            "image_url.file_id",
        ),
    ],
)
def test_a_file_that_lies_with_the_provider_is_refused_at_chat_as_at_responses(role, part, place):
    with pytest.raises(GatewayError) as refused:
        Chat().open({"model": "m", "messages": [{"role": role, "content": [{"type": "text", "text": "read"}, part]}]})
    assert (refused.value.kind, refused.value.param) == (Kind.REQUEST_INVALID, f"messages[0].content[1].{place}")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "file", "file": {"file_data": url(b"ok"), "FILE_ID": "file-1"}}]},
        {"role": "user", "content": [{"type": "text", "text": "hi", "File_Id": "file-1"}]},
        {"role": "assistant", "content": "hi", "audio": {"id": "audio_1"}},
    ],
)
def test_neither_another_spelling_nor_sound_that_the_provider_keeps_passes(message):
    with pytest.raises(GatewayError) as refused:
        Chat().open({"model": "m", "messages": [message]})
    assert refused.value.kind is Kind.REQUEST_INVALID


def test_sound_that_is_null_is_none():
    Chat().open({"model": "m", "messages": [{"role": "assistant", "content": "hi", "audio": None}]})


def test_a_file_id_that_is_null_is_none():
    Chat().open({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "file", "file": {"file_id": None, "file_data": url(b"ok")}}]}]})  # fmt: skip
