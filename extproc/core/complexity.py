"""How hard a request looks: points for what can be seen in it, each with its name. Pure, and asks no model.

A guess from the outside. What the points rest on, and how often they are wrong, is told in docs/models/complexity.md.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from extproc.core.journal import CHARS_PER_TOKEN
from extproc.providers.door import Door

#: Of the last thing that was asked, its beginning and its end: what is wanted stands there, what it is about between.
_WINDOW: Final = 2048

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

#: A line of a program by how it begins, and what ends one.
_CODE_BEGINS: Final = re.compile(
    r"[ \t]*(?:def \w+\(|class \w+[(:{]|from [\w.]+ import |import [\w.]+;?$|function \w*\(|#include|>>> |<\?php"
    r"|<script|(?:const|let|var|public|private|static|return|SELECT|INSERT INTO|CREATE TABLE)\b)"
)
_CODE_ENDS: Final = (") {", "){", "};", ");")
_WORD: Final = re.compile(r"[a-z+]+")
_FIGURE: Final = re.compile(r"\d[\d,.]*")
_SIGN: Final = re.compile(r"[%$\u20ac\u00a3]")
#: Words, and pairs of words that follow each other.
_CODE_VERBS: Final = frozenset(
    {"write", "implement", "debug", "refactor", "optimize", "optimise", "fix", "complete", "develop", "build"}
)
_CODE_NOUNS: Final = frozenset(
    {
        "function", "functions", "program", "programs", "script", "scripts", "code", "algorithm", "algorithms", "query",
        "queries", "regex", "method", "methods", "bug", "bugs", "python", "sql", "java", "javascript", "typescript",
        "rust", "golang", "c++", "html", "api",
    }
)  # fmt: skip
_SUMS: Final = frozenset({"calculate", "compute", "solve", "integral", "probability", "equation"})
_SUM_PAIRS: Final = frozenset(
    {*(("how", each) for each in ("many", "much", "long", "far", "old", "often")), ("sum", "of")}
)
_QUANTITIES: Final = frozenset(
    {
        "half", "twice", "thrice", "double", "triple", "dozen", "dozens", "percent", "total", "average", "remaining",
        "altogether", "each", "per", "quarter", "third", "fourth",
    }
)  # fmt: skip
_REASONING: Final = frozenset(
    {
        "prove", "proof", "derive", "deduce", "analyze", "analyse", "evaluate", "justify", "tradeoff", "tradeoffs",
        "implication", "implications", "optimal", "strategy", "strategies", "architecture", "critically", "hypothesis",
        "hypotheses", "counterargument", "counterarguments",
    }
)  # fmt: skip
_REASONING_PAIRS: Final = frozenset(
    {("step", "by"), ("trade", "off"), ("trade", "offs"), ("explain", "why"), ("explain", "how"), ("pros", "and"),
     ("reason", "about"), ("reason", "through"), ("reasoning", "about"), ("compare", "and")}
)  # fmt: skip
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
    words = _WORD.findall(text.lower())
    once, pairs = set(words), set(pairwise(words))
    quantities = sum(word in _QUANTITIES for word in words) + len(_SIGN.findall(text))
    seen = {
        "code": "```" in text or any(map(_is_code, text.splitlines())),
        "code_task": not once.isdisjoint(_CODE_VERBS) and not once.isdisjoint(_CODE_NOUNS),
        "figures": len(_FIGURE.findall(text)) > 2,
        "sums": not once.isdisjoint(_SUMS) or not pairs.isdisjoint(_SUM_PAIRS),
        "quantities": quantities > 1,
        "reasoning": not once.isdisjoint(_REASONING) or not pairs.isdisjoint(_REASONING_PAIRS),
    }
    return [name for name, one in seen.items() if one]


def _is_code(line: str) -> bool:
    return _CODE_BEGINS.match(line) is not None or line.rstrip().endswith(_CODE_ENDS)


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
