"""The parameters of a request as the token service takes them: bounded, nothing twice. Knows no endpoint."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from control.oauth.refusal import invalid_request
from control.request import Request

MAX_BYTES: Final = 16 * 1024  # an assertion may have 8 KiB, as may a token; a certificate does not travel here
_MAX_PARAMETERS: Final = 64  # the longest sensible request has about ten
_TYPE: Final = "application/x-www-form-urlencoded"
#: May stand several times: RFC 8707 section 2, and RFC 8693 section 2.1 for the older name of the same thing.
_REPEATED: Final = frozenset({"resource", "audience"})
_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_ESCAPES: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")

Form = Mapping[str, tuple[str, ...]]


def read(request: Request) -> Form:
    """The parameters that have a value (RFC 6749 section 3.1: without one they count as left out).

    Raises:
        OAuthRefusal: anything that two readers could understand in two ways.
    """
    if request.query:
        # RFC 6749 section 2.3.1: credentials must not stand in a URL, where logs would keep them.
        raise invalid_request("Parameters belong into the body, not into the URL.")
    if request.header("content-type").partition(";")[0].strip().lower() != _TYPE:
        raise invalid_request(f"The body must be {_TYPE}.")
    if len(request.body) > MAX_BYTES:
        raise invalid_request(f"The body has more than {MAX_BYTES} bytes.", status=413)
    try:
        text = request.body.decode("ascii")
    except UnicodeDecodeError:
        raise invalid_request("The body must be percent-encoded.") from None
    if text.count("&") >= _MAX_PARAMETERS:
        raise invalid_request("Too many parameters.")
    found: dict[str, list[str]] = {}
    for pair in text.split("&") if text else ():
        name, value = _pair(pair)
        if name in found and name not in _REPEATED:
            raise invalid_request(f"The parameter {name} stands twice.")
        found.setdefault(name, []).append(value)
    return {name: tuple(filter(None, values)) for name, values in found.items() if any(values)}


def one(form: Form, name: str) -> str:
    """A parameter that stands once, or nothing."""
    return form.get(name, ("",))[0]


def decoded(text: str) -> str:
    """One name or value as `application/x-www-form-urlencoded` writes it (RFC 6749 appendix B).

    Raises:
        ValueError: a broken escape, no UTF-8, or a control character.
    """
    if _ESCAPES.fullmatch(text) is None:
        raise ValueError("a broken escape")
    plain = unquote_to_bytes(text.replace("+", " ")).decode()
    if not plain.isprintable():
        raise ValueError("a control character")
    return plain


def _pair(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    try:
        name, value = decoded(name), decoded(value)
    except ValueError:
        raise invalid_request("A parameter is not form-encoded UTF-8, or holds a control character.") from None
    if _NAME.fullmatch(name) is None:
        raise invalid_request("A parameter has a name that is none.")
    return name, value
