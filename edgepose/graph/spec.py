"""What a graph is to the rest of the house: a file with named, static float32 tensors."""

from pathlib import Path

import msgspec


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A float32 tensor's name and static shape."""

    name: str
    shape: tuple[int, ...]


class Graph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plain ONNX graph: static shapes, standard operators, ``opset`` of the default domain."""

    path: Path
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
