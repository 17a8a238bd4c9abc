"""Writes ONNX models as bytes: just the few parts of the format that one transformer needs. Runs nothing.

The `onnx` package would do this with 20 MB of code; the format is protobuf, and of it this takes a dozen fields.
Field numbers are those of onnx/onnx.proto (ONNX 1.16, IR version 8).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

_IR_VERSION: Final = 8
_OPSET: Final = 17
#: onnxruntime's own operators, which do in one step what the standard ones do in ten.
MICROSOFT: Final = "com.microsoft"
#: TensorProto.DataType.
_TYPES: Final[Mapping[str, int]] = {"float32": 1, "int8": 3, "int32": 6, "int64": 7}

Attribute = int | float


@dataclass(slots=True)
class Graph:
    """A model in the making."""

    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    _inputs: list[bytes] = field(default_factory=list)
    _outputs: list[bytes] = field(default_factory=list)

    def constant(self, name: str, value: Any) -> str:
        """Keep a tensor in the model. Returns its name."""
        dims = b"".join(_number(1, size) for size in value.shape)
        kind = _number(2, _TYPES[value.dtype.name])
        self.tensors.append(dims + kind + _text(8, name) + _bytes(9, np.ascontiguousarray(value).tobytes()))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Attribute
    ) -> str:
        """Add a step. An input of "" is left out. Returns its first output."""
        parts = [_text(1, each) for each in inputs] + [_text(2, each) for each in outputs]
        parts += [_text(4, operator), *(_bytes(5, _attribute(*each)) for each in attributes.items()), _text(7, domain)]
        self.nodes.append(b"".join(parts))
        return outputs[0]

    def input(self, name: str, kind: str, shape: Sequence[str | int]) -> str:
        """Declare an input. A dimension that is a word may be of any size."""
        self._inputs.append(_value(name, kind, shape))
        return name

    def output(self, name: str, kind: str, shape: Sequence[str | int]) -> None:
        """Declare an output."""
        self._outputs.append(_value(name, kind, shape))

    def model(self) -> bytes:
        """The whole model, as a file would hold it."""
        graph = b"".join(
            (
                *(_bytes(1, node) for node in self.nodes),
                _text(2, "graph"),
                *(_bytes(5, tensor) for tensor in self.tensors),
                *(_bytes(11, value) for value in self._inputs),
                *(_bytes(12, value) for value in self._outputs),
            )
        )
        opsets = _bytes(8, _text(1, "") + _number(2, _OPSET)) + _bytes(8, _text(1, MICROSOFT) + _number(2, 1))
        return _number(1, _IR_VERSION) + _text(2, "ostiary") + _bytes(7, graph) + opsets


def _attribute(name: str, value: Attribute) -> bytes:
    """AttributeProto: FLOAT is type 1 in field 2, INT is type 2 in field 3."""
    if isinstance(value, float):
        return _text(1, name) + _tag(2, 5) + struct.pack("<f", value) + _number(20, 1)
    return _text(1, name) + _number(3, value) + _number(20, 2)


def _value(name: str, kind: str, shape: Sequence[str | int]) -> bytes:
    dims = b"".join(_bytes(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in shape)
    tensor = _number(1, _TYPES[kind]) + _bytes(2, dims)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())
