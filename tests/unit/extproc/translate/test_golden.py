"""The golden cases, judged by the providers' own packages: their types for requests, their clients for answers."""

from typing import Any

import anthropic
import openai
import orjson
import pytest
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from declared import complaints
from extproc.translate.attempt import Attempt
from extproc.translate.dialect import Target
from extproc.translate.dialects import DIALECTS
from official import REQUESTS, Wire, anthropic_client, openai_client
from tools.golden_translate import KINDS, MAX_EVENT_BYTES, ORIGIN, cases, renewed, wire

ALL = [(kind, name) for kind in KINDS for name in cases(kind)]
ASKED = [
    (name, back, told)
    for name, case in cases("requests").items()
    for back, told in case["asked"].items()
    if "refused" not in told
]
ANSWERED = [
    (name, front, told["status"], told["body"])
    for name, case in cases("answers").items()
    for front, told in case["answered"].items()
    if "refused" not in told
]
STREAMED = [
    (name, front, ("\n\n".join(told) + "\n\n").encode())
    for name, case in cases("streams").items()
    for front, told in case["streamed"].items()
    if type(told) is list
]
WHOLE = [each for each in STREAMED if not any(word in each[0] for word in ("error", "broke_off"))]
OK = [each for each in ANSWERED if each[2] == 200]


#: Cases that some other side must refuse.
REFUSED = {
    "requests/anthropic/cache_only": {"openai", "azure"},
    "requests/anthropic/server_tool": {"openai", "azure"},
    "requests/openai/audio": {"anthropic"},
    "requests/openai/broken_arguments": {"anthropic"},
    "requests/openai/custom_tool": {"anthropic"},
    "requests/openai/file_id": {"anthropic"},
    "answers/anthropic/server_block": {"openai"},
    "answers/openai/broken_arguments": {"anthropic"},
    "streams/anthropic/server_block": {"openai"},
}


def test_nothing_is_refused_that_can_be_told():
    found = {}
    for kind, (_, field) in KINDS.items():
        for name, case in cases(kind).items():
            if refused := {side for side, told in case[field].items() if "refused" in told}:
                found[f"{kind}/{name}"] = refused
    assert found == REFUSED


def ids(cases: list[Any]) -> list[str]:
    return [f"{case[0]}-{case[1]}" for case in cases]


@pytest.mark.parametrize(("kind", "name"), ALL, ids=ids(ALL))
def test_the_case_is_as_the_code_translates_it(kind, name):
    case = cases(kind)[name]
    told = renewed(kind, name, case)
    assert told == case, "run python -m tools.golden_translate and read the difference"


@pytest.mark.parametrize(("name", "back", "told"), ASKED, ids=ids(ASKED))
def test_a_request_is_what_the_package_of_the_provider_declares(name, back, told):
    body = told["body"]
    if "sampling_taken" in name and back == "anthropic":
        body = {k: v for k, v in body.items() if k not in ("temperature", "top_p", "top_k")}  # of older models
    assert REQUESTS[back](body) == []


@pytest.mark.parametrize(("name", "back", "told"), [c for c in ASKED if c[1] in ("openai", "anthropic")])
def test_the_official_client_would_send_the_same_bytes(name, back, told):
    if "sampling_taken" in name and back == "anthropic":
        pytest.skip("the client of today has no such arguments")
    sent = Wire(b"", stream=True)
    if back == "openai":
        openai_client(sent).chat.completions.create(**told["body"])
    else:
        # The client wants streams for long answers; the bound is what is looked at here.
        anthropic_client(sent).messages.create(**told["body"], timeout=60)
    assert orjson.loads(sent.sent) == told["body"]
    assert sent.path == told["path"]


@pytest.mark.parametrize(("name", "front", "status", "body"), OK, ids=ids(OK))
def test_an_answer_is_what_the_package_declares_and_the_client_reads(name, front, status, body):
    read = ask(front, Wire(orjson.dumps(body)))
    if front == "openai":
        for choice in body["choices"]:
            # Of servers that show reasoning (vLLM, DeepSeek), not of OpenAI: its clients keep what they do not know.
            choice["message"].pop("reasoning_content", None)
        assert complaints(body, ChatCompletion) == []
        assert all(
            orjson.loads(call.function.arguments) is not None for call in read.choices[0].message.tool_calls or ()
        )
    else:
        assert complaints(body, Message) == []
    assert read.id
    assert read.usage or "filtered" in name


