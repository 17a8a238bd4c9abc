"""Files that a request brings in base64: what those of text say, for guards to judge. Judges nothing itself."""

import base64
import codecs
import re
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Any, Final

#: Whose bytes are text only by accident: read as such where all of them are (PDF, archives, office documents).
_OPAQUE: Final = re.compile(r"(?:image|audio|video|font)/|application/(?:pdf|zip|gzip|msword|octet-stream|vnd\.)")
_URL: Final = re.compile(r"data:([^,;]{0,128})[^,]{0,256},", re.IGNORECASE)
_NOT_BASE64: Final = re.compile(f"[^{ascii_letters}{digits}+/]")
_STANDARD: Final = str.maketrans("-_", "+/")
_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Characters of base64 that tell most files from text, before all of a large one is decoded.
_SAMPLE: Final = 4096


def texts(body: dict[str, Any]) -> Iterator[str]:
    """What each file of text in the `messages` of a chat request, or the `input` of a responses request, says."""
    for part in _parts(body):
        file = part if part.get("type") == "input_file" else part.get("file")
        data = file.get("file_data") if type(file) is dict else None
        if type(data) is str and (text := _text(data)):
            yield text


def _parts(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for said in (body.get("messages"), body.get("input")):
        for item in said if type(said) is list else ():
            for name in ("content", "output") if type(item) is dict else ():
                parts = item.get(name)
                yield from (part for part in parts if type(part) is dict) if type(parts) is list else ()


def _text(data: str) -> str | None:
    head = _URL.match(data)
    return opened(data, "") if head is None else opened(data[head.end() :], head[1].lower())


def opened(data: str, kind: str) -> str | None:
    """What base64 says as a file of the media type `kind`, where that is text. "": nothing is known of it."""
    # Readers disagree on white space and padding inside; what any of them may read is what counts.
    encoded = _NOT_BASE64.sub("", data.translate(_STANDARD))
    if not kind or _OPAQUE.match(kind):
        return _whole(encoded) if _looks(encoded[:_SAMPLE]) else None
    raw = _decoded(encoded)
    return raw.decode("utf-16" if raw.startswith(_MARKS) else "utf-8", "replace")


def _looks(sample: str) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(_decoded(sample))
    except UnicodeDecodeError:
        return False
    return True


def _whole(encoded: str) -> str | None:
    try:
        return _decoded(encoded).decode()
    except UnicodeDecodeError:
        return None


def _decoded(encoded: str) -> bytes:
    size = len(encoded) - (len(encoded) % 4 == 1)  # no byte has a single character
    return base64.b64decode(encoded[:size] + "=" * (-size % 4))
