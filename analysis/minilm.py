"""MiniLM-L6: numbers about a text, by onnxruntime in eight-bit arithmetic. Judges nothing.

The package brings weights in 32-bit floats and no graph. The graph is written here at each start, in about two seconds:
so no file of a third party's weights lies in our repository or in a cache that somebody could change.
"""

import hashlib
import json
import struct
import zipfile
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from analysis.head import KEPT, WEIGHTS_SHA256, Floats
from analysis.onnx import MICROSOFT, Graph

PACKAGE: Final = "all_minilm_l6_v2"
WIDTH: Final = 384
HEADS: Final = 12
_EPSILON: Final = 1e-12  # config.json, layer_norm_eps
#: Seven bits a weight: processors without VNNI add two products in 16 bits, which eight would overflow, so that a
#: score would depend on the machine (onnxruntime's documentation of quantisation, "reduce_range").
_STEPS: Final = 63


class WeightsError(Exception):
    """The weights are not there, or not those that are known."""


class MiniLM:
    """A tokenizer and a session. Its calls release the interpreter's lock; one thread at a time may use it."""

    __slots__ = ("_session", "tokenizer")

    def __init__(self, model: bytes, tokenizer: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: what it warns of is of interest to those who write graphs
        self._session: Final = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.tokenizer: Final = Tokenizer.from_str(tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    @classmethod
    def load(cls, threads: int = 1, kept: Sequence[int] = KEPT) -> "MiniLM":
        """From the installed package; `embed` tells the layers that are `kept`.

        Raises:
            WeightsError: it is not installed, or is another one.
        """
        weights, tokenizer = unpacked(archive())
        return cls(graph(weights, kept), tokenizer, threads)

    def embed(self, rows: Sequence[Sequence[int]]) -> Floats:
        """For each row of token ids, the means of the kept layers over its tokens: (rows, layers, width)."""
        longest = max(map(len, rows))
        ids = np.zeros((len(rows), longest), dtype=np.int32)
        mask = np.zeros((len(rows), longest), dtype=np.int32)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        layers: list[Floats] = self._session.run(None, {"ids": ids, "mask": mask})
        share = (mask / mask.sum(axis=1, keepdims=True)).astype(np.float32)
        return np.stack([np.einsum("bsw,bs->bw", layer, share) for layer in layers], axis=1)


def graph(weights: dict[str, Floats], kept: Sequence[int] = KEPT) -> bytes:
    """The encoder as an ONNX model: `ids` and `mask` in, hidden states of the kept layers out."""
    made = Graph()
    made.input("ids", "int32", ("rows", "tokens"))
    made.input("mask", "int32", ("rows", "tokens"))
    # Every text is of the first segment: its vector joins those of the positions.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    made.node(
        "EmbedLayerNormalization",
        (
            "ids",
            "",
            made.constant("words", weights["embeddings.word_embeddings.weight"]),
            made.constant("places", places),
            "",
            made.constant("embed.gamma", weights["embeddings.LayerNorm.weight"]),
            made.constant("embed.beta", weights["embeddings.LayerNorm.bias"]),
        ),
        ("layer0", "embed.mask"),
        MICROSOFT,
        epsilon=_EPSILON,
    )
    made.constant("thirds", np.array([WIDTH] * 3, dtype=np.int64))
    for number in range(max(kept)):
        _layer(made, weights, number)
    for number in kept:
        made.output(f"layer{number}", "float32", ("rows", "tokens", WIDTH))
    return made.model()


def _layer(made: Graph, weights: dict[str, Floats], number: int) -> None:
    """Attention and feed-forward, each added to what came in and normalised (post-norm, as BERT has it)."""
    said, name = f"encoder.layer.{number}.", f"l{number}"
    parts = [f"{said}attention.self.{part}" for part in ("query", "key", "value")]
    matrix = np.concatenate([weights[f"{part}.weight"] for part in parts])
    bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    asked = _product(made, f"{name}.qkv", f"layer{number}", matrix, bias)
    thirds = (f"{name}.q", f"{name}.k", f"{name}.v")
    made.node("Split", (asked, "thirds"), thirds, axis=2)
    seen = made.node("MultiHeadAttention", (*thirds, "", "mask"), (f"{name}.seen",), MICROSOFT, num_heads=HEADS)
    told = _product(made, f"{name}.told", seen, *_dense(weights, f"{said}attention.output.dense"))
    middle = _added(made, f"{name}.middle", told, f"layer{number}", weights, f"{said}attention.output.LayerNorm")
    matrix, bias = _dense(weights, f"{said}intermediate.dense")
    wide = _product(made, f"{name}.wide", middle, matrix, None)
    bent = made.node("BiasGelu", (wide, made.constant(f"{name}.bend", bias)), (f"{name}.bent",), MICROSOFT)
    narrow = _product(made, f"{name}.narrow", bent, *_dense(weights, f"{said}output.dense"))
    _added(made, f"layer{number + 1}", narrow, middle, weights, f"{said}output.LayerNorm")


def _dense(weights: dict[str, Floats], name: str) -> tuple[Floats, Floats]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _product(made: Graph, name: str, given: str, matrix: Floats, bias: Floats | None) -> str:
    """A dense layer: weights with one scale for each output, the input quantised as it comes."""
    scale = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-12)) / _STEPS
    steps = np.rint(matrix / scale[:, None]).astype(np.int8).T
    inputs = [
        given,
        made.constant(f"{name}.steps", steps),
        made.constant(f"{name}.scale", scale.astype(np.float32)),
        made.constant(f"{name}.zero", np.zeros(len(scale), dtype=np.int8)),
    ]
    if bias is not None:
        inputs.append(made.constant(f"{name}.bias", bias))
    return made.node("DynamicQuantizeMatMul", inputs, (f"{name}.out",), MICROSOFT)


def _added(made: Graph, name: str, new: str, old: str, weights: dict[str, Floats], norm: str) -> str:
    gamma = made.constant(f"{name}.gamma", weights[f"{norm}.weight"])
    beta = made.constant(f"{name}.beta", weights[f"{norm}.bias"])
    return made.node("SkipLayerNormalization", (new, old, gamma, beta), (name,), MICROSOFT, epsilon=_EPSILON)


def archive() -> Path:
    """Where the installed package keeps its weights."""
    found = util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise WeightsError(f"the package {PACKAGE} is not installed")
    return Path(found.origin).with_name("model.zip")


def unpacked(path: Path) -> tuple[dict[str, Floats], str]:
    """Weights by name, and the tokenizer.

    Raises:
        WeightsError: there is no such file, or it holds other weights.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            raw = opened.read("model.safetensors")
            tokenizer = opened.read("tokenizer.json").decode()
    except (OSError, KeyError, zipfile.BadZipFile):
        raise WeightsError(f"there are no weights in {path.name} of {PACKAGE}") from None
    if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
        raise WeightsError(f"the weights of {PACKAGE} are not those that the head was fitted on")
    return tensors(raw), tokenizer


def tensors(raw: bytes) -> dict[str, Floats]:
    """What a safetensors file holds: length of a JSON header, the header, the numbers."""
    (size,) = struct.unpack_from("<Q", raw)
    header: dict[str, Any] = json.loads(raw[8 : 8 + size])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        found[name] = np.frombuffer(raw[8 + size + start : 8 + size + end], dtype="<f4").reshape(entry["shape"])
    return found
