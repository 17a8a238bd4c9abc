"""The command `ostiary`: arguments and exit codes only; what a command does is in the module it calls.

Exit codes: 0 done, 1 a problem that the message explains, 2 wrong usage (argparse), 130 interrupted.
"""
# ruff: noqa: PLC0415 -- commands import late, so that `ostiary --help` is instant

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from ostiary.problem import Problem

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 -- argparse has no public name

_ABOUT: Final = """\
Ostiary is a secure gateway for LLM APIs: Envoy in front, Python guards beside it.

try it, with everything embedded (no Docker, no root, no network):
  ostiary up                          Envoy, Valkey, workers and a demo model; prints a key and a curl
  ostiary up --check                  the same, but sends one request, prints the result and stops

run it beside your own Envoy:
  ostiary config check                are the OSTIARY_* settings complete and right?
  ostiary policy check policies/demo  is the policy right? prints every problem with its line
  ostiary envoy render -o envoy.yaml  Envoy's configuration from a short ostiary.yaml
  ostiary envoy lint envoy.yaml       how would this envoy.yaml weaken the gateway?
  ostiary serve                       workers under supervision; health and metrics on loopback

hand out a key:
  ostiary keys new --tenant acme --principal ci --peppers peppers
"""
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse leaves by itself with 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    run = cast("Callable[[argparse.Namespace], int]", arguments.run)
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Problem as problem:
        print(f"ostiary: {problem}", file=sys.stderr)
        if problem.hint:
            print(f"  {problem.hint}", file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output left (`ostiary ... | head`); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as failure:
        named = f" ({failure.filename})" if failure.filename else ""
        print(f"ostiary: {failure.strerror or type(failure).__name__}{named}", file=sys.stderr)
        _trace()
    except Exception as failure:  # noqa: BLE001 -- the last line of defence: a person gets a sentence, not a stack
        print(
            f"ostiary: unexpected {type(failure).__name__}. This is a defect, please report it.",
            file=sys.stderr,
        )
        print("  OSTIARY_DEBUG=1 shows where it happened.", file=sys.stderr)
        _trace()
    return 1


def _trace() -> None:
    if os.environ.get("OSTIARY_DEBUG"):  # noqa: TID251 -- must work when the settings themselves are what is broken
        traceback.print_exc()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ostiary",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="`ostiary COMMAND --help` explains a command. OSTIARY_DEBUG=1 shows tracebacks.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add(commands, "version", "print the version", _version)
    return parser


def _add(
    commands: "_Commands",
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int] | None,
    about: str = "",
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=about or summary[0].upper() + summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 1 << 16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535; 0 lets the system choose)")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1024:  # noqa: PLR2004 -- no machine has more cores
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1024")


# --- demo-upstream, version ------------------------------------------------------------------------

_ABOUT_DEMO: Final = """\
An OpenAI-compatible upstream that answers the same question always the same way.

models: demo          a friendly answer           demo-pii     personal data and keys
        demo-echo     repeats the user's text     demo-code    code with URLs
        demo-mirror   repeats the whole body      demo-canary  64 e-mail addresses
        demo-slow     20 deltas a second          fault-NAME   misbehaves; an unknown NAME lists all

headers of one request: x-demo-fault NAME, x-demo-deltas N, x-demo-pace-ms N, x-demo-slice BYTES

example:
  ostiary demo-upstream --port 8081 --pace-ms 20 --record seen.jsonl
"""


def _add_demo(commands: "_Commands") -> None:
    parser = _add(
        commands, "demo-upstream", "a deterministic OpenAI-compatible model server", _demo, _ABOUT_DEMO
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8081, help="port, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--port-file", type=Path, metavar="FILE", help="write the port here once it is open")
    parser.add_argument(
        "--pace-ms", type=float, default=0.0, metavar="MS", help="pause between streamed deltas"
    )
    parser.add_argument(
        "--deltas", type=int, default=8, metavar="N", help="deltas per streamed text (%(default)s)"
    )
    parser.add_argument("--require-key", type=Path, metavar="FILE", help="answer 401 without the key in FILE")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append a JSON line per request seen")
    parser.add_argument("--record-bodies", action="store_true", help="put request bodies into the record too")
    parser.add_argument("--reuse-port", action="store_true", help="share the port with other demo upstreams")
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def _demo(arguments: argparse.Namespace) -> int:
    import uvloop

    from ostiary.demo.upstream import Options, run

    key = None
    if arguments.require_key is not None:
        key = arguments.require_key.read_text(encoding="utf-8").strip()
        if not key:
            raise Problem(
                f"{arguments.require_key} is empty", hint="Put the key that clients must send into it."
            )
    options = Options(
        host=arguments.host,
        port=arguments.port,
        pace_s=max(0.0, arguments.pace_ms) / 1000,
        deltas=max(1, arguments.deltas),
        key=key,
        record=arguments.record,
        record_bodies=arguments.record_bodies,
        reuse_port=arguments.reuse_port,
    )
    return uvloop.run(run(options, quiet=arguments.quiet, port_file=arguments.port_file))


def _version(_: argparse.Namespace) -> int:
    from ostiary import __version__

    print(f"ostiary {__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
