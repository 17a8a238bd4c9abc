"""The declaration that stands for a JSON Schema."""

from extproc.counting.declaration import declaration


def test_a_function_becomes_a_type_with_its_comments():
    schema = {
        "type": "object",
        "required": ["city"],
        "properties": {
            "city": {"type": "string", "description": "Which one"},
            "unit": {"enum": ["C", "F"]},
            "days": {"type": "array", "items": {"type": "integer"}, "maxItems": 7},
            "near": {"anyOf": [{"type": "object", "properties": {"km": {"type": "number"}}}, {"type": "null"}]},
        },
    }
    found = declaration({"name": "weather", "description": "Tell it\nnow", "parameters": schema})
    assert found == (
        '// Tell it\n// now\ntype weather = (_: {\n// Which one\ncity: string,\nunit?: "C" | "F",\n// maxItems: 7\n'
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
