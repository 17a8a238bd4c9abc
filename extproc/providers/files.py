"""Files that a chat request brings in base64: what those of text say, for guards to judge. Judges nothing itself."""

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
    """What each file of text in the `messages` of a chat request says."""
    messages = body.get("messages")
    for message in messages if type(messages) is list else ():
        content = message.get("content") if type(message) is dict else None
        for part in content if type(content) is list else ():
            file = part.get("file") if type(part) is dict else None
            data = file.get("file_data") if type(file) is dict else None
            if type(data) is str and (text := _text(data)):
                yield text


def _text(data: str) -> str | None:
    head = _URL.match(data)
    kind = "" if head is None else head[1].lower()
    # Readers disagree on white space and padding inside; what any of them may read is what counts.
    encoded = _NOT_BASE64.sub("", data[0 if head is None else head.end() :].translate(_STANDARD))
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
