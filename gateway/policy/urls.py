"""The `urls` block of a tenant: hosts that URLs may or may not lead to. Reads no file, asks no network."""

import re
from typing import Final

from gateway.policy.field import Shape, Table
from gateway.policy.model import Urls
from gateway.policy.problem import Problems

#: A name as in URLs, in any script, or what is below it. Neither scheme, port nor path: those would never be equal.
_HOST: Final = Shape(
    re.compile(r"(?:\*|(?:\*\.)?[\w](?:[\w.-]{0,251}[\w])?)\Z"), 'a host such as example.com, "*.example.com" or "*"'
)


def read_urls(table: Table | None, problems: Problems) -> Urls:
    """What the block says; no block lists nothing."""
    if table is None:
        return Urls()
    allow, deny = (table.words(name, _HOST, optional=True) for name in ("allow", "deny"))
    twice = {word.text for word in allow} & {word.text for word in deny}
    for at, word in enumerate(deny):
        if word.text in twice:
            problems.add(word.mark, (*table.path, "deny", f"[{at}]"), "it is allowed too", "keep one of the two lines")
    table.close()
    return Urls(allow=frozenset(word.text for word in allow), deny=frozenset(word.text for word in deny))
