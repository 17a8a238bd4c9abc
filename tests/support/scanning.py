"""Everything of a running stack where a secret might have stayed: Envoy's admin, the lists of processes, the disk."""

from collections.abc import Collection
from pathlib import Path

from stack import Stack

ADMIN = ("/config_dump?include_eds", "/certs", "/clusters", "/listeners", "/server_info", "/stats")


def places(stack: Stack, inputs: Collection[Path] = ()) -> dict[str, bytes]:
    """Content by place. `inputs`: files and directories where secrets lie on purpose."""
    found = {f"envoy {path}": stack.admin(path) for path in ADMIN}
    children = (stack.envoy, stack.control, *stack.workers.values())
    for child in children:
        if child is not None:
            for file in ("environ", "cmdline"):
                found[f"{child.name} {file}"] = Path(f"/proc/{child.pid}/{file}").read_bytes()
    for file in stack.root.rglob("*"):
        if file.is_file() and not {file, *file.parents} & set(inputs):
            found[str(file)] = file.read_bytes()
    return found
