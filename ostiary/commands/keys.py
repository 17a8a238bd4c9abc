"""`ostiary keys`: API keys of the registry, through control's admin API. Prints a new key once and keeps it nowhere."""

import argparse
import json
import re
import sys
from typing import Any, Final
from urllib.parse import urlencode

from ostiary import operator
from ostiary.commands import moment, table
from ostiary.problem import Problem

_PATH: Final = "/admin/v1/keys"
_ID: Final = re.compile(r"[a-z0-9]{12}", re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,9})(?:/([0-9]{1,7}[smhdw]|[smhdw]))?", re.ASCII)
_PAGES: Final = 1000  # of a thousand keys; ends a list that grows as fast as it is read

_ABOUT: Final = """\
API keys of the registry. They count within a second of a command, on every worker, without a change of policy; each
command goes on record with your name and --reason. Keys of the policy's keys.yaml are listed too, but changed there.

examples:
  ostiary keys create --tenant acme --principal ci --expires 90d
  ostiary keys list --tenant acme
  ostiary keys rotate k7d2m0q9x4ab --overlap 24h
  ostiary keys disable k7d2m0q9x4ab --reason "laptop lost"
"""
_ABOUT_CREATE: Final = """\
Makes a key and prints it, this once: only a keyed digest of it is stored. Without limits of its own a key may do what
its tenant may.

examples:
  ostiary keys create --tenant acme --principal ci --expires 90d --name "nightly build"
  ostiary keys create --tenant acme --principal alice@acme.example --scope chat --model gpt-4o-mini --rate 60/m
  ostiary keys create --tenant acme --principal batch --cidr 192.0.2.0/24 --cidr 2001:db8::/32 --expires 2030-01-31
  KEY=$(ostiary keys create --tenant acme --principal ci --quiet)
"""
_ABOUT_LIST: Final = """\
Lists keys by id, without secrets. LAST USED is written twice a minute; a crash may lose half a minute of it.

examples:
  ostiary keys list
  ostiary keys list --tenant acme --state expired
  ostiary keys list --json | jq -r '.keys[] | select(.last_used_at == null) | .id'
"""
_ABOUT_ROTATE: Final = """\
Makes a new key with the same rights and prints it, this once. The old one goes on until the overlap ends, so that its
owner can change over without an outage. The new key lives as long as the old one was made for, unless --expires says
otherwise.

examples:
  ostiary keys rotate k7d2m0q9x4ab
  ostiary keys rotate k7d2m0q9x4ab --overlap 1h --expires 90d --reason "yearly"
  ostiary keys rotate k7d2m0q9x4ab --overlap 0s     the old key ends now
"""
_ABOUT_EXPIRE: Final = """\
Sets or takes away the end of a key.

examples:
  ostiary keys expire k7d2m0q9x4ab 30d
  ostiary keys expire k7d2m0q9x4ab 2030-01-31       ends with the first second of that day, UTC
  ostiary keys expire k7d2m0q9x4ab never
  ostiary keys expire k7d2m0q9x4ab now              `disable` can be taken back more plainly
"""
_ABOUT_DISABLE: Final = """\
The key is refused from the next request on, until it is enabled again. Streams that run already are cut by
`ostiary revoke`.

example:
  ostiary keys disable k7d2m0q9x4ab --reason "laptop lost"
"""
_ABOUT_DELETE: Final = """\
Removes the key and its story for good; records of its use keep its id. `disable` can be taken back, this cannot.

example:
  ostiary keys delete k7d2m0q9x4ab --yes --reason "owner left"
"""

Actions = argparse._SubParsersAction  # noqa: SLF001 -- argparse has no public name


