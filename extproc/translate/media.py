"""Pictures and documents in the words of OpenAI's APIs, `data:` URLs and addresses: read for the canonical chat."""

import re
from typing import Final

from extproc.translate.canon import File, Image
from extproc.translate.fields import ASKED

_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)
#: The one spelling of base64 that all readers take alike (RFC 4648 section 4): guards open what providers will.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*+={0,2}")
#: Kinds that have parts of their own, by which policy counts and allows them.
_NO_FILES: Final = ("image/", "audio/", "video/")


def picture(url: str, detail: str, field: str) -> Image:
    """A picture by its address, or in a `data:` URL."""
    found = _DATA_URL.match(url)
    if found is None and url[:5].lower() != "data:":
        return Image(url=url, detail=detail)
    if found is None or not found.group(1).lower().startswith("image/"):
        raise ASKED.fail(field, "an address, or a data: URL of a picture in base64")
    return Image(found.group(1).lower(), base64_of(url[found.end() :], field), detail=detail)


def document(data: str, name: str, field: str) -> File:
    """A document in a `data:` URL."""
    found = _DATA_URL.match(data)
    if found is None or found.group(1).lower().startswith(_NO_FILES):
        raise ASKED.fail(field, "a data: URL in base64, of neither a picture nor sound")
    return File(found.group(1).lower(), base64_of(data[found.end() :], field), name)


def base64_of(data: str, field: str) -> str:
    """`data`, if it is base64 as everybody reads it."""
    if _BASE64.fullmatch(data) is None:
        raise ASKED.fail(field, "base64 without spaces")
    return data
