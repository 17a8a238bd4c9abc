"""The answers of Google's Gemini API, generateContent whole and streamGenerateContent as events. Pure."""

from typing import Any, Final
from urllib.parse import unquote

import orjson

from extproc.providers.gemini import lowered
from gateway import named_path
from gateway.named_path import Named
from ostiary.demo import schema
from ostiary.demo.answer import RefusedError, Reply, cut, identity, listed, parse, say, text_of, words

#: `gemini-demo-pii` says what `demo-pii` says, so that a policy can give each dialect names of its own.
_PREFIX: Final = "gemini-"
_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS"}
_STATUSES: Final = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


def model_of(path: str) -> str:
    """The model that a path asks; "" where it is none of these."""
    named = _named(path)
    return "" if named is None else named.model


def error(status: int, message: str) -> Reply:
    """An error body of the Gemini API."""
    told = {"code": status, "message": message, "status": _STATUSES.get(status, "INVALID_ARGUMENT")}
    return Reply(status, (orjson.dumps({"error": told}),))


def generate(path: str, body: bytes, deltas: int) -> Reply:
    """One part: a call of a function where the request has one and none was answered, else text."""
    named, request = _named(path), parse(body)
    turns = request.get("contents")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise RefusedError(400, "* GenerateContentRequest.contents: contents is not specified", param="contents")
    model, streams = (named.model, named.streams) if named is not None else ("", False)
    # Where nobody is named, the user speaks.
    user = next((text_of(turn.get("parts")) for turn in reversed(turns) if turn.get("role", "user") == "user"), "")
    config = request.get("generationConfig")
    most = config.get("maxOutputTokens") if isinstance(config, dict) else None
    text, finish = say({"model": model.removeprefix(_PREFIX), "max_tokens": most}, user, body)
    system = request.get("systemInstruction")
    prompt = sum(words(text_of(turn.get("parts"))) for turn in (*turns, system) if isinstance(turn, dict))
    function = _function(request, turns)
    parts: list[dict[str, Any]] = [{"text": piece} for piece in (cut(text, deltas) or [""] if streams else [text])]
    said = text
    if function is not None:
        filled = schema.fill(_schema(function), text)
        said = orjson.dumps(filled).decode()
        parts = [{"functionCall": {"name": str(function.get("name", "function")), "args": filled}}]
    counted = words(said)
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": counted, "totalTokenCount": prompt + counted}
    frame = {"usageMetadata": usage, "modelVersion": model, "responseId": identity("gen", body)}
    candidates: list[dict[str, Any]] = [{"content": {"role": "model", "parts": [part]}, "index": 0} for part in parts]
    candidates[-1]["finishReason"] = "STOP" if function is not None else _REASONS[finish]
    answers = [{"candidates": [candidate], **frame} for candidate in candidates]
    if streams:
        return Reply(200, tuple(b"data: %b\r\n\r\n" % orjson.dumps(each) for each in answers), "text/event-stream")
    return Reply(200, (orjson.dumps(answers[0]),))


def _named(path: str) -> Named | None:
    return named_path.named(unquote(path))


def _function(request: dict[str, Any], turns: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The function to call: the one that is demanded, else the first; none once a function has answered."""
    functions = [
        function
        for tool in listed(request.get("tools"), "tools")
        if isinstance(tool, dict)
        for function in listed(tool.get("functionDeclarations"), "tools.functionDeclarations")
        if isinstance(function, dict)
    ]
    last = turns[-1].get("parts")
    answered = isinstance(last, list) and any(isinstance(part, dict) and "functionResponse" in part for part in last)
    told = request.get("toolConfig")
    calling = told.get("functionCallingConfig") if isinstance(told, dict) else None
    calling = calling if isinstance(calling, dict) else {}
    demanded = listed(calling.get("allowedFunctionNames"), "toolConfig.functionCallingConfig.allowedFunctionNames")
    if not functions or answered or calling.get("mode") == "NONE":
        return None
    return next((function for function in functions if function.get("name") in demanded), functions[0])


def _schema(function: dict[str, Any]) -> Any:
    own = function.get("parameters")
    return function.get("parametersJsonSchema") or (lowered(own) if isinstance(own, dict) else {"type": "object"})
