"""Where in the policy's vault a credential lies: a path and a field. Asks no vault."""

from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.model import VaultSecret
from gateway.policy.problem import Problems, shown

_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_PATH: Final = shape(rf"{_SEGMENT}(?:/{_SEGMENT}){{1,15}}", "a path such as secret/data/llm/openai")
_FIELD: Final = shape(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "the name of a field of the secret")
#: The vault's own: reading there tells of the vault, and gives no provider's key.
_OWN: Final = frozenset({"auth", "identity", "sys"})


def read_place(table: Table, problems: Problems) -> VaultSecret:
    """The `vault` block of a credential."""
    path = table.scalar("path", _PATH)
    if path is not None and path.text.partition("/")[0] in _OWN:
        problems.add(path.mark, (*table.path, "path"), f"{shown(path.text)} holds no credentials")
    place = VaultSecret(path=path.text if path else "", field=table.text("field", _FIELD))
    table.close()
    return place
