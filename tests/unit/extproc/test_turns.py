"""What a JSON answer says when its turns are over, in each dialect; streams are played in test_form.py."""

from extproc.providers.turns import turns


def test_every_choice_of_a_chat_is_a_turn_with_its_text_or_its_calls():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    said, called = turns(
        {
            "choices": [
                {"message": {"content": "hello"}, "finish_reason": "stop"},
                {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"},
            ]
        }
    )
    assert (said.text, said.calls, said.early) == ("hello", (), False)
    assert called.text is None
    assert len(called.calls) == 1


def test_a_turn_that_was_cut_says_so():
    (turn,) = turns({"choices": [{"message": {"content": "hel"}, "finish_reason": "length"}]})
    assert turn.early


def test_the_blocks_of_a_message_are_one_text():
    content = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    (turn,) = turns({"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"})
    assert turn.text == "one two"


def test_the_items_of_a_response_are_turns():
    part = {"type": "output_text", "text": "hello"}
    item = {"type": "message", "status": "completed", "content": [part]}
    (turn,) = turns({"object": "response", "status": "completed", "output": [item]})
    assert (turn.text, turn.early) == ("hello", False)
