"""What an image costs in tokens, by the formulas that providers publish; where its size is unknown, the most. Pure.

Sources: OpenAI "Images and vision" (tiles and patches), Anthropic "Vision" (pixels by 750), as of November 2026.
"""

import base64
import binascii
import re
import struct
from dataclasses import dataclass
from typing import Final

#: Enough of a file to find its size: JPEG puts metadata, thumbnails among it, before the frame header.
_HEAD_CHARS: Final = 256 * 1024
_TILE_PX: Final = 512
_LONG_PX: Final = 2048
_SHORT_PX: Final = 768
_PATCH_PX: Final = 32
_MOST_PATCHES: Final = 1536
_ANTHROPIC_PIXELS_PER_TOKEN: Final = 750
#: An image beyond these pixels on its longer side is scaled down; newer models take larger ones. A model that is not
#: known to be older counts as newer.
_ANTHROPIC_LONG_PX: Final = 1568
_ANTHROPIC_MOST: Final = 1600
_ANTHROPIC_NEW_LONG_PX: Final = 2576
_ANTHROPIC_NEW_MOST: Final = 4784
_ANTHROPIC_OLDER: Final = re.compile(r"claude-(?:3|[a-z]+-4(?:-[0-6])?(?:-\d{8})?\Z)")


@dataclass(frozen=True, slots=True)
class _Rule:
    """Tiles of 512 pixels (`per_tile`), or patches of 32 (`per_patch`, in hundredths of a token)."""

    base: int = 0
    per_tile: int = 0
    per_patch: int = 0


#: By the beginning of a model's name; the first that fits.
_RULES: Final = (
    ("gpt-4o-mini", _Rule(base=2833, per_tile=5667)),
    ("gpt-4.1-mini", _Rule(per_patch=162)),
    ("gpt-4.1-nano", _Rule(per_patch=246)),
    ("gpt-5-mini", _Rule(per_patch=162)),
    ("gpt-5-nano", _Rule(per_patch=246)),
    ("o4-mini", _Rule(per_patch=172)),
    ("gpt-4o", _Rule(base=85, per_tile=170)),
    ("gpt-4.1", _Rule(base=85, per_tile=170)),
    ("gpt-4", _Rule(base=85, per_tile=170)),
    ("gpt-5", _Rule(base=70, per_tile=140)),
    ("o1", _Rule(base=75, per_tile=150)),
    ("o3", _Rule(base=75, per_tile=150)),
)
#: For others: as much as the dearest patches, since no server is known that makes more of an image.
_UNKNOWN: Final = _Rule(per_patch=246)


def openai_tokens(model: str, url: str, detail: str) -> int:
    """An image of chat completions or responses. `url` as it stands in the request; only data URLs tell a size."""
    name = model.rpartition("/")[2]
    rule = next((rule for start, rule in _RULES if name.startswith(start)), _UNKNOWN)
    if detail == "low" and rule.per_tile:
        return rule.base
    width, height = _size(url.partition(",")[2]) if url.startswith("data:") else (0, 0)
    if rule.per_patch:
        patches = _MOST_PATCHES
        if width and height:
            patches = min(-(-width // _PATCH_PX) * -(-height // _PATCH_PX), _MOST_PATCHES)
        return -(-patches * rule.per_patch // 100) + 2  # 2: padding, as recorded exchanges show
    return rule.base + rule.per_tile * _tiles(width, height)


def anthropic_tokens(model: str, data: str) -> int:
    """An image of messages; `data`: its base64, or "" for one behind a URL."""
    older = _ANTHROPIC_OLDER.match(model.rpartition("/")[2]) is not None
    most = _ANTHROPIC_MOST if older else _ANTHROPIC_NEW_MOST
    width, height = _size(data)
    if not width or not height:
        return most
    longest = max(width, height)
    fits = min(longest, _ANTHROPIC_LONG_PX if older else _ANTHROPIC_NEW_LONG_PX)
    pixels = -(-width * fits // longest) * -(-height * fits // longest)
    return min(-(-pixels // _ANTHROPIC_PIXELS_PER_TOKEN) + 4, most)  # 4: padding, as recorded exchanges show


def _tiles(width: int, height: int) -> int:
    """Scaled into 2,048 px square, then to 768 px on the shorter side; then covered with tiles of 512 px."""
    if not width or not height:
        return -(-_LONG_PX // _TILE_PX) * -(-_SHORT_PX // _TILE_PX)
    long, short = max(width, height), min(width, height)
    if long > _LONG_PX:
        long, short = _LONG_PX, max(1, -(-short * _LONG_PX // long))
    if short > _SHORT_PX:
        long, short = -(-long * _SHORT_PX // short), _SHORT_PX
    return -(-long // _TILE_PX) * -(-short // _TILE_PX)


def _size(data: str) -> tuple[int, int]:
    """Width and height of a PNG, GIF, WebP or JPEG in base64; zeros where they cannot be read."""
    try:
        head = base64.b64decode(data[:_HEAD_CHARS], validate=True)
    except (binascii.Error, ValueError):
        return 0, 0
    try:
        if head.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", head, 16)
        elif head.startswith(b"GIF8"):
            width, height = struct.unpack_from("<HH", head, 6)
        elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            width, height = _webp(head)
        elif head.startswith(b"\xff\xd8"):
            width, height = _jpeg(head)
        else:
            return 0, 0
    except (struct.error, IndexError):
        return 0, 0
    return width, height


def _webp(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(head: bytes) -> tuple[int, int]:
    """From the frame header (ITU-T T.81, B.2.2), the first segment SOFn."""
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return 0, 0
        marker = head[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 + max(int.from_bytes(head[at + 2 : at + 4], "big"), 2)
    return 0, 0
