"""Names in the pages are names of the code: files, functions, tests, metrics, header and metadata names."""

import ast
import re
from pathlib import Path

import pytest

from gateway import contract
from gateway.telemetry import metrics

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILE = re.compile(
    r"`((?:authz|bench|control|docs|envoy|extproc|gateway|ostiary|policies|protos|tests|tools)/[\w./-]+\.\w+)`"
)
MEMBER = re.compile(r"`((?:authz|control|extproc|gateway|ostiary)/[\w/]+)\.py` `([A-Za-z_][\w.]*)`")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    missing = [name for name in FILE.findall(text_of(page)) if not (ROOT / name).exists()]
    assert not missing


def defined(body: list[ast.stmt]) -> dict[str, ast.AST]:
    return {node.name: node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_function_that_is_named_is_there(page):
    missing = []
    for module, member in sorted(set(MEMBER.findall(text_of(page)))):
        body = ast.parse(text_of(ROOT / f"{module}.py")).body
        for name in member.split("."):
            node = defined(body).get(name)
            if node is None:
                missing.append(f"{module}.py {member}")
                break
            body = node.body
    assert not missing


def test_the_request_life_names_many_functions():
    """Else the pattern above has stopped to match the way the page is written."""
    assert len(MEMBER.findall(text_of(ROOT / "docs" / "request-life.md"))) > 30


def test_every_test_that_is_named_is_there():
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", text_of(path))
    }
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", text_of(page))}
    missing = sorted(named - written)
    assert not missing


def test_every_metric_that_is_named_is_there():
    known = set(re.findall(r"`(ostiary_\w+)`", metrics.table_markdown()))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"\bostiary_[a-z_]+_(?:total|seconds|alive|inflight)\b", text_of(page))
    }
    assert named <= known


def test_the_architecture_page_tells_every_name_that_crosses_a_boundary():
    page = text_of(ROOT / "docs" / "architecture.md")
    names = {
        contract.AUTHZ_NAMESPACE, contract.OSTIARY_NAMESPACE, contract.TENANT, contract.PRINCIPAL, contract.KEY_ID,
        contract.SCOPES, contract.POLICY, contract.REQUEST_ID, contract.TRACEPARENT, contract.MODEL, contract.BACKENDS,
        contract.FRONT_PATH, contract.DECISION, contract.HOST_BACKEND, contract.ROUTE_HEADER,
        contract.REFUSED_BY_HEADER, contract.REQUEST_ID_HEADER, contract.ERROR_CODE_HEADER,
        contract.SHOULD_RETRY_HEADER, contract.SIDECAR_CLUSTER,
    }  # fmt: skip
    assert not {name for name in names if f"`{name}`" not in page}
