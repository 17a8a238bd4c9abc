"""The `restore` block of a tenant: whether answers get back what the action `tokenise` took out. Reads no file."""

from typing import Final

from gateway.policy.field import Table, read_choice, shape
from gateway.policy.model import Restore
from gateway.policy.problem import Problems
from gateway.policy.tree import Scalar

_TOOL: Final = shape(r"[A-Za-z0-9_.:-]{1,64}\*?|\*", "a tool's name, which may end in *")


def read_restore(table: Table, problems: Problems) -> Restore:
    """`restore: false`, `restore: true` or `restore: {tools: [...]}` of a tenant; without it, restored to readers."""
    node = table.node("restore")
    if node is None:
        return Restore()
    path = (*table.path, "restore")
    if isinstance(node, Scalar) and not node.is_null:
        return Restore(on=read_choice(node, path, ("true", "false"), problems) == "true")
    block = Table(node, path, problems)
    tools = frozenset(word.text for word in block.words("tools", _TOOL, optional=True))
    block.close()
    return Restore(tools=tools)
