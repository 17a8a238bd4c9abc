"""What is kept of an answer that nobody is told: enough of its beginning and end to know its tokens. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from extproc.translate.dialects import DIALECTS
from gateway.errors import GatewayError

#: A JSON answer is read for its usage up to this size; embeddings of a large batch are not.
_WHOLE_BYTES: Final = 1024 * 1024
#: Streams tell their usage in the first event or in the last ones: some hundred bytes each.
_EDGE_BYTES: Final = 16 * 1024
#: Usage in the words of another dialect than the backend's: that of responses has the names that Anthropic gave.
_LIKE: Final = {"/v1/responses": "anthropic"}
#: Events that have it one level below.
_WITHIN: Final = ("message", "response")


class Overheard:
    """One answer. `size_bytes` counts all of it."""

    __slots__ = ("_end", "_start", "_streams", "size_bytes")

    def __init__(self, *, streams: bool) -> None:
        self._streams = streams
        self._start, self._end = bytearray(), b""
        self.size_bytes = 0

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        room = (_EDGE_BYTES if self._streams else _WHOLE_BYTES) - self.size_bytes
        self.size_bytes += len(piece)
        if room > 0:
            self._start += piece[:room]
        if self._streams:
            self._end = (self._end + piece[-_EDGE_BYTES:])[-_EDGE_BYTES:]

    def tokens(self, path: str, dialect: str) -> tuple[int, int] | None:
        """Of prompt and answer, as the backend counted them; None where it did not say, or not so that we see it."""
        back = DIALECTS[_LIKE.get(path, dialect)]
        found = [(0, 0)]
        for tree in self._trees():
            for each in (tree, *[tree.get(name) for name in _WITHIN]):
                try:
                    usage = back.read_usage(each) if type(each) is dict else None
                except GatewayError:
                    continue
                if usage is not None:
                    found.append((usage.input_tokens, usage.output_tokens))
        tokens_in, tokens_out = (max(one) for one in zip(*found, strict=True))
        return (tokens_in, tokens_out) if tokens_in or tokens_out else None

    def _trees(self) -> Iterator[dict[str, Any]]:
        if not self._streams:
            yield from _tree(bytes(self._start))
            return
        # Lines that were cut at an edge are no JSON.
        for line in (*bytes(self._start).splitlines(), *self._end.splitlines()):
            if line.startswith(b"data:") and b"sage" in line:  # "usage", "usageMetadata"
                yield from _tree(line.removeprefix(b"data:"))


def _tree(raw: bytes) -> Iterator[dict[str, Any]]:
    try:
        tree = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return
    if type(tree) is dict:
        yield tree
