"""`ostiary cache`: throws cached answers of a tenant away. A client of control's admin API."""

import argparse
import json
from typing import Final
from urllib.parse import quote

from ostiary import operator

_ABOUT: Final = """\
Throws answers away that are kept for a tenant: all of them, or those that carry a tag of the tenant's policy or come
from a model. What a worker is giving out in this very moment is still given out.

examples:
  ostiary cache invalidate acme --reason "price list changed" --tag prices
  ostiary cache invalidate acme --reason "new model version" --model gpt-4o-mini
  ostiary cache invalidate acme --reason "start over"
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = commands.add_parser("cache", help="throw cached answers away")
    inner = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = inner.add_parser(
        "invalidate",
        help="throw answers of a tenant away",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("tenant", help="whose answers")
    one.add_argument("--tag", action="append", default=[], metavar="TAG", help="only what carries it; may be repeated")
    one.add_argument("--model", action="append", default=[], metavar="NAME", help="only its answers; may be repeated")
    one.add_argument("--reason", required=True, help="for the record")
    one.add_argument("--json", action="store_true", help="control's answer as JSON")
    operator.add_arguments(one)
    one.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Ask, print."""
    body = {"tags": asked.tag, "models": asked.model, "reason": asked.reason}
    told = operator.ask(asked, "POST", f"/admin/v1/cache/{quote(asked.tenant, safe='')}/invalidate", body)
    if asked.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        what = "everything" if told["tags"] == ["*"] else f"what carries {', '.join(told['tags'])}"
        print(f"Thrown away for {told['tenant']}: {what} that was asked for until now.")
    return 0
