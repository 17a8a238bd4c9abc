"""Structured logs that cannot leak: one JSON object a line, redacted last. Judges not what is worth one.

Every event is a short constant (`exchange_done`), everything else is a field. Exceptions are told by type and
code position, never by message, since messages quote what they choked on, nor by local variables.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from itertools import islice
from types import TracebackType
from typing import Any, BinaryIO, Final

import orjson
import structlog

from gateway.telemetry import redact

_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
#: Innermost frames that are told: where it broke, and who asked for it.
FRAMES: Final = 24
#: Exceptions behind an exception that are told, and members of a group.
CAUSES: Final = 4

Event = MutableMapping[str, Any]


def configure(
    *,
    level: str = "info",
    form: str = "json",
    fields: Mapping[str, str | int] | None = None,
    stream: BinaryIO | None = None,
) -> None:
    """Send structlog and the standard library's loggers through one chain to `stream` (standard error).

    `fields` are added to every line, for example service and worker index.
    """
    chain: list[Any] = [
        _Stamp(fields or {}),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        clean,
        to_console if form == "console" else to_json,
    ]
    lines = Lines(stream or sys.stderr.buffer)
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,  # saves a third of a line's cost; a process configures once
    )
    root = logging.getLogger()
    root.handlers[:] = [Bridge()]
    # Libraries' chatter below warnings may quote requests (httpx logs URLs): only if someone asks for debug.
    root.setLevel(logging.DEBUG if level == "debug" else max(logging.WARNING, _LEVELS[level]))


def catch_uncaught() -> None:
    """Send what nobody caught, in the main thread or another, through the chain: Python prints messages."""

    def main(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return  # Ctrl-C is an answer, not an error
        structlog.get_logger(__name__).error("uncaught_exception", exc_info=(kind, value, trace))

    def thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            structlog.get_logger(__name__).error("uncaught_exception_in_thread", exc_info=args.exc_value)

    sys.excepthook = main
    threading.excepthook = thread


class _Stamp:
    """Adds constant fields; what the caller says about the same name wins."""

    def __init__(self, fields: Mapping[str, str | int]) -> None:
        self._fields = dict(fields)

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        return {**self._fields, **event}


def clean(_logger: Any, _method: str, event: Event) -> Event:
    """Redact every field and tell an exception without its message. Nothing may be added behind this."""
    exc_info = event.pop("exc_info", None)
    event.pop("stack_info", None)
    safe = redact.event(event)
    if exc_info:
        crash = _exception(exc_info)
        if crash is not None:
            safe["exception"] = _told(crash)
    return safe


def _exception(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        value = exc_info[1]
        return value if isinstance(value, BaseException) else None
    return sys.exc_info()[1]


def _told(crash: BaseException) -> dict[str, Any]:
    told: dict[str, Any] = {"type": _name(crash), "frames": _frames(crash.__traceback__)}
    causes = [{"type": _name(cause), "frames": _frames(cause.__traceback__)} for cause in _causes(crash)]
    if causes:
        told["causes"] = causes
    if isinstance(crash, BaseExceptionGroup):
        told["members"] = [_name(member) for member in islice(crash.exceptions, CAUSES)]
    return told


def _name(crash: BaseException) -> str:
    kind = type(crash)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _causes(crash: BaseException) -> Iterable[BaseException]:
    seen = {id(crash)}  # a chain may bite its tail
    for _ in range(CAUSES):
        cause = crash.__cause__ or (None if crash.__suppress_context__ else crash.__context__)
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield cause
        crash = cause


def _frames(trace: TracebackType | None) -> list[str]:
    """`file:line function`, outermost first; source text is not read, so a line costs no disk."""
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames[-FRAMES:]


def to_json(_logger: Any, _method: str, event: Event) -> bytes:
    """One line for a collector."""
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def to_console(_logger: Any, _method: str, event: Event) -> bytes:
    """One line for a person. Values are JSON, so no control character reaches the terminal."""
    rest = dict(event)
    when, level, name = rest.pop("timestamp", ""), rest.pop("level", ""), rest.pop("event", "")
    crash = rest.pop("exception", None)
    told = " ".join(f"{key}={orjson.dumps(value).decode()}" for key, value in rest.items())
    lines = [f"{when} {level:<7} {orjson.dumps(name).decode()[1:-1]} {told}".rstrip()]
    if crash is not None:
        lines += [f"    {frame}" for frame in crash["frames"]]
        lines += [f"    {crash['type']}, caused by {cause['type']}" for cause in crash.get("causes", ())]
        lines += [] if crash.get("causes") else [f"    {crash['type']}"]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


class Lines:
    """Where lines end. A collector that went away costs lines (counted), never an exchange."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.dropped = 0

    def msg(self, line: bytes) -> None:
        """Write one finished line at once."""
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):  # ValueError: the stream was closed
                self.dropped += 1

    # structlog calls the method that is named like the level.
    debug = info = warning = error = critical = exception = msg


class Bridge(logging.Handler):
    """The standard library's way into the chain."""

    def emit(self, record: logging.LogRecord) -> None:
        """Only the first line of a message: asyncio puts the repr of a crashed task behind it."""
        try:
            message = record.getMessage().partition("\n")[0]
        except Exception:  # noqa: BLE001  # a library's bad format arguments are no reason to raise here
            message = str(record.msg).partition("\n")[0]
        _method(record.levelno)(message, logger=record.name, exc_info=record.exc_info)


def _method(level: int) -> Callable[..., Any]:
    log = structlog.get_logger()
    if level >= logging.ERROR:
        return log.error  # type: ignore[no-any-return]  # structlog types its loggers as Any
    if level >= logging.WARNING:
        return log.warning  # type: ignore[no-any-return]
    if level >= logging.INFO:
        return log.info  # type: ignore[no-any-return]
    return log.debug  # type: ignore[no-any-return]
