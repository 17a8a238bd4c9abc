"""A client and a provider that nobody here wrote, LangChain and llmock, with the gateway between them on real Envoy."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from asking import CARD, EMAIL
from clients import anthropic_of, openai_of
from ports import free_port
from speaking import answering
from stack import Options, Stack, until

BACKENDS = ("gpt", "claude")
HELLO = "what I was told"


@pytest.fixture(scope="module")
def llmock(short_dir):
    """The provider, in a process of its own."""
    port, home = free_port(), short_dir()
    command = [
        str(Path(sys.executable).with_name("llmock")),
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LLMOCK_RESPONSE_STYLE": "echo"}
    with (home / "llmock.log").open("wb") as out:
        process = subprocess.Popen(command, env=environ, cwd=home, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:

        def there():
            if process.poll() is not None:
                raise RuntimeError((home / "llmock.log").read_text()[-3000:])
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True

        until("llmock", there, 60)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams, llmock):
    def write(directory):
        file = directory / "backends.yaml"
        backends = orjson.loads(file.read_bytes())
        credential = {"file": "other.key", "header": "x-api-key", "prefix": ""}
        base = f"http://127.0.0.1:{llmock}"
        backends["gpt"] = {"url": base, "credential": {"file": "other.key"}}
        backends["claude"] = {"url": f"{base}/anthropic", "dialect": "anthropic", "credential": credential}
        scripted = backends["other"]["url"].replace("base-other", "base-scripted")
        backends["scripted"] = {"url": scripted, "dialect": "anthropic", "credential": credential}
        file.write_bytes(orjson.dumps(backends))
        models = {
            "to-gpt": {"backend": "gpt", "upstream_model": "gpt-4o"},
            "to-claude": {"backend": "claude", "upstream_model": "claude-sonnet"},
            "to-scripted": {"backend": "scripted", "upstream_model": "claude-sonnet"},
            "to-either": {"backends": ["dead", "claude"], "upstream_model": {"claude": "claude-sonnet"}, "tell": True},
        }
        file = directory / "models.yaml"
        file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | models))

    with Stack(short_dir(), upstreams, Options(workers=1, policy=write)) as running:
        yield running


@pytest.fixture
def chat(gateway):
    """Makes a LangChain model over the gateway."""
    with openai_of(gateway) as sdk:

        def make(model, **options):
            return ChatOpenAI(model=model, api_key="k", client=sdk.chat.completions, root_client=sdk, **options)

        yield make


class Weather(BaseModel):
    """The weather in a city."""

    city: str = Field(description="where")


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@pytest.mark.parametrize("backend", [*BACKENDS, "either"])
def test_langchain_invokes_and_is_told_the_usage(chat, backend):
    answer = chat(f"to-{backend}").invoke([("system", "Be brief."), ("human", f"{HELLO}, my card is {CARD}")])
    assert isinstance(answer, AIMessage)
    assert HELLO in answer.text
    assert CARD not in answer.text
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("backend", [*BACKENDS, "either"])
def test_langchain_streams(chat, backend):
    chunks = list(chat(f"to-{backend}", stream_usage=True).stream(f"{HELLO}, and mail {EMAIL}"))
    text = "".join(chunk.text for chunk in chunks)
    assert HELLO in text
    assert EMAIL not in text
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) > 0


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_langchain_has_a_tool_called_and_answers_it(chat, backend, stream):
    model = chat(f"to-{backend}").bind_tools([Weather])
    asked = HumanMessage("What is the weather in Kiel?")
    if stream:
        said = None
        for chunk in model.stream([asked]):
            said = chunk if said is None else said + chunk
    else:
        said = model.invoke([asked])
    (call,) = said.tool_calls
    assert call["name"] == "Weather"
    assert type(call["args"]) is dict
    final = model.invoke([asked, said, ToolMessage("snow", tool_call_id=call["id"])])
    assert final.text
    assert not final.tool_calls


def test_langchain_has_an_answer_of_a_schema_from_another_dialect(gateway, chat, upstreams):
    marker = upstreams["other"].script(answering("anthropic", '{"name": "Ada", "age": 36}'))
    person = chat("to-scripted").with_structured_output(Person, method="json_schema").invoke(f"Who? {marker}")
    assert person == Person(name="Ada", age=36)
    asked = upstreams["other"].one(marker).json["output_config"]["format"]
    assert (asked["type"], set(asked["schema"]["properties"])) == ("json_schema", {"name", "age"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_langchain_has_a_schema_filled_by_a_call(chat, backend):
    made = (
        chat(f"to-{backend}").with_structured_output(Person, method="function_calling", include_raw=True).invoke("Who?")
    )
    (call,) = made["raw"].tool_calls
    assert call["name"] == "Person"


@pytest.mark.parametrize("backend", [*BACKENDS, "either"])
def test_anthropics_sdk_reads_what_the_stranger_says(gateway, backend):
    with anthropic_of(gateway) as sdk:
        asked = {"model": f"to-{backend}", "max_tokens": 64, "messages": [{"role": "user", "content": HELLO}]}
        assert HELLO in sdk.messages.create(**asked).content[0].text
        with sdk.messages.stream(**asked) as stream:
            assert HELLO in stream.get_final_message().content[0].text
