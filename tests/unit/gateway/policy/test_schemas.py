"""The `schemas` block of a tenant, and which JSON Schemas it takes."""

import json

import pytest

from extproc.guardrails import contracts
from gateway.policy.load import load
from gateway.policy.model import Action, Mode, Part
from gateway.policy.problem import PolicyError
from gateway.policy.schemas import FORMATS, MAX_LEVELS, MAX_NODES, Judge

FILES = {
    "policy.yaml": "name: test\n",
    "backends.yaml": "demo:\n  url: http://127.0.0.1:8091\n",
    "models.yaml": "gpt: demo\n",
}
TENANT = "acme:\n  models: [gpt]\n  routes: ['*']\n"
BOUND = f"{TENANT}  schemas: {{refund: {{file: schemas/refund.json, of: arguments, tools: [refund, pay_*]}}}}\n"


def read(directory, tenants=BOUND, schema='{"type": "object"}', **more):
    for name, text in (FILES | {"tenants.yaml": tenants, "schemas/refund.json": schema} | more).items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    return load(directory, rules={"pii.email"}, schema_compiled=contracts.fault)


def problems(directory, **changes):
    with pytest.raises(PolicyError) as caught:
        read(directory, **changes)
    return [str(problem) for problem in caught.value.problems]


def test_a_schema_is_bound_and_its_rule_is_flagged_until_a_line_says_otherwise(tmp_path):
    tenant = read(tmp_path).tenants["acme"]
    bound = tenant.schemas["refund"]
    assert (bound.part, bound.tools, bound.source) == (Part.ARGUMENTS, {"refund", "pay_*"}, '{"type":"object"}')
    assert tenant.request["schema.refund"].action is Action.FLAG
    assert tenant.response["schema.refund"].mode is Mode.ENFORCE


def test_its_rule_takes_action_mode_and_percent_like_any_other(tmp_path):
    more = "  guards: {request: {schema.refund: {action: block, percent: 20}, 'schema.*': {mode: 'off'}}}\n"
    setting = read(tmp_path, BOUND + more).tenants["acme"].request["schema.refund"]
    assert (setting.action, setting.percent) == (Action.BLOCK, 20)


def test_the_defaults_of_a_policy_cover_it_by_wildcard(tmp_path):
    root = "name: test\nguards: {request: {'schema.*': block}}\n"
    held = read(tmp_path, **{"policy.yaml": root})
    assert held.tenants["acme"].request["schema.refund"].action is Action.BLOCK


def test_how_a_file_is_written_does_not_change_the_version_but_what_it_says_does(tmp_path):
    first = read(tmp_path, schema='{"type": "object", "minProperties": 1}').version
    assert read(tmp_path, schema='{"minProperties":1,\n "type":"object"}').version == first
    assert read(tmp_path, schema='{"type": "object", "minProperties": 2}').version != first


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("{x: {file: schemas/refund.json, of: arguments}}", "tools: missing"),
        ("{x: {file: schemas/refund.json, of: metadata, tools: [a]}}", "tools: means nothing"),
        ("{x: {file: schemas/refund.json, of: answer}}", "unknown value"),
        ("{x: {file: ../refund.json, of: metadata}}", "expected a file"),
        ("{x: {file: schemas/none.json, of: metadata}}", "cannot be read"),
        ("{X: {file: schemas/refund.json, of: metadata}}", "expected a name"),
        ("{unknown_field: {file: schemas/refund.json, of: metadata}}", "expected a name"),
        ("{x: {file: schemas/refund.json, of: metadata, on: 1}}", "unknown field"),
    ],
)
def test_mistakes_in_the_block_are_told(tmp_path, block, complaint):
    assert complaint in "\n".join(problems(tmp_path, tenants=f"{TENANT}  schemas: {block}\n"))


def test_a_file_that_no_tenant_binds_is_told(tmp_path):
    found = problems(tmp_path, **{"schemas/lost.json": "{}"})
    assert [line for line in found if "lost.json" in line and "not bound" in line]


def test_a_rule_of_a_schema_that_the_tenant_does_not_have_is_told(tmp_path):
    more = "  guards: {request: {schema.refunds: block}}\n"
    assert 'did you mean "schema.refund"' in "\n".join(problems(tmp_path, tenants=BOUND + more))


@pytest.mark.parametrize(
    ("schema", "place", "complaint"),
    [
        ({"$ref": "https://example.com/s.json"}, "/$ref", "nothing is fetched"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "/properties/a/$ref", "nothing is fetched"),
        ({"$ref": "#name"}, "/$ref", "nothing is fetched"),
        ({"$ref": "#/$defs/none"}, "/$ref", "leads nowhere"),
        ({"items": {"$ref": "#"}}, "/items/$ref", "leads back"),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "/$defs/a/not/$ref", "leads back"),
        ({"unevaluatedProperties": False}, "/unevaluatedProperties", "not supported"),
        ({"properties": {"a": {"$id": "https://example.com/"}}}, "/properties/a/$id", "not supported"),
        ({"format": "regex"}, "/format", "not checked"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "/$schema", "unknown draft"),
        ({"pattern": "(?=a)b"}, "/pattern", "linear-time"),
        ({"pattern": r"(a)\1"}, "/pattern", "linear-time"),
        ({"pattern": "(a{1000}){1000}"}, "/pattern", "too large"),
        ({"patternProperties": {"(?<!a)b": {}}}, "/patternProperties", "linear-time"),
        ({"type": "text"}, "/type", "not valid"),
        ([], "its top", "expected a JSON object"),
    ],
)
def test_what_has_no_bound_or_no_meaning_is_refused_with_its_place(tmp_path, schema, place, complaint):
    (told,) = problems(tmp_path, schema=json.dumps(schema))
    assert f"at {place}" in told
    assert complaint in told


@pytest.mark.parametrize(
    ("text", "complaint"),
    [('{"type": "object", "type": "array"}', "twice"), ("{", "not JSON"), ('{"maximum": NaN}', "not JSON")],
)
def test_a_file_that_readers_understand_differently_is_refused(tmp_path, text, complaint):
    assert complaint in problems(tmp_path, schema=text)[0]


def test_a_property_may_have_the_name_of_a_keyword(tmp_path):
    names = {"$ref": {}, "pattern": {"type": "string"}, "format": {"enum": ["regex"]}, "unevaluatedItems": True}
    read(tmp_path, schema=json.dumps({"properties": names}))


def test_references_that_double_are_counted_written_out():
    halves = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)} | {"d20": {}}
    place, told = Judge({"$defs": halves, "$ref": "#/$defs/d0"}).fault()
    assert place.startswith("/$ref")
    assert str(MAX_NODES) in told


def test_a_schema_as_deep_as_is_allowed_is_taken_and_a_deeper_one_is_not():
    def nested(levels):
        tree = {}
        for _ in range(levels):
            tree = {"not": tree}
        return tree

    assert Judge(nested(MAX_LEVELS)).fault() is None
    assert "deep" in Judge(nested(MAX_LEVELS + 1)).fault()[1]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_that_is_let_in_is_known_to_the_engine(name):
    assert contracts.fault({"format": name}) is None
