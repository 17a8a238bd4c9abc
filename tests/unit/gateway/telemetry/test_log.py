import asyncio
import io
import logging
import sys
import threading

import orjson
import pytest
import structlog

from gateway.telemetry import log


@pytest.fixture(autouse=True)
def _restore():
    """Logging is configured once in a process; here every test does it and puts things back."""
    before = structlog.get_config()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


@pytest.fixture
def stream():
    return io.BytesIO()


def lines(stream) -> list[dict]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def fail():
    local = "hunter2 in a local"
    raise ValueError(f"hunter2 in the message, {local}")


def test_a_line_is_one_json_object_with_time_level_event_and_constant_fields(stream):
    log.configure(stream=stream, fields={"service": "worker", "worker": 3})
    structlog.get_logger().info("exchange_done", tenant="acme", status=200)
    (line,) = lines(stream)
    stamp = line.pop("timestamp")
    assert line == {
        "service": "worker",
        "worker": 3,
        "level": "info",
        "event": "exchange_done",
        "tenant": "acme",
        "status": 200,
    }
    assert len(stamp) == len("2024-01-01T00:00:00.000000Z")
    assert stamp.endswith("Z")
    assert stream.getvalue().endswith(b"}\n")


def test_levels_below_the_chosen_one_are_silent(stream):
    log.configure(level="warning", stream=stream)
    logger = structlog.get_logger()
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)("said")
    assert [line["level"] for line in lines(stream)] == ["warning", "error"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_reaches_the_stream_in_either_form(stream, form):
    log.configure(stream=stream, form=form, fields={"note": "Bearer hunter2"})
    logger = structlog.get_logger()
    logger.info("Bearer hunter2", api_key="hunter2", note2={"cookie": "hunter2"}, url="redis://:hunter2@x")
    logger.info("saw %s", "sk-hunter2hunter2")
    logger.warning("bytes", body=b"hunter2", error=ValueError("hunter2"))
    try:
        fail()
    except ValueError:
        logger.exception("failed", stack_info=True)
    assert b"hunter2" not in stream.getvalue()
    assert stream.getvalue().count(b"[redacted]") >= 4


def test_an_exception_is_told_by_type_and_frames(stream):
    log.configure(stream=stream)
    try:
        fail()
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = lines(stream)
    told = line["exception"]
    assert told["type"] == "ValueError"
    assert told["frames"][-1].endswith(" fail")
    assert "test_log.py:" in told["frames"][-1]
    assert b"hunter2" not in stream.getvalue()


def test_causes_and_groups_are_told_without_their_messages(stream):
    log.configure(stream=stream)
    try:
        try:
            fail()
        except ValueError as error:
            raise ExceptionGroup("hunter2", [KeyError("hunter2"), OSError("hunter2")]) from error
    except ExceptionGroup:
        structlog.get_logger().exception("failed")
    (line,) = lines(stream)
    assert line["exception"]["type"] == "ExceptionGroup"
    assert [cause["type"] for cause in line["exception"]["causes"]] == ["ValueError"]
    assert line["exception"]["members"] == ["KeyError", "OSError"]
    assert b"hunter2" not in stream.getvalue()


def test_a_suppressed_context_stays_suppressed_and_a_circle_of_causes_ends(stream):
    log.configure(stream=stream)
    quiet = KeyError("x")
    quiet.__context__ = ValueError("y")
    quiet.__suppress_context__ = True
    first, second = KeyError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    logger = structlog.get_logger()
    logger.error("quiet", exc_info=quiet)
    logger.error("circle", exc_info=first)
    told = [line["exception"] for line in lines(stream)]
    assert "causes" not in told[0]
    assert [cause["type"] for cause in told[1]["causes"]] == ["ValueError"]


def test_deep_recursion_tells_the_innermost_frames_only(stream):
    def dive(depth):
        if depth == 0:
            fail()
        dive(depth - 1)

    log.configure(stream=stream)
    try:
        dive(200)
    except ValueError:
        structlog.get_logger().exception("failed")
    frames = lines(stream)[0]["exception"]["frames"]
    assert len(frames) == log.FRAMES
    assert frames[-1].endswith(" fail")


def test_exc_info_without_an_exception_is_no_exception(stream):
    log.configure(stream=stream)
    structlog.get_logger().info("calm", exc_info=True)
    structlog.get_logger().info("calm", exc_info=(None, None, None))
    assert all("exception" not in line for line in lines(stream))


def test_console_lines_cannot_be_forged_by_values(stream):
    log.configure(form="console", stream=stream)
    structlog.get_logger().info("said\nERROR forged", path="/v1\n2024 error forged\x1b[31m")
    shown = stream.getvalue()
    assert shown.count(b"\n") == 1
    assert b"\x1b" not in shown


def test_console_shows_the_way_to_an_exception(stream):
    log.configure(form="console", stream=stream)
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed", tenant="acme")
    shown = stream.getvalue().decode().splitlines()
    assert 'failed tenant="acme"' in shown[0]
    assert shown[-1] == "    ValueError"
    assert shown[-2].endswith(" fail")


def test_the_standard_library_logs_through_the_same_chain(stream):
    log.configure(stream=stream)
    logger = logging.getLogger("some.library")
    logger.info("chatter")
    logger.warning("saw %s", "Bearer hunter2")
    logger.error("bad %d", "arguments")
    try:
        fail()
    except ValueError:
        logger.exception("failed\nrepr: ValueError('hunter2')")
    told = lines(stream)
    assert [(line["level"], line["event"]) for line in told] == [
        ("warning", "saw [redacted]"),
        ("error", "bad %d"),
        ("error", "failed"),
    ]
    assert told[2]["exception"]["type"] == "ValueError"
    assert {line["logger"] for line in told} == {"some.library"}
    assert b"hunter2" not in stream.getvalue()


def test_libraries_may_chatter_when_debug_is_asked_for(stream):
    log.configure(level="debug", stream=stream)
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").debug("more")
    assert [line["level"] for line in lines(stream)] == ["info", "debug"]


async def test_asyncio_does_not_tell_the_message_of_a_lost_exception(stream):
    log.configure(stream=stream)
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.set_exception(ValueError("hunter2"))
    loop.call_exception_handler(
        {"message": "Future exception was never retrieved", "exception": future.exception(), "future": future},
    )
    (line,) = lines(stream)
    assert line["event"] == "Future exception was never retrieved"
    assert line["exception"]["type"] == "ValueError"
    assert b"hunter2" not in stream.getvalue()


def test_uncaught_exceptions_are_told_without_their_message(stream, capsys):
    log.configure(stream=stream)
    log.catch_uncaught()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join(10)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [(line["event"], line["exception"]["type"]) for line in lines(stream)] == [
        ("uncaught_exception", "ValueError"),
        ("uncaught_exception_in_thread", "ValueError"),
    ]
    assert capsys.readouterr().err == ""
    assert b"hunter2" not in stream.getvalue()


def test_a_stream_that_went_away_costs_lines_not_exchanges():
    class Gone(io.BytesIO):
        def write(self, _data):
            raise BrokenPipeError

    sink = log.Lines(Gone())
    sink.msg(b"one\n")
    sink.error(b"two\n")
    assert sink.dropped == 2
    closed = io.BytesIO()
    closed.close()
    log.configure(stream=closed)
    structlog.get_logger().info("said into the void")


def test_what_the_caller_says_wins_over_constant_fields(stream):
    log.configure(stream=stream, fields={"service": "worker"})
    structlog.get_logger().info("x", service="supervisor")
    assert lines(stream)[0]["service"] == "supervisor"
