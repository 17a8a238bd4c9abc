"""The `api_versions` block: which versions of each endpoint's request schema a tenant takes. Names; judges no request.

The types of each version stand in `extproc.providers`, which a test compares with the names here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway import named_path
from gateway.policy.field import Table, shape
from gateway.policy.problem import Problems, nearest, shown

#: Oldest first. OpenAI's are months of its reference; Anthropic's are what `anthropic-version` says.
VERSIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "/v1/chat/completions": ("2025-11", "2026-11"),
        "/v1/completions": ("2026-11",),
        "/v1/embeddings": ("2026-11",),
        "/v1/messages": ("2023-06-01", "2026-10-21"),
        "/v1/responses": ("2026-11",),
        named_path.ROUTE: ("2026-11",),
    }
)
#: Where requests say which version they are written for, so that a tenant may take several.
SAID_BY_CLIENTS: Final = frozenset({"/v1/messages"})
_VERSION: Final = shape(r"20[0-9]{2}-[01][0-9](?:-[0-3][0-9])?", "a version such as 2026-11")

#: Path of an endpoint -> versions that are taken, oldest first.
ApiVersions = Mapping[str, tuple[str, ...]]


def read_versions(table: Table | None, problems: Problems, over: ApiVersions = MappingProxyType({})) -> ApiVersions:
    """What the block says, over what stands in `over`. An endpoint that neither names takes every version."""
    found = dict(over)
    if table is None:
        return MappingProxyType(found)
    for key, _ in list(table.entries()):
        path, known = (*table.path, key.text), VERSIONS.get(key.text)
        before, words = len(problems), table.words(key.text, _VERSION)
        if known is None:
            problems.add(key.mark, path, f"unknown endpoint {shown(key.text)}", nearest(key.text, VERSIONS))
            continue
        for word in words:
            if word.text not in known:
                problems.add(word.mark, path, f"unknown version {shown(word.text)}", nearest(word.text, known))
        taken = tuple(name for name in known if name in {word.text for word in words})
        if len(taken) > 1 and key.text not in SAID_BY_CLIENTS:
            problems.add(key.mark, path, "several versions", "requests do not say which they are written for: name one")
        if not words and len(problems) == before:
            problems.add(key.mark, path, "names no version", nearest("", known))
        found[key.text] = taken
    return MappingProxyType(found)
