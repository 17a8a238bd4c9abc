"""Estimates of prompts against the usage that providers reported, from recordings of HTTP exchanges.

Usage: `python bench/tokens_recorded.py DIR`, where DIR holds recordings of vcrpy (`*.yaml`), as many client libraries
keep them among their tests. Recordings are others' work and are not in this repository.
"""

import argparse
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from extproc.counting.prompt import prompt_tokens
from extproc.counting.tokenizer import tokenizer

#: Providers whose own counts these are; servers of other models count by templates of their own.
_HOSTS: Final = ("api.openai.com", "api.anthropic.com", "api.cerebras.ai")
#: In its first weeks /v1/responses counted 18 tokens more of each request, and 212 more where it had functions.
_SETTLED_S: Final = 1_743_465_600  # 2025-04-01
_PATHS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/completions")
_INPUTS: Final = ("input_tokens", "prompt_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
#: The front doors refuse these, or the provider adds text of its own that no request shows.
_REFUSED: Final = (
    "previous_response_id", "conversation", "mcp_servers", "container", "context_management", "web_search_options",
)  # fmt: skip
_FOREIGN: Final = (
    "server_tool_use", '"file_id"', "tool_reference", '"type": "url"', "file_url", "item_reference", "_search_call",
    "code_interpreter_call", "mcp_", "additional_tools", "shell_call", "apply_patch", '"compaction"',
)  # fmt: skip


def said(message: dict[str, Any]) -> Any:
    """A recorded body: parsed already, or text, or bytes that may be compressed."""
    body = message.get("parsed_body")
    if body is not None:
        return body
    body = message.get("body")
    body = body.get("string") if isinstance(body, dict) else body
    try:
        if isinstance(body, bytes):
            body = (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body).decode()
        return json.loads(body or "null")
    except (ValueError, OSError):
        return body


def reported(response: dict[str, Any]) -> int:
    """Prompt tokens of a JSON answer or an event stream; 0 where none are told."""
    body = said(response)
    found: dict[str, int] = {}
    lines = body.splitlines() if isinstance(body, str) else []
    for tree in [body, *(json.loads(line[6:]) for line in lines if line.startswith("data: {"))]:
        for holder in (tree, *(tree.get(name) for name in ("response", "message"))) if isinstance(tree, dict) else ():
            usage = holder.get("usage") if isinstance(holder, dict) else None
            if isinstance(usage, dict):
                found |= {name: usage[name] for name in _INPUTS if isinstance(usage.get(name), int)}
    return sum(found.values())


def exchanges(directory: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Path, request and reported tokens of what the doors would let through."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in sorted(directory.rglob("*.yaml")):
        try:
            recorded = yaml.load(file.read_text(), Loader=loader)  # noqa: S506 - a safe loader
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for each in recorded.get("interactions") or () if isinstance(recorded, dict) else ():
            if "request" not in each:
                continue
            body, uri = said(each["request"]), each["request"].get("uri", "").partition("?")[0]
            host = uri.split("/")[2] if uri.count("/") > 2 else ""
            path = next((path for path in _PATHS if uri.endswith(path)), "")
            if host not in _HOSTS or not path or not isinstance(body, dict) or any(body.get(name) for name in _REFUSED):
                continue
            tools = [tool for tool in body.get("tools") or () if tool.get("type") not in {None, "function", "custom"}]
            if tools or any(word in json.dumps(body, default=str) for word in _FOREIGN):
                continue
            tokens = reported(each["response"])
            made = re.search(r'"created_at": ?(\d+)', json.dumps(said(each["response"]), default=str).replace("\\", ""))
            if tokens and not (path == "/v1/responses" and made and int(made[1]) < _SETTLED_S):
                yield path, body, tokens


def kind(body: dict[str, Any]) -> str:
    """What it holds beside text."""
    text = json.dumps(body, default=str)
    marks = {
        "image": ('"image_url"', '"input_image"', '"image"'),
        "file": ('"file"', '"input_file"', '"document"'),
        "sound": ('"input_audio"',),
        "schema": ("json_schema",),
    }
    held = [name for name, words in marks.items() if any(word in text for word in words)]
    return ", ".join((["tools"] if body.get("tools") else []) + held) or "text"


def main() -> None:
    """Print a table: how many, how many below, and the ratio of estimate to report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--each", action="store_true", help="every exchange, the lowest ratio first")
    arguments = parser.parse_args()
    groups: dict[tuple[str, str], list[tuple[float, str, int, int]]] = defaultdict(list)
    seen: set[str] = set()
    for path, body, told in exchanges(arguments.directory):
        name = json.dumps([path, body, told], sort_keys=True, default=str)
        if name in seen:  # the same request in several recordings
            continue
        seen.add(name)
        model = str(body.get("model"))
        found = prompt_tokens(path, body, tokenizer(model))
        groups[path, kind(body)].append((found / told, model, told, found))
    print(
        "| route | holds | exchanges | below | least | median | mean | most | excess of tokens, median |\n"
        + "|---" * 9
        + "|"
    )
    for (path, holds), rows in sorted(groups.items()):
        rows.sort()
        middle, excess = rows[len(rows) // 2][0], sorted(found - told for _, _, told, found in rows)[len(rows) // 2]
        below, mean = sum(ratio < 1 for ratio, *_ in rows), sum(ratio for ratio, *_ in rows) / len(rows)
        figures = " | ".join(f"{ratio:.2f}" for ratio in (rows[0][0], middle, mean, rows[-1][0]))
        print(f"| `{path}` | {holds} | {len(rows)} | {below} | {figures} | {excess} |")
        for ratio, model, told, found in rows if arguments.each else ():
            print(f"  {ratio:.2f} {model} reported {told} estimated {found}")


if __name__ == "__main__":
    main()
