"""The content blocks of an Anthropic message, with those inside others. Reads shapes, judges no text."""

from collections.abc import Iterator
from typing import Any, Final

#: Blocks of a request that the guards know. What servers of Anthropic put in (`server_tool_use`, results of a web
#: search, ...) is not among them: those tools run where no guard sees what goes in and out.
ASKED: Final = frozenset(
    {"text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result"},
)
#: Blocks of an answer that the guards know.
TOLD: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
#: The provider checks a signature over them when they come back: one changed character spoils the conversation.
SEALED: Final = frozenset({"thinking", "redacted_thinking"})


def blocks(content: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every block of a message's content as (outermost block, block): also those of tool results and documents.

    Iterative, and bounded by the depth that parsing has checked. A string has no blocks.
    """
    waiting = [(block, block) for block in _objects(content)]
    while waiting:
        outer, block = waiting.pop()
        yield outer, block
        source = block.get("source")
        for holder in (block, source if type(source) is dict else {}):
            waiting += [(outer, each) for each in _objects(holder.get("content"))]


def _objects(content: Any) -> list[dict[str, Any]]:
    return [block for block in content if type(block) is dict] if type(content) is list else []
