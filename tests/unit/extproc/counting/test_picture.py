"""Images by the providers' formulas, from the first bytes of their files."""

import base64
import struct

import pytest

from extproc.counting.picture import anthropic_tokens, openai_tokens


def png(width, height):
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02"
    ).decode()


def gif(width, height):
    return base64.b64encode(b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00").decode()


def jpeg(width, height):
    head = b"\xff\xd8\xff\xe0\x00\x10" + b"J" * 14 + b"\xff\xc4\x00\x04ab\xff\xff\xc2\x00\x11\x08"
    return base64.b64encode(head + struct.pack(">HH", height, width) + b"\x03" * 8).decode()


def webp(width, height):
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return base64.b64encode(b"RIFF____WEBPVP8X____\x00\x00\x00\x00" + size).decode()


def url(data):
    return f"data:image/png;base64,{data}"


@pytest.mark.parametrize("kind", [png, gif, jpeg, webp])
def test_the_size_is_read_from_every_kind_of_file(kind):
    assert openai_tokens("gpt-4o", url(kind(1024, 1024)), "high") == 765  # OpenAI's own example: four tiles
    assert openai_tokens("gpt-4o", url(kind(2048, 4096)), "high") == 1105  # and its second one: six


def test_models_have_their_own_rules():
    assert openai_tokens("gpt-4o", url(png(4096, 8192)), "low") == 85
    assert openai_tokens("gpt-4o-mini", url(png(512, 512)), "high") == 2833 + 5667
    assert openai_tokens("gpt-5", url(png(512, 512)), "high") == 210
    assert openai_tokens("openai/gpt-4.1-mini", url(png(1024, 1024)), "auto") == -(-1024 * 162 // 100) + 2


@pytest.mark.parametrize(
    "data", ["", "!!!", base64.b64encode(b"BM other").decode(), base64.b64encode(b"\xff\xd8\xff").decode()]
)
def test_what_cannot_be_read_costs_the_most(data):
    most = openai_tokens("gpt-4o", "https://example.com/a.png", "high")
    assert openai_tokens("gpt-4o", url(data), "high") == most == 85 + 8 * 170
    assert anthropic_tokens("claude-3-opus", data) == 1600
    assert anthropic_tokens("claude-next", data) == 4784


def test_anthropic_counts_pixels_after_scaling_down():
    assert anthropic_tokens("claude-sonnet-4-5", png(750, 750)) == 754
    assert anthropic_tokens("claude-sonnet-4-5", png(8000, 100)) == -(-1568 * 20 // 750) + 4
    assert anthropic_tokens("claude-sonnet-4-5", png(4000, 4000)) == 1600
    assert anthropic_tokens("claude-opus-4-8", png(4000, 4000)) == 4784


def test_a_strip_of_one_pixel_is_counted():
    assert openai_tokens("gpt-4o", url(png(10_000, 1)), "high") == 85 + 4 * 170
