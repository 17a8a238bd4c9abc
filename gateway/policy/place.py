"""Where in the policy's vault a credential lies: a path and a field. Asks no vault."""

from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.model import VaultSecret
from gateway.policy.problem import Problems, shown

_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_PATH: Final = shape(rf"{_SEGMENT}(?:/{_SEGMENT}){{1,15}}", "a path such as secret/data/llm/openai")
FILE: Final = shape(r"[^\x00-\x1f\x7f]{1,1024}", "a path without control characters")
FIELD: Final = shape(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "the name of a field of the secret")
#: The vault's own: reading there tells of the vault, and gives no provider's key.
_OWN: Final = frozenset({"auth", "identity", "sys"})


def read_place(table: Table, problems: Problems) -> VaultSecret:
    """The `vault` block of a credential."""
    place = VaultSecret(path=read_path(table, problems), field=table.text("field", FIELD))
    table.close()
    return place


def read_path(table: Table, problems: Problems) -> str:
    """The `path` of such a block."""
    path = table.scalar("path", _PATH)
    if path is not None and path.text.partition("/")[0] in _OWN:
        problems.add(path.mark, (*table.path, "path"), f"{shown(path.text)} holds no credentials")
    return path.text if path else ""
