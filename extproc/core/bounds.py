"""What a tenant's policy lets a request ask for: tools, modalities, system prompt, banned words. Pure.

Each refusal names its rule (`tenant.tools` and so on) for the record, and says what to change for whoever reads it.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from extproc.detectors.patterns import Patterns
from extproc.detectors.terms import Folded, compiled
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Bounds

_MODALITY: Final = {"text": "text", "refusal": "text", "image_url": "image", "input_audio": "audio", "file": "file"}
_TRUSTED: Final = frozenset({"system", "developer"})
_NAME_CHARS: Final = 64  # of a tool's name in an error


def check(body: dict[str, Any], bounds: Bounds) -> None:
    """Refuse what the tenant's requests may not ask for. The body has the form that its endpoint's schema asks for."""
    if bounds.tools is not None:
        _tools(body, bounds.tools)
    messages = body.get("messages")
    if type(messages) is list:
        if bounds.modalities is not None:
            _modalities(messages, bounds.modalities)
        if bounds.system_prompt:
            _system_prompt(messages, bounds.system_prompt)
    elif bounds.system_prompt and "prompt" in body:
        told = "Your policy asks for its own system prompt, and this endpoint has none. Use chat completions."
        raise _refusal("tenant.system_prompt", told, "prompt")


def check_format(body: dict[str, Any], bounds: Bounds) -> None:
    """Refuse a request for an answer of a format that policy does not name. The body is in its own dialect."""
    if bounds.formats is None:
        return
    asked: Any = "text"
    for holder, name in (
        (body, "response_format"),
        (body.get("text"), "format"),
        (body.get("output_config"), "format"),
    ):
        told = holder.get(name) if type(holder) is dict else None
        if type(told) is dict:
            asked = told.get("type")
    if type(asked) is not str or asked not in bounds.formats:
        wanted = " or ".join(sorted(bounds.formats))
        raise _refusal(
            "tenant.output_formats", f"Your policy asks for answers in the format {wanted}.", "response_format"
        )


def banned(texts: Iterable[str], bounds: Bounds) -> None:
    """Refuse texts that hold a banned word or phrase, in any case, between words, or a banned pattern.

    Linear in the texts' length.

    Other letters' forms, letters of another script that look alike, and invisible characters inside a word do not hide
    it.
    """
    lists = [(name, compiled(terms)) for name, terms in bounds.banned.items()]
    patterns = _patterns(tuple(bounds.patterns.items())) if bounds.patterns else None
    for text in texts:
        folded = Folded(text)
        for name, terms in lists:
            if terms.found(folded):
                raise _banned(f"banned.{name}")
        found = patterns.scan(text, 0) if patterns is not None else ()
        if found:
            raise _banned(found[0].rule)


@lru_cache(maxsize=256)  # sets of all tenants; each has a scratch space of its own
def _patterns(named: tuple[tuple[str, str], ...]) -> Patterns:
    return Patterns(dict(named))


def _banned(rule: str) -> GatewayError:
    return _refusal(f"tenant.{rule}", "The request holds words that your policy bans. Remove them.", "messages")


def _tools(body: dict[str, Any], allowed: frozenset[str]) -> None:
    for field in ("tools", "functions"):
        for tool in body.get(field) or ():
            kinds = {"function", "custom", tool.get("type")} if field == "tools" else set()
            for described in [tool[kind] for kind in kinds if kind in tool] if kinds else [tool]:
                _tool(described.get("name") if type(described) is dict else None, allowed, field)
            if kinds and not kinds & tool.keys():
                _tool(None, allowed, field)
    if body.get("web_search_options") is not None:  # a tool by another name
        _tool("web_search", allowed, "web_search_options")


def _tool(name: Any, allowed: frozenset[str], field: str) -> None:
    if type(name) is not str or not _allows(allowed, name):
        shown = name[:_NAME_CHARS] if type(name) is str else "without a name"
        raise _refusal("tenant.tools", f"Your policy does not allow the tool {shown!r}. Leave it out.", field)


def _allows(allowed: frozenset[str], name: str) -> bool:
    return name in allowed or any(one.endswith("*") and name.startswith(one[:-1]) for one in allowed)


def _modalities(messages: list[Any], allowed: frozenset[str]) -> None:
    for message in messages:
        content = message.get("content")
        kinds = ["text"] if type(content) is str else [part.get("type") for part in content or ()]
        for kind in kinds:
            modality = _MODALITY.get(kind, "")
            if modality not in allowed:
                told = f"Your policy does not allow {modality or 'this kind of'} content. Send {_list(allowed)} only."
                raise _refusal("tenant.modalities", told, "messages")


def _system_prompt(messages: list[Any], wanted: str) -> None:
    first = messages[0] if messages else {}
    content = first.get("content")
    if type(content) is list:
        content = content[0].get("text") if content and type(content[0]) is dict else ""
    if first.get("role") not in _TRUSTED or type(content) is not str or not content.startswith(wanted):
        told = "Your policy asks for its own system prompt at the beginning. Send it as the first message."
        raise _refusal("tenant.system_prompt", told, "messages")


def _list(words: frozenset[str]) -> str:
    return " and ".join(sorted(words)) or "nothing"


def _refusal(rule: str, told: str, param: str) -> GatewayError:
    return GatewayError(Kind.REQUEST_BLOCKED, f"{told} (rule {rule})", param=param, cause=rule)
