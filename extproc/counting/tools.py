"""What functions add to a prompt of OpenAI's dialects: their declarations, what is said about them, and calls. Pure.

Declarations are counted as the text that models read (`declaration`). What stands around them no provider publishes in
full; the numbers are those of recorded exchanges (bench/README.md), the highest where several were seen.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from extproc.counting.declaration import declaration
from extproc.counting.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Around:
    """Tokens beside the texts, for one endpoint and one generation of models."""

    heading: int  # of all functions together
    further: int = field(default=0, kw_only=True)  # each function after the first
    without_system: int  # more, where no system message stands before them
    call: int  # a call and its result together, beside both messages, name, arguments and result
    parallel: int = 0  # each call, of several in one message
    comment: int = 0  # each description inside a declaration
    answer: int = 0  # each earlier answer: the channel that it came in


#: Models that answer in channels are told which of them are for calls; in chat completions at every request.
_CHANNELS: Final = re.compile(r"(?:.{0,64}/)?(?:ft:)?(?:gpt-(?:5|oss)|o[134](?:-|\Z))")
_CHAT: Final = Around(heading=14, without_system=4, call=6, parallel=10)
_CHAT_CHANNELS: Final = Around(heading=98, without_system=0, call=11, parallel=10, comment=1, answer=2)
_RESPONSES: Final = Around(heading=12, further=2, without_system=0, call=6)
#: Of GPT-4 and older there are no recordings at this endpoint: the highest that any other model had.
_RESPONSES_OLDER: Final = Around(heading=15, further=2, without_system=0, call=7)
_RESPONSES_CHANNELS: Final = Around(heading=16, without_system=0, call=14, comment=1, answer=2)
#: Anthropic's own words about tools stand there too when its models are reached by OpenAI's dialect.
_CLAUDE: Final = Around(heading=540, without_system=0, call=28, parallel=28)
#: Templates of other servers differ by hundreds: Qwen's has 190, Llama 4's 600.
_OTHER: Final = Around(heading=620, without_system=0, call=16, parallel=16)

#: Of a declaration: its last comma and line ends are not there, or there is no object at all.
_LESS: Final = 2
_LESS_BARE: Final = 1
#: GPT-4 and older: Cookbook, "How to count tokens with tiktoken", has three more for each function than for GPT-4o.
_MORE_OLDER: Final = 3
#: What a custom tool has in place of parameters: a grammar, and how to keep to it.
_GRAMMAR: Final = 34
_UNKNOWN_NAME: Final = 8  # of a result whose call does not stand in the request
_MOST_NAMES: Final = 4096  # calls whose names are remembered


def around(model: str, tokens: Tokenizer, *, chat: bool) -> Around:
    """What stands around functions and calls of a model."""
    if not tokens.exact:
        return _CLAUDE if tokens.family == "claude" else _OTHER
    if _CHANNELS.match(model.lower()):
        return _CHAT_CHANNELS if chat else _RESPONSES_CHANNELS
    if chat:
        return _CHAT
    return _RESPONSES if tokens.family == "o200k" else _RESPONSES_OLDER


def declared(body: dict[str, Any], tokens: Tokenizer, about: Around, *, system: bool) -> int:
    """Functions, in the old field and the new ones."""
    functions = [tool.get("function") or tool.get("custom") or tool for tool in _objects(body.get("tools"))]
    functions += _objects(body.get("functions"))
    if not functions:
        return 0
    total = about.heading + about.further * (len(functions) - 1) + (0 if system else about.without_system)
    return total + sum(_function(function, tokens, about) for function in functions)


def _function(function: Any, tokens: Tokenizer, about: Around) -> int:
    if type(function) is not dict:
        return tokens.count(orjson.dumps(function).decode())
    text = declaration(function)
    counted = tokens.count(text) + (_GRAMMAR if function.get("format") else 0) + about.comment * text.count("\n// ")
    if tokens.family != "o200k":
        return counted + _MORE_OLDER
    schema = function.get("parameters")
    return counted - (_LESS if type(schema) is dict and schema.get("properties") else _LESS_BARE)


class Calls:
    """Calls of a history and their results: each names the function, the result by its call's id."""

    __slots__ = ("_about", "_names", "_tokens")

    def __init__(self, tokens: Tokenizer, about: Around) -> None:
        self._tokens = tokens
        self._about = about
        self._names: dict[str, int] = {}

    def call(self, name: Any, call_id: Any, *, several: bool = False) -> int:
        """What a call adds beside its arguments."""
        named = self._tokens.count(name) if type(name) is str else _UNKNOWN_NAME
        if type(call_id) is str and len(self._names) < _MOST_NAMES:
            self._names[call_id] = named
        return self._about.call + named + (self._about.parallel if several else 0)

    def result(self, call_id: Any) -> int:
        """What a result adds beside its text."""
        return self._names.get(call_id, _UNKNOWN_NAME) if type(call_id) is str else _UNKNOWN_NAME


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []
