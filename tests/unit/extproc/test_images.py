"""Pictures are counted and weighed wherever a dialect can hold one."""

import base64

import pytest

from extproc.core.admission import DOORS, conforms
from gateway.errors import GatewayError
from gateway.policy.model import Limits
from worlds import policy

DATA = base64.b64encode(b"x" * 3000).decode()
URL = f"data:image/png;base64,{DATA}"
BLOCK = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
LINKED = {"type": "image", "source": {"type": "url", "url": URL}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": [BLOCK, BLOCK]}
DOCUMENT = {"type": "document", "source": {"type": "content", "content": [BLOCK, BLOCK]}}


def chat(*parts):
    return "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}


def messages(*blocks):
    return "/v1/messages", {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": list(blocks)}]}


def responses(item):
    return "/v1/responses", {"model": "m", "input": [item]}


def part(url):
    return {"type": "image_url", "image_url": {"url": url}}


def shown(url):
    return {"type": "input_image", "image_url": url}


PLACES = {
    "chat": chat(part(URL), part(URL)),
    "chat, scheme in capitals": chat(part(f"DATA{URL[4:]}"), part(URL)),
    "messages": messages(BLOCK, BLOCK),
    "messages, by URL": messages(LINKED, LINKED),
    "messages, tool result": messages(RESULT),
    "messages, document": messages(DOCUMENT),
    "responses": responses({"role": "user", "content": [shown(URL), shown(URL)]}),
    "responses, tool result": responses({"type": "function_call_output", "call_id": "c", "output": [shown(URL), shown(URL)]}),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("limits", "told"),
    [(Limits(images=1), "2 images"), (Limits(image_bytes=4000), "bytes of images"), (Limits(), "")],
)
def test_two_pictures_are_two_and_have_their_weight(place, limits, told):
    path, body = PLACES[place]
    held, form = policy(limits=limits), DOORS[path].versions.choose({}, ())
    DOORS[path].open(body)
    if not told:
        assert conforms(body, DOORS[path], form, held, held.tenants["acme"])
        return
    with pytest.raises(GatewayError, match=told):
        conforms(body, DOORS[path], form, held, held.tenants["acme"])
