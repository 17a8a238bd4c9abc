"""The file between `embed` and those that fit: numbers about each text, by the text's digest. Computes none."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np

_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Embedded:
    """All windows of one text, in its order."""

    spans: Any  # (windows, 2): the characters that each stands for
    vectors: Any  # (windows, layers, width) in 16-bit floats


Cache = dict[bytes, Embedded]  # by the key of a text


def key(text: str) -> bytes:
    """What a text is called in the cache."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=_KEY_BYTES).digest()


def read(path: Path) -> Cache:
    """What was computed before; nothing if there is no such file."""
    if not path.exists():
        return {}
    with np.load(path) as stored:
        keys, counts, spans, vectors = stored["keys"], stored["counts"], stored["spans"], stored["vectors"]
    ends = np.cumsum(counts)
    return {
        bytes(each): Embedded(spans[end - count : end], vectors[end - count : end])
        for each, count, end in zip(keys, counts, ends, strict=True)
    }


def write(path: Path, cache: Cache) -> None:
    """The cache as a file, whole or not at all."""
    fresh = path.with_suffix(".new.npz")  # savez would add the ending to any other
    np.savez(
        fresh,
        keys=np.array([np.frombuffer(each, dtype=np.uint8) for each in cache]),
        counts=np.array([len(each.spans) for each in cache.values()]),
        spans=np.concatenate([each.spans for each in cache.values()]),
        vectors=np.concatenate([each.vectors for each in cache.values()]),
    )
    fresh.replace(path)
