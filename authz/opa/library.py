"""The OPA library in this process, as three calls: build, evaluate, parse. The only module that knows its binding.

The binding is loaded when the first engine is built, never on import: Go's runtime does not survive a fork, so only a
process that has been exec'd for good may hold it. GOGC and GOMAXPROCS must be in its environment before that
(ostiary/serve.py). A call releases the GIL, cannot be interrupted, and one engine takes calls of many threads at once.
"""

import ctypes
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import orjson

from gateway.policy.model import Opa

_MODULE: Final = "opa_bindings._native"
#: The largest answer that is parsed at all; a decision has some hundred bytes (authz/opa/result.py).
MAX_ANSWER_BYTES: Final = 64 * 1024
_SHOWN_CHARS: Final = 2000  # of a compiler's message: some screens of a person who writes Rego


#: Undefined in every package, unless somebody means it to be there; then it costs what it costs, once.
_NOWHERE: Final = "ostiary_compiles"


class LibraryError(Exception):
    """The library did not do what it was asked. `code` is its own word; the text is for the policy's author."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message[:_SHOWN_CHARS])
        self.code = code


class MissingError(LibraryError):
    """There is no library for this platform here."""


def installed() -> bool:
    """Whether the library can be loaded. Loads it."""
    try:
        _native()
    except MissingError:
        return False
    return True


@cache
def _native() -> Any:
    try:
        return importlib.import_module(_MODULE).load()
    except (ImportError, OSError) as failure:  # no wheel for this platform, or one that its libc cannot load
        raise MissingError("missing", f"the OPA library cannot be loaded: {type(failure).__name__}") from None


class Engine:
    """Compiled sources with their data. Never changed once built: a new policy is a new engine."""

    def __init__(self, opa: Opa, further: dict[str, str] | None = None) -> None:
        """Compile. Raises LibraryError with everything that is wrong with the sources."""
        self._library = _native()
        self._handle: int = self._library.OpaNew()
        self._document = f"{opa.package}.decision".encode()
        try:
            for name, text in {**opa.sources, **(further or {})}.items():
                self._call(self._library.OpaAddPolicy, name.encode(), text.encode())
            self._call(self._library.OpaAddData, b"", opa.data.encode())
            # Compiles everything. Of a document that is not there: an evaluation that never ends must not begin here.
            self._call(self._library.OpaEvalDocument, f"{opa.package}.{_NOWHERE}".encode(), b"{}", 0, 0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give its memory back. A call that is under way ends by itself."""
        handle, self._handle = self._handle, 0  # no engine has this number, and a call with it is an error
        if handle:
            self._library.OpaDestroy(handle)

    def evaluate(self, document: bytes) -> object:
        """The value of `decision` for an input document; None when it is undefined. Raises LibraryError."""
        return _value(self._call(self._library.OpaEvalDocument, self._document, document, 0, 0))

    def inspect(self, reference: str, document: bytes = b"{}") -> tuple[object, list[dict[str, Any]], list[str]]:
        """The value of any document with the trace of its evaluation and what it printed. For people, not requests."""
        answer = self._call(self._library.OpaEvalDocument, reference.encode(), document, 0, 1, most=_MAX_TRACE_BYTES)
        printed = [f"{one.get('location')}: {one.get('message')}" for one in answer.get("prints") or ()]
        return _value(answer), answer.get("trace") or [], printed

    def _call(self, function: Callable[..., int | None], *arguments: object, most: int = MAX_ANSWER_BYTES) -> Any:
        return _answer(self._library, function(self._handle, *arguments), most)


_MAX_TRACE_BYTES: Final = 64 * 1024 * 1024  # a trace names every step of an evaluation


def parse(name: str, source: str) -> dict[str, Any]:
    """The syntax tree of one source (OPA's `ast.Module` as JSON). Raises LibraryError where there is none."""
    library = _native()
    handle = library.OpaNew()
    try:
        asked = orjson.dumps({"name": name, "source": source})
        query = b"tree := rego.parse_module(input.name, input.source)"
        answer = _answer(library, library.OpaEvalQuery(handle, query, asked, 0, 0), _MAX_TRACE_BYTES)
    finally:
        library.OpaDestroy(handle)
    found = answer.get("result")
    if not found:
        # A builtin that fails is undefined in Rego; the compiler says why when it is given the same text.
        raise LibraryError("rego_parse_error", "does not parse")
    tree = found[0]["bindings"]["tree"]
    if not isinstance(tree, dict):
        raise LibraryError("rego_parse_error", "holds no module")
    return tree


def _answer(library: Any, pointer: int | None, most: int) -> dict[str, Any]:
    """The envelope behind a C string that we have to free."""
    if not pointer:
        raise LibraryError("internal", "the library answered nothing")
    try:
        raw = ctypes.string_at(pointer)
    finally:
        library.OpaFreeString(pointer)
    if len(raw) > most:
        raise LibraryError("too_large", f"the answer has more than {most} bytes")
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise LibraryError("unreadable", "the answer holds a number that no JSON reader keeps") from None
    error = answer.get("error")
    if error is not None:
        raise LibraryError(str(error.get("code", "unknown")), str(error.get("message", "")))
    return dict(answer)


def _value(answer: dict[str, Any]) -> object:
    found = answer.get("result")
    return found[0]["expressions"][0]["value"] if found else None