def ask(front: str, answers: Wire) -> Any:
    if front == "openai":
        return openai_client(answers).chat.completions.create(model="m", messages=[])
    return anthropic_client(answers).messages.create(model="m", messages=[], max_tokens=1)


ERRORS = [each for each in ANSWERED if each[2] != 200]


@pytest.mark.parametrize(("name", "front", "status", "body"), ERRORS, ids=ids(ERRORS))
def test_an_error_is_raised_as_the_client_raises_its_own(name, front, status, body):
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as raised:
        ask(front, Wire(orjson.dumps(body), status=status))
    assert raised.value.status_code == status
    message = body["error"]["message"]
    assert message
    assert message in str(raised.value)


def final(front: str, raw: bytes) -> dict[str, Any]:
    """What the official client puts together from a stream."""
    if front == "openai":
        with openai_client(Wire(raw, stream=True)).chat.completions.stream(
            model="m", messages=[], stream_options={"include_usage": True}
        ) as stream:
            try:
                return stream.get_final_completion().to_dict()
            except openai.LengthFinishReasonError as cut:  # the helper's word for an answer that was cut
                return cut.completion.to_dict()
    with anthropic_client(Wire(raw, stream=True)).messages.stream(model="m", messages=[], max_tokens=1) as stream:
        return stream.get_final_message().to_dict()


@pytest.mark.parametrize(("name", "front", "raw"), WHOLE, ids=ids(WHOLE))
def test_a_stream_is_put_together_by_the_client(name, front, raw):
    whole = final(front, raw)
    if front == "openai":
        for event in raw.decode().split("\n\n")[:-1]:
            if not event.startswith(":") and event != "data: [DONE]":
                tree = orjson.loads(event.removeprefix("data: "))
                for choice in tree["choices"]:
                    choice["delta"].pop("reasoning_content", None)
                assert complaints(tree, ChatCompletionChunk) == []
        assert whole["choices"][0]["finish_reason"]
    else:
        assert complaints({k: v for k, v in whole.items() if k != "parsed_output"}, Message) == []
        assert whole["stop_reason"]


TWINS = [
    (name, front, raw) for name, front, raw in WHOLE if any(kind[0] == name and kind[1] == front for kind in ANSWERED)
]


def said(front: str, body: dict[str, Any]) -> Any:
    """What an answer says, whoever put it together."""
    if front == "openai":
        message = body["choices"][0]["message"]
        calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]
        words = [message.get(key) or "" for key in ("content", "refusal", "reasoning_content")]
        return words, [(i, n, orjson.loads(a)) for i, n, a in calls], body["choices"][0]["finish_reason"]
    blocks = [{k: v for k, v in block.items() if k in _SAID and v is not None} for block in body["content"]]
    return blocks, body["stop_reason"], body["stop_sequence"]


_SAID = ("type", "text", "thinking", "signature", "data", "id", "name", "input")


@pytest.mark.parametrize(("name", "front", "raw"), TWINS, ids=ids(TWINS))
def test_a_stream_says_what_the_whole_answer_says(name, front, raw):
    whole = cases("answers")[name]["answered"][front]["body"]
    streamed = final(front, raw)
    assert said(front, streamed) == said(front, whole)
    assert streamed["usage"]["completion_tokens" if front == "openai" else "output_tokens"] == 10


@pytest.mark.parametrize("name", [name for name in cases("streams") if "broke_off" in name or "error" in name])
@pytest.mark.parametrize("front", ["openai", "anthropic"])
def test_a_stream_that_fails_is_raised_by_the_client(name, front):
    told = cases("streams")[name]["streamed"].get(front)
    if told is None:
        pytest.skip("the backend's own dialect")
    with pytest.raises((openai.APIError, anthropic.APIError)):
        final(front, ("\n\n".join(told) + "\n\n").encode())


@pytest.mark.parametrize("name", cases("streams"))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_cuts_of_a_stream_do_not_matter(name, data):
    case = cases("streams")[name]
    raw = wire(case)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=12)))
    for front, told in case["streamed"].items():
        if type(told) is not list:
            continue
        attempt = Attempt(DIALECTS[front], DIALECTS[name.partition("/")[0]], Target(model="m"))
        stream = attempt.stream(ORIGIN, MAX_EVENT_BYTES)
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        out = b"".join([stream.feed(piece) for piece in pieces]) + stream.close()
        assert out.decode().split("\n\n")[:-1] == told
