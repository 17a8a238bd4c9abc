"""Compiles protos/*.proto into the checked-in *_pb2 modules, or with `--check` names the stale ones."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT: Final = Path(__file__).resolve().parent.parent
#: Google's own well-known types (struct, any, duration, timestamp) come with grpcio-tools.
WELL_KNOWN: Final = Path(protoc.__file__).parent / "_proto"
SUFFIXES: Final = ("_pb2.py", "_pb2.pyi")


def generate(root: Path, out: Path) -> dict[str, bytes]:
    """Compile every .proto of `root`/protos into `out` and return what came out, by path below `out`.

    No `_pb2_grpc.py`: the servers register generic handlers on raw bytes, a servicer has no user.

    Raises:
        SystemExit: the compiler refused a file; its message is already on stderr.
    """
    sources = sorted(str(path.relative_to(root)) for path in (root / "protos").glob("*.proto"))
    arguments = [
        "protoc",
        f"-I{root}",
        f"-I{WELL_KNOWN}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed")
    return generated(out)


def generated(root: Path) -> dict[str, bytes]:
    """The generated files that lie below `root`/protos, with their content."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "protos").iterdir())
        if path.name.endswith(SUFFIXES)
    }


def stale(root: Path) -> list[str]:
    """Generated files of `root` that differ from what its .proto files give now."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(root, Path(scratch))
    present = generated(root)
    return sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))


def main() -> int:
    """Regenerate, or check; the exit code is 1 when a check finds stale files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a generated file is stale")
    if not parser.parse_args().check:
        for name in generate(ROOT, ROOT):
            print(name)
        return 0
    names = stale(ROOT)
    for name in names:
        print(f"stale: {name} (run `make protos`)", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
