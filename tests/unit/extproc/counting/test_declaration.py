"""The declaration that stands for a JSON Schema."""

from extproc.counting.declaration import declaration, shown


def test_a_function_becomes_a_type_with_its_comments():
    schema = {
        "type": "object",
        "required": ["city"],
        "properties": {
            "city": {"type": "string", "title": "City", "description": "Which one"},
            "unit": {"enum": ["C", "F"]},
            "days": {"type": "array", "items": {"type": "integer"}, "maxItems": 7},
            "near": {"anyOf": [{"type": "object", "properties": {"km": {"type": "number"}}}, {"type": "null"}]},
        },
    }
    found = declaration({"name": "weather", "description": "Tell it\nnow", "parameters": schema})
    assert found == (
        '// Tell it\nnow\ntype weather = (_: {\n// City\n// Which one\ncity: string,\nunit?: "C" | "F",\n// maxItems: 7\n'
        "days?: number[],\nnear?: {\nkm?: number,\n} | null,\n}) => any;\n"
    )  # fmt: skip


def test_what_has_no_form_is_written_as_json():
    assert declaration({"type": "web_search"}) == '{"type":"web_search"}'
    assert declaration({"name": "f"}) == "type f = () => any;\n"


def test_a_schema_deeper_than_sense_is_written_as_json_and_ends():
    schema = {"type": "string", "description": "bottom"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    assert "bottom" in declaration({"name": "f", "parameters": schema})


def test_a_definition_is_written_where_it_is_referred_to():
    schema = {
        "description": "What is asked",
        "properties": {"at": {"type": "array", "items": {"$ref": "#/$defs/Place"}}, "no": {"$ref": "#/$defs/Gone"}},
        "$defs": {"Place": {"description": "Somewhere", "type": "object", "properties": {"x": {"type": "number"}}}},
    }
    assert declaration({"name": "f", "parameters": schema}) == (
        '// What is asked\ntype f = (_: {\nat?: // Somewhere\n{\nx?: number,\n}[],\nno?: "#/$defs/Gone",\n}) => any;\n'
    )


def test_definitions_that_refer_to_each_other_end_and_stay_small():
    names = [f"D{number}" for number in range(40)]
    refers = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    schema = {"properties": refers, "$defs": {name: {"type": "object", "properties": refers} for name in names}}
    assert len(declaration({"name": "f", "parameters": schema})) < 1_000_000


def test_a_large_definition_is_not_written_over_and_over():
    schema = {
        "properties": {f"p{number}": {"$ref": "#/$defs/Large"} for number in range(8)},
        "$defs": {"Large": {"type": "object", "properties": {"x": {"description": "word " * 40_000}}}},
    }
    assert len(declaration({"name": "f", "parameters": schema})) < 300_000


def test_a_schema_for_an_answer_is_shown_without_what_strict_mode_demands():
    inner = {
        "type": "object",
        "properties": {"required": {"type": "string"}},
        "additionalProperties": False,
        "required": ["required"],
    }
    schema = {"properties": {"a": inner, "b": {"additionalProperties": {"type": "string"}}}, "required": ["a"]}
    assert shown(schema) == {
        "properties": {
            "a": {"type": "object", "properties": {"required": {"type": "string"}}},
            "b": {"additionalProperties": {"type": "string"}},
        },
        "required": ["a"],
    }
    assert shown({"anyOf": [{"properties": {}, "required": 7}, 5]}) == {"anyOf": [{"properties": {}, "required": 7}, 5]}