def add(commands: "Actions[argparse.ArgumentParser]") -> "Actions[argparse.ArgumentParser]":
    """Put `keys` and its actions into the parser of `ostiary`; the caller may add others."""
    parser = _parser(commands, "keys", "make, list, rotate and take back API keys", _ABOUT)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = _action(actions, "create", "make a key in the registry", _ABOUT_CREATE, _create)
    create.add_argument("--tenant", required=True, help="whose key it is")
    create.add_argument("--principal", required=True, help="who or what uses it, for example a service's name")
    create.add_argument("--scope", action="append", default=[], help="may be given several times")
    create.add_argument("--model", action="append", default=[], help="only this model; may be given several times")
    create.add_argument("--cidr", action="append", default=[], metavar="NETWORK", help="only from there; the same")
    create.add_argument("--rate", type=_rate, metavar="N/SPAN", help="requests, for example 60/m or 1000/h")
    create.add_argument("--expires", type=moment.ending, default={}, metavar="WHEN", help=moment.EXPECTED)
    create.add_argument("--name", default="", help="tells an owner's keys apart")
    create.add_argument("--note", default="", help="for colleagues")
    create.add_argument("--quiet", action="store_true", help="print the key and nothing else")
    listing = _action(actions, "list", "list keys", _ABOUT_LIST, _list, change=False)
    listing.add_argument("--tenant", default="", help="only of this tenant")
    listing.add_argument("--state", default="", choices=("active", "disabled", "expired"), help="only in this state")
    _one(_action(actions, "show", "show one key", "Shows one key, without its secret.", _show, change=False))
    rotate = _one(_action(actions, "rotate", "replace a key, with an overlap", _ABOUT_ROTATE, _rotate))
    rotate.add_argument("--overlap", type=moment.span_s, metavar="SPAN", help="the old key goes on (default: 24h)")
    rotate.add_argument("--expires", type=moment.ending, default={}, metavar="WHEN", help="of the new key")
    rotate.add_argument("--quiet", action="store_true", help="print the key and nothing else")
    expire = _one(_action(actions, "expire", "set or take away the end of a key", _ABOUT_EXPIRE, _expire))
    expire.add_argument("when", type=moment.ending, metavar="WHEN", help=f"{moment.EXPECTED}, or now")
    _one(_action(actions, "disable", "refuse a key until it is enabled", _ABOUT_DISABLE, _disable))
    _one(_action(actions, "enable", "let a disabled key count again", "Lets a disabled key count again.", _enable))
    delete = _one(_action(actions, "delete", "remove a key for good", _ABOUT_DELETE, _delete))
    delete.add_argument("--yes", action="store_true", help="do not ask")
    return actions


def _parser(
    actions: "Actions[argparse.ArgumentParser]", name: str, summary: str, about: str
) -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    return actions.add_parser(name, help=summary, description=about, formatter_class=raw)


def _action(
    actions: "Actions[argparse.ArgumentParser]", name: str, summary: str, about: str, run: Any, *, change: bool = True
) -> argparse.ArgumentParser:
    parser = _parser(actions, name, summary, about)
    parser.set_defaults(run=run)
    operator.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="for machines")
    if change:
        parser.add_argument("--reason", default="", metavar="TEXT", help="goes on record")
    return parser


