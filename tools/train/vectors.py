"""The file between `embed` and those that fit: numbers about each text, by the text's digest. Computes none."""

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np

_KEY_BYTES: Final = 16

Cache = dict[bytes, Any]  # key of a text -> (windows, layers, width) in 16-bit floats


def key(text: str) -> bytes:
    """What a text is called in the cache."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=_KEY_BYTES).digest()


def read(path: Path) -> Cache:
    """What was computed before; nothing if there is no such file."""
    if not path.exists():
        return {}
    with np.load(path) as stored:
        keys, counts, vectors = stored["keys"], stored["counts"], stored["vectors"]
    ends = np.cumsum(counts)
    return {bytes(each): vectors[end - count : end] for each, count, end in zip(keys, counts, ends, strict=True)}


def write(path: Path, cache: Cache) -> None:
    """The cache as a file."""
    np.savez(
        path,
        keys=np.array([np.frombuffer(each, dtype=np.uint8) for each in cache]),
        counts=np.array([len(each) for each in cache.values()]),
        vectors=np.concatenate(list(cache.values())),
    )
