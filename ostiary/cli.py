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

from ostiary.commands import (
    accounts,
    analyse,
    budgets,
    cache,
    check,
    detect,
    inspect,
    keys,
    reconcile,
    revoke,
    route,
    signing_keys,
    usage,
)
from ostiary.problem import Problem

if TYPE_CHECKING:
    from control.edge.spec import EdgeSpec
    from gateway.policy.model import Policy
    from gateway.settings import Settings

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 -- argparse has no public name

_ABOUT: Final = """\
Ostiary is a secure gateway for LLM APIs: Envoy in front, Python guards beside it.

try it, with everything embedded (no Docker, no root, no network):
  ostiary up                          Envoy, Valkey, workers and a demo model; prints a key and a curl
  ostiary up --check                  the same, but sends one request, prints the result and stops

run it beside your own Envoy:
  ostiary config check                are the OSTIARY_* settings complete and right?
  ostiary policy check policies/demo  is the policy right? prints every problem with its line
  ostiary inspect request.json ...    what would become of this request, and why?
  ostiary route explain request.json  which backends may get this request, in which order, and why not the others?
  ostiary detect eval data.jsonl      how well do the detectors do on your labelled texts?
  ostiary envoy render -o envoy.yaml  Envoy's configuration from a short ostiary.yaml
  ostiary envoy lint envoy.yaml       how would this envoy.yaml weaken the gateway?
  ostiary serve                       workers under supervision; health and metrics on loopback
  ostiary analyse --socket PATH       transformer and named entities for the workers (make analysis)
  ostiary control                     admin API and token service: keys, revocations, accounts

hand out a key:
  ostiary keys new --tenant acme --principal ci --peppers peppers

take one back, now and everywhere:
  ostiary revoke key k7d2m0q9x4ab --reason "leaked, ticket 4711"
"""
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse leaves by itself with 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    run = cast("Callable[[argparse.Namespace], int]", arguments.run)
    # Taken out of the environment: `gateway.settings` refuses settings that it does not know.
    debug = bool(os.environ.pop("OSTIARY_DEBUG", ""))  # noqa: TID251 -- must work when settings are what is broken
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
        _trace(debug)
    except Exception as failure:  # noqa: BLE001 -- the last line of defence: a person gets a sentence, not a stack
        print(
            f"ostiary: unexpected {type(failure).__name__}. This is a defect, please report it.",
            file=sys.stderr,
        )
        print("  OSTIARY_DEBUG=1 shows where it happened.", file=sys.stderr)
        _trace(debug)
    return 1


