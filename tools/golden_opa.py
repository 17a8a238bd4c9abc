"""Writes the decisions of tests/golden/opa by the OPA library, or with `--check` names those that changed.

A case is its input; the decision beside it is what the library says. The same corpus is put to a real OPA server in
tests/contract/test_opa.py: where the two differ, one of them is not what Ostiary was tested with.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from authz.opa.library import Engine, LibraryError
from gateway.policy.model import Opa

ROOT: Final = Path(__file__).resolve().parent.parent
CORPUS: Final = ROOT / "tests" / "golden" / "opa"
#: What stands for a decision where the evaluation fails: messages differ, the failure does not.
ERROR: Final = "error"


def corpora() -> dict[Path, dict[str, Any]]:
    """Every cases.json, by path."""
    return {path: orjson.loads(path.read_bytes()) for path in sorted(CORPUS.glob("*/cases.json"))}


def policy_of(corpus: Mapping[str, Any]) -> Opa:
    """The Rego and the data that a corpus is about."""
    directory = ROOT / corpus["policy"] / "rego"
    sources = {path.name: path.read_text() for path in sorted(directory.glob("*.rego")) if "_test" not in path.name}
    data = directory / "data.json"
    return Opa(package=corpus["package"], sources=sources, data=data.read_text() if data.exists() else "{}")


def decided(engine: Engine, document: Mapping[str, Any]) -> object:
    """What the library says; `ERROR` where it fails."""
    try:
        return engine.evaluate(orjson.dumps(document))
    except LibraryError:
        return ERROR


def renewed(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """The corpus with today's decisions."""
    engine = Engine(policy_of(corpus))
    cases = [{**case, "decision": decided(engine, case["input"])} for case in corpus["cases"]]
    engine.close()
    return {**corpus, "cases": cases}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a decision changed")
    check = parser.parse_args().check
    changed = [path for path, corpus in corpora().items() if renewed(corpus) != corpus]
    for path in changed:
        print(f"{path.relative_to(ROOT)}: decisions changed")
        if not check:
            path.write_bytes(orjson.dumps(renewed(orjson.loads(path.read_bytes())), option=orjson.OPT_INDENT_2) + b"\n")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
