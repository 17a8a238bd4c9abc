"""docs/opa.md: its schema is that of the document, its tables name every field, obligation and function."""

import json
import re
from pathlib import Path

import jsonschema_rs
import orjson
import pytest

import rego
from authz.opa import purity
from authz.opa.input import VALUES, VERSION, document
from authz.opa.result import Decided, read
from extproc.core.cap import SPELLINGS

PAGE = (Path(__file__).parents[3] / "docs" / "opa.md").read_text()
SCHEMA = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])


def test_the_document_fits_the_schema_that_the_page_promises():
    validator = jsonschema_rs.validator_for(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == VERSION
    for asked in (rego.question(), rego.question(certificate="ab" * 32)):
        validator.validate(orjson.loads(document(asked, 1.5)))


@pytest.mark.parametrize("name", [*VALUES, "version", "time"])
def test_every_field_is_in_the_table(name):
    assert re.search(rf"^\|.*`{re.escape(name)}`.*\|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_the_cap_is_told(name):
    assert f"`{name}`" in PAGE


def test_every_function_that_is_refused_is_told():
    told = re.findall(r"`([a-z_.0-9*]+)`", PAGE)
    patterns = [re.compile(re.escape(name).replace(r"\*", ".*") + r"\Z") for name in told]
    untold = [name for name in purity.REFUSED if not any(pattern.match(name) for pattern in patterns)]
    assert untold == ["internal.test_case"]  # no policy can spell it


def test_the_decision_that_the_page_shows_is_one():
    shown = {"models": ["small"], "max_tokens": 1024, "guards": ["pii.email"], "route": "eu"}
    for name in shown:
        assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE)
    assert isinstance(read({"allow": True, "reasons": [], "obligations": shown}), Decided)
