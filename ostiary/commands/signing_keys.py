"""`ostiary signing-keys`: the keys of the token service, looked at and turned. A client of control's admin API."""

import argparse
import json
from typing import Any, Final

from ostiary import operator
from ostiary.commands import moment

_PATH: Final = "/admin/v1/signing-keys"
_ABOUT: Final = """\
Keys with which the token service signs. They turn by themselves (`rotate_s` of the policy); the next one is known to
every verifier long before it signs. This command is for looking, and for turning ahead of time.

examples:
  ostiary signing-keys list
  ostiary signing-keys rotate --reason "quarterly drill"
  ostiary signing-keys rotate --distrust --reason "control's host was broken into"

After `rotate`, tokens that are out still count. With --distrust no key so far counts any more, the next one included:
every token that is out is refused within a second, and clients fetch new ones. Change the key-encryption key as well.
"""
_Actions = argparse._SubParsersAction  # noqa: SLF001 -- argparse has no public name


def add(commands: "_Actions[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = commands.add_parser(
        "signing-keys",
        help="keys of the token service: look, turn, distrust",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="which key signs, which comes next, which still verify")
    listed.set_defaults(run=_list)
    rotate = actions.add_parser("rotate", help="let the next key sign from now on")
    rotate.add_argument("--distrust", action="store_true", help="no key so far verifies anything any more")
    rotate.add_argument("--reason", required=True, help="a sentence for the record")
    rotate.set_defaults(run=_rotate)
    for one in (listed, rotate):
        one.add_argument("--json", action="store_true", help="the answer as JSON")
        operator.add_arguments(one)


def _list(arguments: argparse.Namespace) -> int:
    told = operator.ask(arguments, "GET", _PATH)
    if arguments.json:
        print(json.dumps(told, indent=2))
        return 0
    for slot in told["signing_keys"]:
        print(f"{slot['kid']}  {slot['algorithm']}")
        begins, until, ends = (moment.told(slot[one], absent="") for one in ("signs_from", "signs_until", "ends_at"))
        print(f"  signs from {begins} until {until}")
        print(f"  verifies until {ends}{'' if slot['private'] else '; its private part is deleted'}")
    if not told["signing_keys"]:
        print("There are no signing keys: the policy has no token service, or control has just started.")
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    wish: dict[str, Any] = {"reason": arguments.reason, "distrust": arguments.distrust}
    told = operator.ask(arguments, "POST", f"{_PATH}/rotate", wish)
    if arguments.json:
        print(json.dumps(told, indent=2))
        return 0
    print(f"Signing with {told['kid']} from now on.")
    print("Every older token is refused." if arguments.distrust else "Tokens that are out still count.")
    return 0
