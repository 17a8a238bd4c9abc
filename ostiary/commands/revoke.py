"""`ostiary revoke`: takes credentials back, lists what is revoked, gives back. A client of control's admin API."""
# ruff: noqa: PLC0415 -- libraries load late, so that `ostiary --help` is instant

import argparse
import json
import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gateway.clock import Clock, SystemClock
from ostiary import operator
from ostiary.problem import Problem

_PATH: Final = "/admin/v1/revocations"
_ABOUT: Final = """\
Takes a credential back, or everything of its holder. Within a second every worker refuses it (401 credential_revoked)
and cuts the streams that run under it. It stays so, over restarts, until it is lifted or its time is over.

what may be revoked, each with its name as audit records show it:
  key          one API key, by its id (the 12 characters after osk_)
  token        one access token, by its id (jwt:... or opaque:...), or by --issuer and --jti
  credential   a leaked key or token itself, read from a file and shown to nobody
  subject      a principal of a tenant, whichever credential it uses
  client       a client_id of a tenant: an application, a service account
  tenant       everybody of a tenant
  certificate  a client certificate, by its SHA-256 or its PEM file

examples:
  ostiary revoke key k7d2m0q9x4ab --reason "in a public repository, ticket 4711"
  ostiary revoke subject ada@example.com --tenant acme --reason "left" --for 30d
  ostiary revoke client batch --tenant acme --reason "secret rotated" --issued-before now
  ostiary revoke token --issuer https://idp.example.com --jti 8f2c... --reason "stolen laptop"
  ostiary revoke credential leaked.txt --reason "found by the secret scanner"
  ostiary revoke list --tenant acme
  ostiary revoke lift subject:acme/ada@example.com --reason "back again"
"""
_ISSUED: Final = """\
--issued-before concerns only tokens that were issued earlier: `now` logs everybody out and lets them come back with a
new token. What does not tell when it was issued, such as an API key, counts as issued earlier.
"""
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_FILE_BYTES: Final = 64 * 1024  # a key has 60 bytes, a token at most 8 KiB, a certificate chain some KiB
_Actions = argparse._SubParsersAction  # noqa: SLF001 -- argparse has no public name