def _trace(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ostiary",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="`ostiary COMMAND --help` explains a command. OSTIARY_DEBUG=1 shows tracebacks.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_up(commands)
    _add_init(commands)
    _add_serving(commands)
    _add_demo(commands)
    _add_envoy(commands)
    _add_policy(commands)
    inspect.add(commands)
    detect.add(commands)
    analyse.add(commands)
    revoke.add(commands)
    accounts.add(commands)
    signing_keys.add(commands)
    route.add(commands)
    usage.add(commands)
    cache.add(commands)
    budgets.add(commands)
    reconcile.add(commands)
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
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1024:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1024")


# --- up, serve, worker, config ---------------------------------------------------------------------

_ABOUT_UP: Final = """\
The whole gateway on this machine: Envoy with TLS 1.3, Valkey, workers and a demo model. Nothing is installed,
nothing leaves the machine, everything lies in one directory and ends with Ctrl-C.

examples:
  ostiary up
  ostiary up --port 0 --workers 1 --check
  ostiary up --backend https://api.openai.com --credential-file ~/openai.key
"""


def _add_up(commands: "_Commands") -> None:
    parser = _add(commands, "up", "run everything on this machine, to try it", _up, _ABOUT_UP)
    parser.add_argument("--port", type=_port, default=8443, help="HTTPS port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--workers", type=_count, default=None, metavar="N", help="worker processes (default: 2)")
    parser.add_argument(
        "--state",
        type=Path,
        default=Path(".ostiary"),
        metavar="DIR",
        help="where it keeps everything (%(default)s)",
    )
    parser.add_argument("--no-demo-upstream", action="store_true", help="do not start the demo model")
    parser.add_argument("--backend", metavar="URL", help="your own OpenAI-compatible provider, without /v1")
    parser.add_argument("--credential-file", type=Path, metavar="FILE", help="holds the provider's key, nothing else")
    parser.add_argument("--check", action="store_true", help="send one governed request, print the result, stop")
    parser.add_argument("--json", action="store_true", help="print one JSON line with ports and paths when ready")


def _up(arguments: argparse.Namespace) -> int:
    from ostiary.up import Wishes, run

    if (arguments.credential_file or arguments.no_demo_upstream) and not arguments.backend:
        raise Problem("--backend is missing", hint="Without the demo model, say where requests go: --backend URL")
    return run(
        Wishes(
            state=arguments.state,
            port=arguments.port,
            workers=arguments.workers or 2,
            backend=arguments.backend,
            credential_file=arguments.credential_file,
            demo=not arguments.no_demo_upstream,
            check=arguments.check,
            as_json=arguments.json,
        ),
    )


_ABOUT_INIT: Final = """\
Writes what a trial needs into one directory and starts nothing: a CA and a certificate for localhost, peppers, two
demo keys, a policy, ostiary.yaml and envoy.yaml. docker-compose.yml starts from it.
"""


def _add_init(commands: "_Commands") -> None:
    parser = _add(commands, "init", "write certificates, keys, policy and envoy.yaml for a trial", _init, _ABOUT_INIT)
    parser.add_argument("--state", type=Path, default=Path(".ostiary"), metavar="DIR", help="where (%(default)s)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="where worker sockets will be (default: in DIR)")
    parser.add_argument("--admin-socket", type=Path, metavar="FILE", help="Envoy's admin (default: beside them)")
    parser.add_argument("--address", default="127.0.0.1", help="where Envoy will listen (%(default)s)")
    parser.add_argument("--port", type=_port, default=8443, help="HTTPS port (%(default)s)")
    parser.add_argument("--workers", type=_count, default=2, metavar="N", help="worker processes (%(default)s)")
    parser.add_argument("--backend", default="http://127.0.0.1:8091", metavar="URL", help="provider (%(default)s)")
    parser.add_argument("--credential-file", type=Path, metavar="FILE", help="holds the provider's key")


def _init(arguments: argparse.Namespace) -> int:
    from ostiary import state

    os.umask(0o077)
    here = state.create(arguments.state)
    credential = arguments.credential_file or here.credential
    keys = state.write_policy(here, arguments.backend, credential, port=arguments.port)
    policy = state.write_envoy(
        here,
        state.Edge(
            address=arguments.address,
            port=arguments.port,
            workers=arguments.workers,
            run=arguments.run_dir or here.run,
            admin=arguments.admin_socket or here.run / "envoy-admin.sock",
            access_log="stdout",
        ),
    )
    print(f"{here.root} is ready: policy {policy.version}, Envoy's configuration in {here.envoy}")
    for tenant, key in keys.items():
        print(f"  key of tenant {tenant}: {key}")
    return 0


_ABOUT_SERVE: Final = """\
Workers under supervision, a Unix socket each for Envoy. Settings come from OSTIARY_* variables.

signals: TERM, INT  finish what has begun, then end
         HUP        reload the policy; a policy with mistakes is refused and the old one stays

on OSTIARY_ADMIN_HOST:OSTIARY_ADMIN_PORT (127.0.0.1:9464): /healthz /readyz /metrics
"""


_ABOUT_CONTROL: Final = """\
Keys, revocations, service accounts and tokens: what changes while the gateway runs. Settings come from OSTIARY_*
variables; OSTIARY_VALKEY_URL is needed.

on Unix sockets in OSTIARY_RUN_DIR: operator.sock for `ostiary keys` and its kin, control.sock for Envoy

signals: TERM, INT  finish what has begun, then end
         HUP        reload the policy
"""


def _add_serving(commands: "_Commands") -> None:
    _add(commands, "serve", "run the workers, supervised", _serve, _ABOUT_SERVE)
    worker = _add(commands, "worker", "run one worker (`serve` does this)", _worker)
    worker.add_argument("--index", type=int, default=None, help="which socket is its own (default: from settings)")
    _add(commands, "control", "run the control plane: admin API and token service", _control, _ABOUT_CONTROL)
    config = _add(commands, "config", "check the settings", None)
    actions = config.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add(actions, "check", "say what is wrong with the OSTIARY_* variables, all at once", _config_check)


def _serve(_: argparse.Namespace) -> int:
    # The supervisor forks while gRPC's threads ask for health. The child executes another program at once, and
    # gRPC's fork handlers, read from this variable at import, could only hang or crash it before that.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # noqa: TID251 -- written for a library, not read
    from ostiary.serve import run

    return run(_settings())


def _worker(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from ostiary.worker import run

    settings = _settings()
    return run(settings if arguments.index is None else replace(settings, worker_index=arguments.index))


def _control(_: argparse.Namespace) -> int:
    from ostiary.controlling import run

    return run(_settings())


def _config_check(_: argparse.Namespace) -> int:
    settings = _settings()
    print(f"the settings are right: policy {settings.policy_dir}, sockets {settings.run_dir}")
    return 0


def _settings() -> "Settings":
    from gateway.settings import SettingsError, read_process

    try:
        return read_process()
    except SettingsError as failure:
        told = "\n".join(f"  {problem}" for problem in failure.problems)
        raise Problem(f"the settings have problems:\n{told}") from None


# --- envoy -----------------------------------------------------------------------------------------


def _add_envoy(commands: "_Commands") -> None:
    envoy = _add(commands, "envoy", "make or judge Envoy's configuration", None)
    actions = envoy.add_subparsers(dest="action", metavar="ACTION", required=True)
    render = _add(actions, "render", "write envoy.yaml from a short ostiary.yaml and the policy", _envoy_render)
    render.add_argument("--spec", type=Path, default=Path("ostiary.yaml"), metavar="FILE", help="(%(default)s)")
    render.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    watched = "clusters and routes go here, and a running Envoy takes them from here without a restart (needs -o)"
    render.add_argument("--dynamic", type=Path, metavar="DIR", help=watched)
    lint = _add(actions, "lint", "say how an envoy.yaml would weaken the gateway", _envoy_lint)
    lint.add_argument("file", type=Path, metavar="FILE")
    lint.add_argument("--json", action="store_true", help="findings as JSON")


def _envoy_render(arguments: argparse.Namespace) -> int:
    from control.edge import render, spec
    from control.edge.mapping import SpecError
    from gateway.policy.problem import PolicyError
    from ostiary import bundle

    try:
        wanted = spec.read(arguments.spec)
        policy = bundle.load(Path(wanted.policy_dir))
        if arguments.dynamic is not None:
            return _envoy_publish(arguments.output, arguments.dynamic, wanted, policy)
        text = render.render(wanted, policy)
    except (SpecError, PolicyError) as failure:
        raise Problem(str(failure)) from None
    if arguments.output is None:
        print(text, end="")
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def _envoy_publish(output: Path | None, directory: Path, wanted: "EdgeSpec", policy: "Policy") -> int:
    from control.edge import dynamic
    from gateway.clock import SystemClock
    from ostiary import edgefiles

    if output is None:
        raise Problem("--dynamic needs -o: the bootstrap is a file beside others")
    place = directory.absolute()
    parts = dynamic.parts(wanted, policy, str(place))
    admin, clock = Path(wanted.admin_socket), SystemClock()
    done = edgefiles.publish(parts, bootstrap=output, directory=place, admin=admin, version=policy.version, clock=clock)
    told = "Envoy has taken it" if done.live else "no Envoy runs with it yet"
    print(f"policy {policy.version} is in {place}: {told}")
    if done.restart:
        print(f"{output} has changed as well: restart Envoy for that part")
    return 0


def _envoy_lint(arguments: argparse.Namespace) -> int:
    from control.edge.lint import engine

    source = str(arguments.file)
    problems = engine.lint(
        arguments.file.read_text(encoding="utf-8", errors="replace"),
        source=source,
        opened=_fetched,
    )
    print(engine.format_json(problems) if arguments.json else engine.format_text(problems, source), end="")
    return 1 if engine.has_errors(problems) else 0


def _fetched(path: str) -> str:
    """A file that the judged one names: whoever wrote that may name a device, which has no end."""
    from control.edge.lint.node import MAX_CHARS

    if not Path(path).is_file():
        raise FileNotFoundError(path)
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        return file.read(MAX_CHARS + 1)


# --- policy, keys ----------------------------------------------------------------------------------

_ABOUT_KEYS: Final = """\
Makes an API key without asking anybody. The key is printed once and stored nowhere; the record, which holds a keyed
digest of it, goes into keys.yaml of the policy, for who keeps keys in git. `ostiary keys create` needs no such step.

example:
  ostiary keys new --tenant acme --principal ci --peppers /etc/ostiary/peppers --policy policies/prod
"""


def _add_policy(commands: "_Commands") -> None:
    policy = _add(commands, "policy", "check a policy directory", None)
    actions = policy.add_subparsers(dest="action", metavar="ACTION", required=True)
    sound = "print the policy's version, or every problem; what recorded traffic would newly fail"
    check.arguments(_add(actions, "check", sound, check.run, check.ABOUT))
    test = _add(actions, "test", "run the unit tests of the policy's Rego (rego/*_test.rego)", _policy_test)
    test.add_argument("directory", type=Path, metavar="DIR")
    new = _add(keys.add(commands), "new", "make a key for keys.yaml of a policy, offline", _keys_new, _ABOUT_KEYS)
    new.add_argument("--tenant", required=True, help="whose key it is")
    new.add_argument("--principal", required=True, help="who or what uses it, for example a service's name")
    new.add_argument("--scope", action="append", default=[], help="may be given several times")
    new.add_argument("--policy", type=Path, metavar="DIR", help="check that this policy knows the tenant")
    new.add_argument("--peppers", type=Path, metavar="FILE", help="default: OSTIARY_PEPPERS_FILE")


def _policy_test(arguments: argparse.Namespace) -> int:
    from ostiary import regotest

    return regotest.run(arguments.directory)


def _keys_new(arguments: argparse.Namespace) -> int:
    from ostiary import keys

    peppers = arguments.peppers or _settings().peppers_file
    return keys.new(arguments.tenant, arguments.principal, arguments.scope, peppers, arguments.policy)


# --- demo-upstream, version ------------------------------------------------------------------------

_ABOUT_DEMO: Final = """\
An OpenAI-compatible upstream that answers the same question always the same way.

models: demo          a friendly answer           demo-pii     personal data and keys
        demo-echo     repeats the user's text     demo-code    code with URLs
        demo-mirror   repeats the whole body      demo-canary  64 e-mail addresses
        demo-slow     20 deltas a second          fault-NAME   misbehaves; an unknown NAME lists all
        claude-demo, claude-demo-NAME: the same at /v1/messages, in Anthropic's dialect
        nova-demo, nova-demo-NAME: the same at /model/NAME/converse, in AWS Bedrock's; signatures are checked
        gemini-demo, gemini-demo-NAME: the same at /v1beta/models/NAME:generateContent, in Google's

headers of one request: x-demo-fault NAME, x-demo-deltas N, x-demo-pace-ms N, x-demo-slice BYTES

example:
  ostiary demo-upstream --port 8091 --pace-ms 20 --record seen.jsonl
"""


def _add_demo(commands: "_Commands") -> None:
    parser = _add(commands, "demo-upstream", "a deterministic OpenAI-compatible model server", _demo, _ABOUT_DEMO)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8091, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--port-file", type=Path, metavar="FILE", help="write the port here once it is open")
    parser.add_argument("--pace-ms", type=float, default=0.0, metavar="MS", help="pause between streamed deltas")
    parser.add_argument("--deltas", type=int, default=8, metavar="N", help="deltas per streamed text (%(default)s)")
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
            raise Problem(f"{arguments.require_key} is empty", hint="Put the key that clients must send into it.")
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
