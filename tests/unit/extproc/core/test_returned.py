import json

from extproc.core.aliases import Aliases
from extproc.core.restore import Restoring
from extproc.core.returned import give_back
from extproc.core.texts import KEY

MAIL = "bob@example.com"


def giving(answer, tools=frozenset({"mail"})):
    aliases = Aliases()
    placeholder = aliases.put("pii.email", "[EMAIL]", MAIL)
    answer = json.loads(json.dumps(answer).replace("@", placeholder))
    return answer, give_back(answer, Restoring(aliases, tools)), placeholder


def test_it_says_where_values_are():
    answer, returned, _ = giving({"choices": [{"message": {"content": "to @ now"}}]})
    message = answer["choices"][0]["message"]
    assert message["content"] == f"to {MAIL} now"
    assert returned == {(id(message), "content"): [(3, 3 + len(MAIL))]}


def test_an_answer_without_placeholders_is_left_as_it_is():
    answer, returned, _ = giving({"choices": [{"message": {"content": "hello"}}]})
    assert (answer, returned) == ({"choices": [{"message": {"content": "hello"}}]}, {})


def test_labels_and_echoes_keep_their_placeholders():
    answer, returned, placeholder = giving(
        {"id": "@", "model": "@", "output": [], "instructions": "@", "metadata": {"a": "@"}}
    )
    assert answer["instructions"] == answer["metadata"]["a"] == placeholder
    assert not returned


def test_values_and_keys_of_inputs_come_back_together():
    call = {"type": "tool_use", "name": "mail", "input": {"@": "@", "deep": [{"x": ["@"]}]}}
    answer, returned, _ = giving({"content": [call]})
    made = answer["content"][0]["input"]
    assert made == {MAIL: MAIL, "deep": [{"x": [MAIL]}]}
    spans = [(0, len(MAIL))]
    assert returned[id(made), MAIL] == returned[id(made), (KEY, MAIL)] == spans
    assert returned[id(made["deep"][0]["x"]), 0] == spans


def test_a_key_does_not_take_the_place_of_another():
    aliases = Aliases()
    placeholder = aliases.put("pii.email", "[EMAIL]", MAIL)
    call = {"type": "tool_use", "name": "mail", "input": {placeholder: 1, MAIL: 2}}
    give_back({"content": [call]}, Restoring(aliases, frozenset({"mail"})))
    assert call["input"] == {placeholder: 1, MAIL: 2}