def add(commands: "_Actions[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = _parser(commands, "revoke", "take credentials back, now and everywhere", _ABOUT)
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    one = _revoking(actions, "key", "one API key")
    one.add_argument("name", metavar="ID", help="its id, never the key itself")
    one = _revoking(actions, "token", "one access token")
    one.add_argument("name", metavar="ID", nargs="?", help="as audit records show it: jwt:... or opaque:...")
    one.add_argument("--issuer", metavar="URL", help="the token's `iss`, character by character")
    one.add_argument("--jti", help="the token's `jti`")
    one = _revoking(actions, "credential", "a leaked key or token, read from a file")
    one.add_argument("file", metavar="FILE", help="holds the API key or the JWT and nothing else; - for standard input")
    for what, summary in (("subject", "a principal of a tenant"), ("client", "a client_id of a tenant")):
        one = _revoking(actions, what, summary)
        one.add_argument("name", metavar="NAME", help="as audit records show it")
        one.add_argument("--tenant", required=True, metavar="TENANT")
    one = _revoking(actions, "tenant", "everybody of a tenant")
    one.add_argument("tenant", metavar="TENANT")
    one = _revoking(actions, "certificate", "a client certificate")
    one.add_argument("name", metavar="SHA256|FILE", help="64 hex digits, colons or not; or the certificate's PEM file")
    _add_list(actions)
    _add_lift(actions)


def _parser(
    actions: "_Actions[argparse.ArgumentParser]", name: str, summary: str, about: str = ""
) -> argparse.ArgumentParser:
    return actions.add_parser(
        name,
        help=summary,
        description=about or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _revoking(actions: "_Actions[argparse.ArgumentParser]", what: str, summary: str) -> argparse.ArgumentParser:
    parser = _parser(actions, what, f"revoke {summary}", f"Revoke {summary}.\n\n{_ISSUED}")
    parser.add_argument("--reason", required=True, help="for the record and for whoever asks you; callers never see it")
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--for", dest="for_", metavar="TIME", help="how long: 90s, 15m, 12h, 30d (default: until lifted)")
    ends.add_argument("--until", metavar="TIME", help="until when: 2030-01-31T00:00:00Z, or unix seconds")
    parser.add_argument("--issued-before", metavar="TIME", help="`now`, or a time as of --until")
    _add_common(parser)
    parser.set_defaults(run=_revoke)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    operator.add_arguments(parser)


def _add_list(actions: "_Actions[argparse.ArgumentParser]") -> None:
    parser = _parser(actions, "list", "what is revoked now, since when, by whom and why")
    kinds = ("key", "subject", "client", "tenant", "certificate")
    parser.add_argument("--what", choices=kinds, help="only one kind (tokens are listed with the keys)")
    parser.add_argument("--tenant", metavar="TENANT", help="only the tenant, its subjects and its clients")
    _add_common(parser)
    parser.set_defaults(run=_list)


def _add_lift(actions: "_Actions[argparse.ArgumentParser]") -> None:
    parser = _parser(actions, "lift", "let a mark count again")
    parser.add_argument("mark", metavar="MARK", help="as `ostiary revoke list` shows it")
    parser.add_argument("--reason", required=True, help="for the record")
    _add_common(parser)
    parser.set_defaults(run=_lift)


def _revoke(arguments: argparse.Namespace, clock: Clock | None = None) -> int:
    told = operator.ask(arguments, "POST", _PATH, wish(arguments, clock or SystemClock()))
    if arguments.json:
        return _print_json(told)
    made, before = told["revocation"], told.get("replaced")
    print(f"Revoked: {made['mark']}")
    for line in _facts(made):
        print(f"  {line}")
    if before:
        print("It replaces what stood there:")
        for line in _facts(before):
            print(f"  {line}")
    lift = f"ostiary revoke lift {shlex.quote(made['mark'])} --reason ..."
    print(f"Every worker refuses it within a second. Lift it with: {lift}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from urllib.parse import urlencode

    chosen = {name: value for name in ("what", "tenant") if (value := getattr(arguments, name))}
    told = operator.ask(arguments, "GET", f"{_PATH}?{urlencode(chosen)}" if chosen else _PATH)
    if arguments.json:
        return _print_json(told)
    rows = [
        (
            one["mark"],
            _shown(one["at"]),
            _shown(one["until"]) if one["until"] is not None else "further notice",
            _shown(one["issued_before"]) if one["issued_before"] is not None else "-",
            one["actor"],
            one["reason"],
        )
        for one in told["revocations"]
    ]
    if not rows:
        print("Nothing is revoked.")
        return 0
    print(_table(("MARK", "SINCE", "UNTIL", "ISSUED BEFORE", "BY", "REASON"), rows))
    return 0


def _lift(arguments: argparse.Namespace) -> int:
    told = operator.ask(arguments, "POST", f"{_PATH}/lift", {"mark": arguments.mark, "reason": arguments.reason})
    if arguments.json:
        return _print_json(told)
    print(f"Lifted: {told['revocation']['mark']}. It counts again within a second.")
    return 0


# --- from arguments to a wish ------------------------------------------------------------------------------


def wish(arguments: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    """The body of the request.

    Raises:
        Problem: an argument cannot be understood.
    """
    now_s = clock.now()
    what, name = _named(arguments)
    body: dict[str, Any] = {"what": what, "tenant": getattr(arguments, "tenant", ""), "name": name}
    body["reason"] = arguments.reason
    if arguments.for_ is not None:
        body["until"] = math.ceil(now_s) + _duration_s(arguments.for_)
    elif arguments.until is not None:
        body["until"] = _moment("--until", arguments.until)
    if arguments.issued_before is not None:
        # Tokens tell whole seconds: one that was issued in this very second may be one of those that are meant.
        now = arguments.issued_before == "now"
        body["issued_before"] = math.ceil(now_s) if now else _moment("--issued-before", arguments.issued_before)
    return body


def _named(arguments: argparse.Namespace) -> tuple[str, str]:
    """The kind of mark, and the name in it."""
    match arguments.action:
        case "token":
            return "key", _token(arguments)
        case "credential":
            return "key", credential_id(_read(arguments.file))
        case "certificate":
            return "certificate", _certificate(arguments.name)
        case "tenant":
            return "tenant", ""
        case "key":
            return "key", _no_secret(arguments.name)
        case _:
            return arguments.action, arguments.name


def _token(arguments: argparse.Namespace) -> str:
    from gateway.revocation.mark import name_of_token

    if arguments.name and not (arguments.issuer or arguments.jti):
        return _no_secret(arguments.name)
    if arguments.name or not (arguments.issuer and arguments.jti):
        raise Problem("a token is named by its id, or by --issuer and --jti together")
    return name_of_token(arguments.issuer, arguments.jti)


def _no_secret(name: str) -> str:
    """The name, unless it is the credential itself: that would stand in the shell's history and in the record."""
    if name.startswith("osk_") or name.count(".") == 2:
        raise Problem(
            "that looks like the credential itself, not its id; it is now in your shell's history",
            hint="Put it into a file: ostiary revoke credential FILE",
        )
    return name


def credential_id(raw: bytes) -> str:
    """The id of an API key or of a JWT, whose signature is not looked at: nobody gains by having it refused.

    Raises:
        Problem: it is neither.
    """
    import hashlib

    from gateway import apikey, strict
    from gateway.revocation.mark import name_of_token

    text = raw.decode("utf-8", "replace").strip()
    text = re.sub(r"\ABearer +", "", text, flags=re.IGNORECASE)
    key = apikey.FORM.fullmatch(text)
    if key is not None:
        return str(key.group(1))
    try:
        _, payload, _ = text.split(".")
        claims = strict.json_object(strict.base64url(payload))
    except ValueError:
        claims = {}
    issuer, jti = claims.get("iss"), claims.get("jti")
    if not isinstance(issuer, str):
        hint = "Opaque tokens are named by the id that their audit record shows: ostiary revoke token opaque:..."
        raise Problem("this is neither an API key of this gateway nor a JWT", hint=hint)
    return name_of_token(issuer, jti if isinstance(jti, str) else hashlib.sha256(text.encode()).digest())


def _certificate(given: str) -> str:
    """The SHA-256 of the DER, from hex or from a PEM file. Of a chain the first, which is the client's own."""
    if re.fullmatch(r"[0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31}", given):
        return given
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        return x509.load_pem_x509_certificate(_read(given)).fingerprint(SHA256()).hex()
    except FileNotFoundError:
        raise Problem("neither 64 hex digits nor a file", hint="openssl x509 -noout -sha256 -fingerprint") from None
    except ValueError:
        raise Problem(f"{given} holds no PEM certificate") from None


def _read(name: str) -> bytes:
    if name == "-":
        raw = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1)
    else:
        with Path(name).open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    if len(raw) > _MAX_FILE_BYTES:
        raise Problem("the file is too large to be a credential")
    return raw


def _duration_s(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text, re.ASCII)
    if found is None:
        raise Problem(f"--for: {text!r} is no duration", hint="For example 90s, 15m, 12h or 30d.")
    return int(found[1]) * _UNITS_S[found[2]]


def _moment(option: str, text: str) -> int:
    """Unix seconds, or ISO 8601 with its zone: a time without one means another moment on another machine."""
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Problem(f"{option}: {text!r} is no time with its zone", hint="For example 2030-01-31T00:00:00Z.")
    return math.ceil(found.timestamp())


# --- what is shown -----------------------------------------------------------------------------------------


def _facts(one: Mapping[str, Any]) -> list[str]:
    until, before = one["until"], one["issued_before"]
    return [
        f"by {one['actor']}, {_shown(one['at'])}: {one['reason']}",
        "until it is lifted" if until is None else f"until {_shown(until)}",
        *([] if before is None else [f"only what was issued before {_shown(before)}"]),
    ]


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def _print_json(told: Mapping[str, Any]) -> int:
    print(json.dumps(told, indent=2))
    return 0
