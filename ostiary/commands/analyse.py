"""`ostiary analyse`: its arguments. What it does is in `ostiary.analysing`."""
# ruff: noqa: PLC0415 -- commands import late, so that `ostiary --help` is instant

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 -- argparse has no public name

_ENGINES: Final = ("injection", "ner", "similar")
_ABOUT: Final = """\
Judges texts with models that are too heavy for a worker: a transformer for prompt injection, names of people,
organisations and places, and which question that was answered asks the same in other words. One process a host, asked
by the workers over a Unix socket. `ostiary serve` and `ostiary up` start it themselves where the policy asks for it.

needs packages that the gateway does without: `make analysis` installs them (300 MB)

examples:
  ostiary analyse --socket /run/ostiary/analysis.sock
  ostiary analyse --socket /tmp/names.sock --engines ner
  curl --unix-socket /tmp/names.sock http://analysis/healthz
  curl --unix-socket /tmp/names.sock http://analysis/v1/advice/ner -d '{"schema": "ostiary.advice/1",
    "request_id": "try", "tenant": "me", "direction": "request", "deadline_ms": 1000,
    "texts": [{"provenance": "user", "text": "Ada Lovelace lives in London."}]}'

signals: TERM, INT  answer what has been asked, then end
"""


def add(commands: "_Commands") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "analyse",
        help="serve the heavy detectors: transformer and named entities",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--socket", type=Path, required=True, metavar="PATH", help="where to listen, mode 600")
    parser.add_argument(
        "--engines",
        type=_engines,
        default=_ENGINES[:2],
        metavar="NAMES",
        help="which to load: injection, ner, similar (default: the first two)",
    )
    parser.add_argument(
        "--threads", type=_between(1, 64), default=1, metavar="N", help="of the transformer (default: 1)"
    )
    parser.add_argument(
        "--nice", type=_between(0, 19), default=5, metavar="N", help="how far behind the workers (default: 5)"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--log-format", choices=("json", "console"), default="json")
    parser.set_defaults(run=_run)


def _engines(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in _ENGINES:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of: {', '.join(_ENGINES)}")
    return names


def _between(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and low <= int(text) <= high:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")

    return parse


def _run(arguments: argparse.Namespace) -> int:
    from ostiary.analysing import Wishes, run

    return run(
        Wishes(
            socket=arguments.socket,
            engines=arguments.engines,
            threads=arguments.threads,
            nice=arguments.nice,
            log_level=arguments.log_level,
            log_format=arguments.log_format,
        )
    )
