"""The official SDKs, unmodified, as clients of a stack: its certificate, one of its keys, and no retries of their own."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic
import httpx
import httpx2
import openai

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


def _trusting(stack: Stack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.authority.pem))
