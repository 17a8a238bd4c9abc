"""How hard a request looks: points for what can be seen in it, each with its name. Pure, and asks no model.

A guess from the outside. What the points rest on, and how often they are wrong, is told in docs/models/complexity.md.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from extproc.core.journal import CHARS_PER_TOKEN
from extproc.providers.door import Door

#: Of the last thing that was asked, its beginning and its end: what is wanted stands there, what it is about between.
_WINDOW: Final = 4096

#: Points of a feature, as fitted by `tools.evaluate.complexity` where its data show it, and otherwise set by hand.
POINTS: Final = {
    "code": 30,  # program text
    "code_task": 30,  # asks for a program, or for work on one
    "figures": 15,  # three numbers or more
    "sums": 25,  # asks how many, how much, or to compute
    "quantities": 15,  # speaks of halves, totals, percent, so much each
    "reasoning": 20,  # asks to prove, derive, analyse, compare, plan, explain why
    # No data of ours show what follows.
    "effort": 40,  # asks the model to think, by the API's own parameter
    "long": 10,  # over 8,000 tokens in all
    "turns": 10,  # more than eight messages
    "tools": 15,  # may call tools
    "schema": 5,  # must answer by a schema
    "media": 10,  # pictures, sounds, files
}
_LONG_TOKENS: Final = 8_000
_TURNS: Final = 8
_MOST: Final = 100

_CODE: Final = re.compile(
    r"```|^[ \t]*(?:def \w+\(|class \w+[(:{]|from [\w.]+ import |import [\w.]+;?$|function \w*\("
    r"|#include|>>> |<\?php|<script)"
    r"|^[ \t]*(?:const|let|var|public|private|static|return|SELECT|INSERT INTO|CREATE TABLE)\b[^\n]{0,200}[;{]?$"
    r"|\)[ \t]*\{[ \t]*$|;[ \t]*\n[ \t]*\}",
    re.MULTILINE,
)
_CODE_VERB: Final = re.compile(
    r"\b(?:write|implement|debug|refactor|optimi[sz]e|fix|complete|develop|build)\b", re.IGNORECASE
)
_CODE_NOUN: Final = re.compile(
    r"\b(?:functions?|programs?|scripts?|code|algorithms?|quer(?:y|ies)|regex|methods?|unit tests?|bugs?|python|sql|"
    r"java|javascript|typescript|rust|golang|c\+\+|html|api|stack trace)\b",
    re.IGNORECASE,
)
_FIGURE: Final = re.compile(r"\d[\d,.]*")
_SUMS: Final = re.compile(
    r"\bhow (?:many|much|long|far|old|often)\b|\b(?:calculate|compute|solve|add up|sum of|integral|probability"
    r"|equation)\b",
    re.IGNORECASE,
)
_QUANTITY: Final = re.compile(
    r"\b(?:half|twice|thrice|double|triple|times as|dozens?|percent|total|average|remaining|altogether|each|per|"
    r"quarter|third|fourth)\b|[%$€£]",
    re.IGNORECASE,
)
_REASONING: Final = re.compile(
    r"\b(?:step[- ]by[- ]step|prove|proof|derive|deduce|analy[sz]e|evaluate|justify|trade-?offs?|compare and contrast|"
    r"implications?|explain (?:why|how)|reason(?:ing)? (?:about|through)|optimal|strateg(?:y|ies)|architecture|"
    r"pros and cons|critically|hypothes[ie]s|counter-?arguments?)\b",
    re.IGNORECASE,
)
#: How requests ask a model to think, and which of their words say that it need not.
_EFFORTS: Final = ("reasoning_effort", "reasoning", "thinking", "thinkingConfig", "output_config")
_LITTLE: Final = frozenset({"none", "minimal", "low", "disabled"})


@dataclass(frozen=True, slots=True)
class Score:
    """Points from 0 to 100, and what they are made of."""

    points: int
    features: tuple[str, ...]


def score(tree: dict[str, Any], door: Door, chars: int, asks: frozenset[str]) -> Score:
    """The score of a request of `chars`, which asks for what is in `asks` (`gateway.policy.model.FEATURES`)."""
    messages = door.as_chat(tree).get("messages") or ()
    found = features_of(_asked(messages))
    more = {
        "effort": any(_effort(tree.get(name)) for name in _EFFORTS),
        "long": chars > _LONG_TOKENS * CHARS_PER_TOKEN,
        "turns": len(messages) > _TURNS,
        "tools": "tools" in asks,
        "schema": "json_schema" in asks,
        "media": not asks.isdisjoint({"image", "audio", "file"}),
    }
    found += [name for name, seen in more.items() if seen]
    return Score(min(_MOST, sum(POINTS[name] for name in found)), tuple(found))


def features_of(text: str) -> list[str]:
    """What can be seen in the words of what is asked."""
    if len(text) > 2 * _WINDOW:
        text = f"{text[:_WINDOW]}\n{text[-_WINDOW:]}"
    figures = len(_FIGURE.findall(text))
    seen = {
        "code": _CODE.search(text) is not None,
        "code_task": _CODE_VERB.search(text) is not None and _CODE_NOUN.search(text) is not None,
        "figures": figures > 2,
        "sums": _SUMS.search(text) is not None,
        "quantities": len(_QUANTITY.findall(text)) > 1,
        "reasoning": _REASONING.search(text) is not None,
    }
    return [name for name, one in seen.items() if one]


def _asked(messages: Any) -> str:
    """The words of the last user."""
    for message in reversed(messages):
        if type(message) is dict and message.get("role") == "user":
            content = message.get("content")
            if type(content) is str:
                return content
            parts = [part.get("text") for part in content or () if type(part) is dict] if type(content) is list else []
            words = [part for part in parts if type(part) is str]
            return "\n".join(words)
    return ""


def _effort(value: Any) -> bool:
    """Whether a parameter of any dialect asks for more than a little thought."""
    if type(value) is dict:
        said = [value.get(name) for name in ("effort", "type", "thinkingLevel")]
        return any(_effort(each) for each in said) or bool(value.get("thinkingBudget"))
    return type(value) is str and value.lower() not in _LITTLE
