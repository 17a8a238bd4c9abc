"""The official SDKs, unmodified, as clients of a stack: its certificate, one of its keys, and no retries of their own."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anthropic
import httpx
import httpx2
import openai
from google import genai
from google.genai.client import AsyncClient
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
    """Google's, on behalf of a tenant. `version` None: the package's own."""
    with httpx.Client(verify=_trusting(stack)) as http:
        yield _google(stack, key, HttpOptions(api_version=version, httpx_client=http))


@asynccontextmanager
async def google_async_of(stack: Stack) -> AsyncIterator[AsyncClient]:
    """Google's asynchronous one, on behalf of acme."""
    async with httpx.AsyncClient(verify=_trusting(stack)) as http:
        yield _google(stack, "acme", HttpOptions(httpx_async_client=http)).aio


def _google(stack: Stack, key: str, options: HttpOptions) -> genai.Client:
    options.base_url, options.timeout = f"https://localhost:{stack.port}", 20_000
    return genai.Client(api_key=stack.bundle.keys.get(key, key), http_options=options)


def _trusting(stack: Stack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.authority.pem))
