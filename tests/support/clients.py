"""The official SDKs, unmodified, as clients of a stack: its certificate, one of its keys, and no retries of their own."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic
import httpx
import httpx2
import openai
from google import genai
from google.genai.types import HttpOptions

from stack import Stack


@contextmanager
def openai_of(stack: Stack) -> Iterator[openai.OpenAI]:
    """OpenAI's, on behalf of acme."""
    with httpx.Client(verify=_trusting(stack)) as http:
        yield openai.OpenAI(
            base_url=f"https://localhost:{stack.port}/v1", api_key=stack.bundle.keys["acme"], http_client=http,
            max_retries=0, timeout=20,
        )  # fmt: skip


@contextmanager
def anthropic_of(stack: Stack) -> Iterator[anthropic.Anthropic]:
    """Anthropic's, on behalf of acme."""
    with httpx2.Client(verify=_trusting(stack)) as http:
        yield anthropic.Anthropic(
            base_url=f"https://localhost:{stack.port}", api_key=stack.bundle.keys["acme"], http_client=http,
            max_retries=0, timeout=20,
        )  # fmt: skip


@contextmanager
def google_of(stack: Stack, *, key: str = "acme", version: str | None = "v1beta") -> Iterator[genai.Client]:
    """Google's, on behalf of a tenant; its `aio` is the asynchronous one, for whoever asks to close. `version` None: the
    package's own.
    """
    trusting = _trusting(stack)
    with httpx.Client(verify=trusting) as http:
        options = HttpOptions(
            base_url=f"https://localhost:{stack.port}", api_version=version, timeout=20_000,
            httpx_client=http, httpx_async_client=httpx.AsyncClient(verify=trusting),
        )  # fmt: skip
        yield genai.Client(api_key=stack.bundle.keys.get(key, key), http_options=options)


def _trusting(stack: Stack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.authority.pem))
