"""Gemini's dialect in front of other backends: what its path says is put into the body, which is spelled in one way.

Translates nothing itself: `extproc.translate` reads the body.
"""

from dataclasses import dataclass
from typing import Any

from extproc.providers.gemini import GenerateContent, lowered
from extproc.providers.gemini_parts import objects
from extproc.translate.canon import Answer, Failure
from extproc.translate.dialect import Origin, Read, StreamWriter
from extproc.translate.gemini import GEMINI


@dataclass(frozen=True, slots=True)
class NamedFront:
    """Clients at one path of the door. See `extproc.translate.dialect.Front`."""

    door: GenerateContent

    name = GEMINI.name
    family = GEMINI.family

    def read_request(self, body: dict[str, Any]) -> Read:
        """See `Front.read_request`. Schemas of Google's own subset are told as JSON Schema, which others read."""
        self.door.open(body)
        for tool in objects(body.get("tools")):
            for function in objects(tool.get("functionDeclarations")):
                _told_as_json_schema(function, "parameters", "parametersJsonSchema")
        config = body.get("generationConfig")
        if type(config) is dict:
            _told_as_json_schema(config, "responseSchema", "responseJsonSchema")
        body["model"], body["stream"] = self.door.named.model, self.door.named.streams
        return GEMINI.read_request(body)

    def write_answer(self, answer: Answer, origin: Origin) -> dict[str, Any]:
        """See `Front.write_answer`."""
        return GEMINI.write_answer(answer, origin)

    def writer(self, origin: Origin) -> StreamWriter:
        """See `Front.writer`."""
        return GEMINI.writer(origin)

    def write_error(self, failure: Failure) -> dict[str, Any]:
        """See `Front.write_error`."""
        return GEMINI.write_error(failure)


def _told_as_json_schema(holder: dict[str, Any], own: str, other: str) -> None:
    schema = holder.pop(own, None)
    if type(schema) is dict and holder.get(other) is None:
        holder[other] = lowered(schema)