def _one(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("id", type=_key_id, metavar="ID", help="the 12 characters between osk_ and the secret")
    return parser


def _key_id(text: str) -> str:
    if _ID.fullmatch(text):
        return text
    if text.startswith("osk_"):
        # Not repeated, and not sent: it would stand in control's log and on record.
        raise argparse.ArgumentTypeError("that looks like a key; give its id, the 12 characters after osk_")
    raise argparse.ArgumentTypeError("a key's id has 12 characters of a-z and 0-9")


def _rate(text: str) -> dict[str, int]:
    """`60/m`, `60/10s`, or `60` in a minute."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is no rate; expected for example 60/m, 1000/h or 5/10s")
    window = found[2] or "m"
    return {"requests": int(found[1]), "window_s": moment.span_s(window if window[0].isdigit() else f"1{window}")}


# --- actions ---------------------------------------------------------------------------------------


def _create(arguments: argparse.Namespace) -> int:
    given: dict[str, Any] = {
        "scopes": arguments.scope,
        "models": arguments.model,
        "cidrs": arguments.cidr,
        "rate": arguments.rate,
        "name": arguments.name,
        "note": arguments.note,
    }
    wish = {"tenant": arguments.tenant, "principal": arguments.principal, **arguments.expires}
    wish |= {name: value for name, value in given.items() if value}
    return _print_new(arguments, _change(arguments, "POST", _PATH, wish))


def _rotate(arguments: argparse.Namespace) -> int:
    wish = dict(arguments.expires)
    if arguments.overlap is not None:
        wish["overlap_s"] = arguments.overlap
    told = _change(arguments, "POST", f"{_PATH}/{arguments.id}/rotate", wish)
    code = _print_new(arguments, told)
    if not arguments.quiet and not arguments.json:
        print(f"\nThe old key {arguments.id} counts until {moment.told(told['previous_expires_at'], absent='')} UTC.")
    return code


def _list(arguments: argparse.Namespace) -> int:
    query = {name: value for name in ("tenant", "state") if (value := getattr(arguments, name))}
    found: list[dict[str, Any]] = []
    for _ in range(_PAGES):
        told = operator.ask(arguments, "GET", f"{_PATH}?{urlencode(query)}" if query else _PATH)
        found += told["keys"]
        if not told["after"]:
            break
        query["after"] = told["after"]
    if arguments.json:
        print(json.dumps({"keys": found}, ensure_ascii=False, indent=2))
    elif not found:
        print("no keys", file=sys.stderr)
    else:
        heads = ("ID", "TENANT", "PRINCIPAL", "STATE", "EXPIRES", "LAST USED", "SOURCE", "NAME")
        print(table.columns(heads, [_row(key) for key in found], colour=sys.stdout.isatty()))
    return 0


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    used = "-" if key["source"] == "policy" else moment.told(key.get("last_used_at"), absent="never")
    ends = moment.told(key["expires_at"], absent="never")
    last = (ends, used, key["source"], key.get("name", ""))
    return (key["id"], key["tenant"], key["principal"], key["state"], *last)


def _show(arguments: argparse.Namespace) -> int:
    return _print(arguments, operator.ask(arguments, "GET", f"{_PATH}/{arguments.id}"))


def _expire(arguments: argparse.Namespace) -> int:
    return _print(arguments, _change(arguments, "POST", f"{_PATH}/{arguments.id}/expire", arguments.when))


def _disable(arguments: argparse.Namespace) -> int:
    return _print(arguments, _change(arguments, "POST", f"{_PATH}/{arguments.id}/disable", {}))


def _enable(arguments: argparse.Namespace) -> int:
    return _print(arguments, _change(arguments, "POST", f"{_PATH}/{arguments.id}/enable", {}))


def _delete(arguments: argparse.Namespace) -> int:
    if not arguments.yes:
        key = operator.ask(arguments, "GET", f"{_PATH}/{arguments.id}")
        _confirm(f"Delete key {key['id']} of {key['principal']}, tenant {key['tenant']}, for good?")
    told = _change(arguments, "DELETE", f"{_PATH}/{arguments.id}", {})
    if arguments.json:
        return _print(arguments, told)
    print(f"deleted key {told['id']} of {table.printable(told['principal'])}, tenant {told['tenant']}")
    return 0


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Problem("nobody is there to ask", hint="Say --yes.")
    if input(f"{table.printable(question)} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise Problem("nothing was deleted")


def _change(arguments: argparse.Namespace, method: str, path: str, wish: dict[str, Any]) -> dict[str, Any]:
    return operator.ask(arguments, method, path, wish | ({"reason": arguments.reason} if arguments.reason else {}))


# --- printing --------------------------------------------------------------------------------------


def _print_new(arguments: argparse.Namespace, told: dict[str, Any]) -> int:
    if arguments.quiet:
        print(told["key"])
        return 0
    if arguments.json:
        return _print(arguments, told)
    print(f"The key, shown this once. Give it to its owner:\n\n  {told['key']}\n")
    return _print(arguments, told)


def _print(arguments: argparse.Namespace, told: dict[str, Any]) -> int:
    if arguments.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return 0
    rate = told["rate"]
    made = moment.told(told.get("created_at"), absent="")
    shown = {
        "id": told["id"],
        "state": told["state"],
        "tenant": told["tenant"],
        "principal": told["principal"],
        "name": told.get("name", ""),
        "note": told.get("note", ""),
        "scopes": ", ".join(told["scopes"]),
        "models": ", ".join(told["models"]) or "all of the tenant",
        "networks": ", ".join(told["cidrs"]) or "any",
        "rate": f"{rate['requests']} in {rate['window_s']} s" if rate else "",
        "expires": moment.told(told["expires_at"], absent="never"),
        "created": f"{made} by {told.get('created_by', '')}" if made else "",
        "last used": moment.told(told["last_used_at"], absent="never") if "last_used_at" in told else "",
        "replaces": told.get("rotated_from") or "",
        "replaced by": told.get("rotated_to") or "",
        "source": told["source"],
    }
    print(table.fields(shown))
    return 0
